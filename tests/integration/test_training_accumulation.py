"""A global batch at once and in slices is the same training: losses, halting, parameters, table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.tiny.data_sets import write_grouped, write_online
from benchmarks.tiny.runs import make_halting_likely, metrics_of, tensors_of, train_here
from hrm_scale.training import trainer as loop
from hrm_scale.training.step import StepResult, train_step

STEPS, BATCH, MAXIMUM = 20, 32, 4
SETTINGS = {
    "global_batch_size": BATCH,
    "max_steps": STEPS,
    "lr": 3e-3,
    "puzzle_emb_lr": 1e-2,
    "log__every": 1,
    "arch__H_cycles": 2,
    "arch__L_cycles": 2,
    "arch__halt_max_steps": MAXIMUM,
    "arch__halt_exploration_prob": 0.5,
    "checkpoint__at_end": "true",
}


@pytest.fixture(scope="module")
def data_sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("accumulation")
    return {
        "sudoku": write_online(folder / "sudoku", examples=100),
        # Twelve identifiers, so that one stands several times in a batch and others not at all.
        "grouped": write_grouped(folder / "grouped", [[8]] * 12),
    }


class Record:
    """What every step of a run did, in slot order."""

    def __init__(self) -> None:
        self.halted: list[list[bool]] = []
        self.steps: list[list[int]] = []
        self.losses: list[float] = []
        self.inputs: list[Tensor] = []

    def add(self, result: StepResult) -> None:
        carries = result.carries
        self.halted.append(torch.cat([carry.halted for carry in carries]).tolist())
        self.steps.append(torch.cat([carry.steps for carry in carries]).tolist())
        self.inputs.append(torch.cat([carry.data["inputs"] for carry in carries]))
        self.losses.append(sum(float(micro.loss) for micro in result.micro) / BATCH)


def joined(run: Path) -> dict[str, np.ndarray]:
    """The last checkpoint, its carry put together in slot order."""
    whole: dict[str, np.ndarray] = {}
    parts: dict[str, list[np.ndarray]] = {}
    for name, tensor in sorted(tensors_of(run).items()):
        if name.startswith("carry-"):
            parts.setdefault(name.split("/", 1)[1], []).append(tensor.numpy())
        else:
            whole[name] = tensor.numpy()
    return {**whole, **{f"carry/{name}": np.concatenate(rows) for name, rows in parts.items()}}


def train(
    data: Path, run: Path, accumulation: int, refill: str, monkeypatch: pytest.MonkeyPatch
) -> Record:
    record = Record()

    def recording_step(*args: object, **options: object) -> StepResult:
        result = train_step(*args, **options)  # type: ignore[arg-type]
        record.add(result)
        return result

    monkeypatch.setattr(loop, "train_step", recording_step)
    changes = {"engine__accumulation": accumulation, "data__refill": refill}
    train_here(data, run, make_halting_likely, **SETTINGS, **changes)
    return record


@pytest.mark.parametrize("kind", ["sudoku", "grouped"])
@pytest.mark.parametrize("refill", ["always", "on_halt"])
def test_32_at_once_is_4_slices_of_8(
    data_sets: dict[str, Path],
    refill: str,
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = data_sets[kind]
    whole = train(data, tmp_path / "whole", 1, refill, monkeypatch)
    sliced = train(data, tmp_path / "sliced", 4, refill, monkeypatch)

    assert len(whole.halted) == STEPS
    assert whole.halted == sliced.halted
    assert whole.steps == sliced.steps
    assert all(map(torch.equal, whole.inputs, sliced.inputs))
    # The comparison would be worth little if nothing halted of its own will.
    flags = zip(whole.halted, whole.steps, strict=True)
    early = sum(h and s < MAXIMUM for hs, ss in flags for h, s in zip(hs, ss, strict=True))
    assert early >= BATCH

    np.testing.assert_allclose(sliced.losses, whole.losses, rtol=2e-5)
    for one, other in zip(
        metrics_of(tmp_path / "whole"), metrics_of(tmp_path / "sliced"), strict=True
    ):
        assert set(one) == set(other)
        for name, value in one.items():
            assert other[name] == pytest.approx(value, rel=1e-4, abs=1e-6), (one["step"], name)

    one_run, other_run = joined(tmp_path / "whole"), joined(tmp_path / "sliced")
    assert set(one_run) == set(other_run)
    assert any(name.startswith("puzzle_table/") for name in one_run)
    for name, value in one_run.items():
        np.testing.assert_allclose(other_run[name], value, rtol=1e-3, atol=5e-5, err_msg=name)
