"""Small models in the formats of other programs, and their answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hrm_scale.config.compose import compose
from hrm_scale.data import DatasetMeta
from hrm_scale.interchange.portable import Portable
from hrm_scale.modelling import TABLE, model_config
from hrm_scale.models import ActModel, Outputs, build_model, refill
from hrm_scale.puzzles.registry import recognise

# Of 4x4 boards, fp32, width 32.
TINY = {
    "arch.hidden_size": 32,
    "arch.num_heads": 2,
    "arch.L_layers": 1,
    "arch.puzzle_emb_ndim": 16,
    "arch.halt_max_steps": 3,
    "arch.forward_dtype": "float32",
}


def tiny_portable(preset: str, *, rows: int = 3, **changes: Any) -> Portable:
    """A network of random weights as it lies between two formats; `__` stands for a dot."""
    settings = {**TINY, **{name.replace("__", "."): value for name, value in changes.items()}}
    if preset == "hrm_v1":
        settings = {"arch.H_layers": 1, **settings}
    run = compose([f"arch={preset}", *(f"{k}={v}" for k, v in settings.items())]).run
    kind, board = recognise(16, 6)
    meta = DatasetMeta(kind, "online", 6, 16, 0, 0, 0, rows, board)
    torch.manual_seed(3)
    model = build_model(model_config(run.arch, meta, attention="math", compiled=False))
    with torch.no_grad():
        # As initialised it neither halts nor goes on, whatever it is asked.
        model.inner.q_head.weight.normal_()
    table = torch.randn(rows, run.arch.puzzle_emb_ndim) if run.arch.puzzle_emb_ndim else None
    return Portable(dict(model.state_dict()), table, run, meta, 12, "raw", "tiny")


def save_published(path: Path, model: Portable, prefix: str = "_orig_mod.model.") -> Path:
    """A file as the published code saves it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = dict(model.tensors)
    if model.table is not None:
        whole[TABLE] = model.table
    torch.save({f"{prefix}{name}": tensor for name, tensor in whole.items()}, path)
    return path


def answers(model: ActModel, vectors: Tensor | None, batch: dict[str, Tensor]) -> Iterator[Outputs]:
    """The outputs of all ACT steps on a batch whose puzzles have these embeddings."""
    carry = refill(model.initial_carry(batch), batch)
    for _ in range(model.config.halt_max_steps):
        with torch.no_grad():
            carry, outputs = model(carry, vectors)
        yield outputs


def assert_equal_models(one: Portable, other: Portable) -> None:
    """The same tensors and table, bit for bit, and the same network."""
    assert set(one.tensors) == set(other.tensors)
    for name, tensor in one.tensors.items():
        assert tensor.dtype == other.tensors[name].dtype, name
        assert torch.equal(tensor, other.tensors[name]), name
    assert (one.table is None) == (other.table is None)
    assert one.table is None or torch.equal(one.table, other.table)
    assert one.run.arch == other.run.arch
    assert one.step == other.step
