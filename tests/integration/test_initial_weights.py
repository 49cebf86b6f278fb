"""A run that starts from another's weights: what is taken over, what is new, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.tiny.data_sets import columns, puzzles, sudoku_meta
from benchmarks.tiny.runs import saved_steps, tensors_of, train_here
from hrm_scale.base.errors import CheckpointError
from hrm_scale.checkpoint import read_checkpoint, write_tensors
from hrm_scale.data import DatasetWriter
from hrm_scale.modelling import TABLE
from hrm_scale.training import initial_weights
from hrm_scale.training.trainer import Trainer

# Without exploration no run ever halts here; without warm-up the first steps move something.
SETTINGS: dict[str, Any] = {"lr_warmup_steps": 0, "evaluation__full_at_end": "false"}
WIDTH = 16


def write_named(path: Path, names: list[str]) -> Path:
    """A set whose examples have the identifiers 0, 1, 2 ... of `names`."""
    inputs, labels = puzzles(4, 32)
    groups = np.arange(32)
    meta = sudoku_meta(4, "dense", 0, num_puzzle_identifiers=len(names), augmentation={})
    rows = columns(inputs, labels, groups)
    rows["puzzle_identifiers"] = (groups % len(names)).astype(np.int32)
    with DatasetWriter(path, meta) as writer:
        writer.write_split("train", [rows])
        writer.write_split("test", [rows])
        writer.write_identifiers(names)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_named(tmp_path_factory.mktemp("init") / "data", ["<blank>", "a", "b", "c"])


@pytest.fixture(scope="module")
def base(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("init") / "base"
    train_here(data, run, max_steps=2, **SETTINGS)
    return run


def started(data: Path, run: Path, base: Path, **changes: Any) -> dict[str, torch.Tensor]:
    """Every weight and the table as the new run had them before its first step."""
    seen: dict[str, torch.Tensor] = {}

    def look(trainer: Trainer) -> None:
        assert trainer.parts.state.step == 0
        seen.update({k: v.clone() for k, v in trainer.parts.model.state_dict().items()})
        if trainer.parts.table is not None:
            seen[TABLE] = trainer.parts.table.owned_rows().clone()

    train_here(data, run, look, max_steps=1, init_from=base, **{**SETTINGS, **changes})
    return seen


def test_weights_and_table_are_taken_and_the_rest_is_new(
    data: Path, base: Path, tmp_path: Path
) -> None:
    seen = started(data, tmp_path / "run", base)
    there = tensors_of(base)
    for name in (n for n in seen if n != TABLE):
        assert torch.equal(seen[name], there[f"model/{name}"]), name
    assert torch.equal(seen[TABLE], there[f"puzzle_table/{TABLE}"])
    assert seen[TABLE].abs().sum() > 0
    # The optimizer counts from its own first step.
    assert saved_steps(tmp_path / "run") == [1]
    steps = [t for n, t in tensors_of(tmp_path / "run").items() if n.startswith("optimizer/step/")]
    assert all(int(value) == 1 for value in steps)


def test_a_run_that_goes_on_ignores_it(data: Path, base: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    started(data, run, base)
    before = tensors_of(run)

    def look(trainer: Trainer) -> None:
        assert trainer.parts.state.step == 1
        for name, value in trainer.parts.model.state_dict().items():
            assert torch.equal(value, before[f"model/{name}"])

    # Not even its existence matters any more.
    train_here(data, run, look, max_steps=2, init_from=tmp_path / "gone", **SETTINGS)


def test_averaged_weights_are_preferred(
    data: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = read_checkpoint(base)
    parameters = {n: t for n, t in checkpoint.part("model").items() if not n.endswith("_init")}
    write_tensors(tmp_path / "ema.safetensors", {n: t + 1 for n, t in parameters.items()})
    part = type(checkpoint.part("model"))(tmp_path / "ema.safetensors")
    checkpoint.parts[initial_weights.AVERAGED] = part
    monkeypatch.setattr(initial_weights, "read_checkpoint", lambda path: checkpoint)
    seen = started(data, tmp_path / "run", base)
    for name, value in parameters.items():
        assert torch.equal(seen[name], value + 1), name
    fixed = [n for n in checkpoint.part("model") if n not in parameters]
    assert fixed
    for name in fixed:
        assert torch.equal(seen[name], checkpoint.part("model")[name])


def test_rows_follow_the_names_of_their_puzzles(
    data: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_named(tmp_path / "other", ["<blank>", "new", "c", "a", "newer"])
    seen = started(other, tmp_path / "run", base, log__console="line")
    there = tensors_of(base)[f"puzzle_table/{TABLE}"]
    assert torch.equal(seen[TABLE][[0, 2, 3]], there[[0, 3, 1]])
    assert not seen[TABLE][[1, 4]].any()
    shown = " ".join(capsys.readouterr())
    assert "3 of 5 rows are of puzzles with the same name" in " ".join(shown.split())


def test_without_the_names_the_table_starts_at_zero(
    data: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(initial_weights, "is_dataset", lambda path: False)
    other = write_named(tmp_path / "other", ["<blank>", "new"])
    assert not started(other, tmp_path / "run", base)[TABLE].any()
    wide = started(data, tmp_path / "wide", base, arch__puzzle_emb_ndim=8)
    assert wide[TABLE].shape == (4, 8)
    assert not wide[TABLE].any()
    none = started(data, tmp_path / "none", base, arch__puzzle_emb_ndim=0)
    assert TABLE not in none


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"arch__hidden_size": 64}, "arch.hidden_size: 32 -> 64"),
        ({"arch__L_layers": 2}, "arch.L_layers: 1 -> 2"),
        ({"init_from": "./nowhere"}, "init_from=./nowhere: checkpoint nowhere does not exist"),
    ],
)
def test_what_does_not_fit_is_one_line(
    data: Path, base: Path, tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    settings = {"init_from": base, **SETTINGS, **changes}
    with pytest.raises(CheckpointError, match=r"^init_from=") as caught:
        train_here(data, tmp_path / "run", max_steps=1, **settings)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 4
    assert saved_steps(tmp_path / "run") == []
