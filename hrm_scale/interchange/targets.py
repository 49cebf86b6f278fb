"""Writing a model as a checkpoint of this program, or as the published code reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from hrm_scale.base.errors import ConfigError
from hrm_scale.checkpoint import CheckpointManager
from hrm_scale.config.saved import to_dict
from hrm_scale.config.schema import ARCHITECTURE_NAMES, LOSS_NAMES, ArchConfig, RunConfig
from hrm_scale.config.values import format_value
from hrm_scale.interchange.portable import Portable
from hrm_scale.interchange.published_file import published_names
from hrm_scale.interchange.settings import ALL_CONFIG, RECIPE, URM_NAMES, relocated
from hrm_scale.modelling import DTYPES, TABLE, dataset_facts

_COMMON = (
    "halt_max_steps",
    "hidden_size",
    "num_heads",
    "expansion",
    "puzzle_emb_ndim",
    "pos_encodings",
    "rope_theta",
    "rms_norm_eps",
)
_TWO_LEVELS = (*_COMMON, "halt_exploration_prob", "H_cycles", "L_cycles", "H_layers", "L_layers")
# Settings that the published classes of each architecture have.
_KNOWN: Mapping[str, tuple[str, ...]] = {
    "hrm_v1": _TWO_LEVELS,
    "hrm_v2": _TWO_LEVELS,
    "trm": (*_TWO_LEVELS, "mlp_t", "puzzle_emb_len"),
    "urm": (*_COMMON, "H_cycles", "L_cycles", "L_layers"),
}
# What else changes an answer, and the value that the published code has built in.
_FIXED: Mapping[str, object] = {
    "mlp_t": False,
    "conv_kernel": 0,
    "puzzle_emb_len": 0,
    "random_init": False,
    "relaxation": 1.0,
}
_START_STATES = ("inner.H_init", "inner.L_init", "inner.init_hidden")


def write_checkpoint(folder: Path, model: Portable, target: Path) -> None:
    """A run folder with one checkpoint of weights alone, which `target` will be the name of."""
    parts = {"model": dict(model.tensors)}
    if model.table is not None:
        parts["puzzle_table"] = {TABLE: model.table}
    run = relocated(model.run, checkpoint_path=str(target), run_name=target.resolve().name)
    state = {
        "samples": 0,
        "dataset": dataset_facts(model.meta),
        "imported": {"from": Path(model.origin).name, "weights": model.weights},
    }
    CheckpointManager(folder, None).save_weights(model.step, parts, state, to_dict(run))


def write_published(folder: Path, model: Portable, *, compiled: bool) -> str:
    """`step_N` and `all_config.yaml`; returns the name of the former.

    Raises ConfigError when the published network has no such setting.
    """
    run, tensors = model.run, dict(model.tensors)
    config = published_config(run)
    # Loaded in the place of its own, a start state must have the type that it computes in.
    dtype = DTYPES[run.arch.forward_dtype]
    for name in _START_STATES:
        if name in tensors:
            tensors[name] = tensors[name].to(dtype)
    name = f"step_{model.step}"
    torch.save(published_names(tensors, model.table, compiled=compiled), folder / name)
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    (folder / ALL_CONFIG).write_text(text, encoding="utf-8")
    return name


def published_config(run: RunConfig) -> dict[str, Any]:
    """What the published `evaluate.py` reads as `all_config.yaml`."""
    arch = run.arch
    _require_expressible(arch)
    long_names = {short: name for name, short in ARCHITECTURE_NAMES.items()}
    settings = {name: getattr(arch, name) for name in _KNOWN[arch.name]}
    if arch.name == "trm":
        settings["no_ACT_continue"] = arch.q_continue == "none"
    if arch.name == "urm":
        settings = {URM_NAMES.get(name, name): value for name, value in settings.items()}
    settings["forward_dtype"] = "float32" if arch.forward_dtype == "float32" else "bfloat16"
    loss = {"name": next(iter(LOSS_NAMES)), "loss_type": arch.loss.loss_type}
    recipe = {name: getattr(run, name) for name in RECIPE}
    # The published schema wants a number; evaluation does not use it.
    recipe["epochs"] = run.epochs or 1
    single = arch.name in ("hrm_v1", "hrm_v2")
    data = {"data_path": run.data_path} if single else {"data_paths": [run.data_path]}
    return {"arch": {"name": long_names[arch.name], "loss": loss, **settings}, **data, **recipe}


def _require_expressible(arch: ArchConfig) -> None:
    built_in = {**_FIXED, "conv_kernel": 2} if arch.name == "urm" else _FIXED
    for name, value in built_in.items():
        if name not in _KNOWN[arch.name] and getattr(arch, name) != value:
            raise ConfigError(
                f"arch.{name}={format_value(getattr(arch, name))} is not in the published code of"
                f" {arch.name} (it has {format_value(value)} built in), which would answer"
                " otherwise: type --to safetensors to hand the model on"
            )
