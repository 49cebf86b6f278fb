"""A loss or gradient that is not a number: the run ends, leaves the step out, or goes back."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.ranks import run_ranks
from benchmarks.tiny.runs import assert_same_bits, metrics_of, saved_steps, tensors_of, train_here
from hrm_scale.base.errors import NonFiniteError
from hrm_scale.checkpoint import latest_valid, read_checkpoint
from hrm_scale.training.trainer import Trainer

pytestmark = pytest.mark.slow
SETTINGS: dict[str, Any] = {
    "max_steps": 20,
    "checkpoint__every_steps": 5,
    "checkpoint__keep_last": 10,
    "evaluation__full_at_end": "false",
    "evaluation__limit": 8,
    "log__every": 1,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_online(tmp_path_factory.mktemp("guards") / "data", examples=100)


def poison_gradient(*times: int, rank: int = 0) -> Callable[[Trainer], None]:
    """The n-th backward passes of a process, on one rank, give gradients that are no numbers."""

    def prepare(trainer: Trainer) -> None:
        original, count = trainer.parts.engine.backward, 0

        def backward(loss: torch.Tensor) -> None:
            nonlocal count
            count += 1
            lost = count in times and trainer.parts.engine.rank == rank
            original(loss * math.nan if lost else loss)

        trainer.parts.engine.backward = backward  # type: ignore[method-assign]

    return prepare


def poison_state(time: int, row: int) -> Callable[[Trainer], None]:
    """The n-th forward pass loses the latent state of one row, and its answer."""

    def prepare(trainer: Trainer) -> None:
        original, count = trainer.parts.engine.forward, 0

        def forward(*args: Any) -> Any:
            nonlocal count
            count += 1
            carry, outputs = original(*args)
            if count == time:
                mask = torch.zeros(len(carry.halted), 1, 1)
                mask[row] = math.nan
                carry = replace(carry, z=tuple(z + mask for z in carry.z))
                outputs = outputs._replace(logits=outputs.logits + mask)
            return carry, outputs

        trainer.parts.engine.forward = forward  # type: ignore[method-assign]

    return prepare


def dumps(run: Path) -> list[Path]:
    return sorted((run / "non_finite").glob("*.safetensors"))


def test_it_ends_with_step_samples_checkpoint_and_batch_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError) as caught:
        train_here(data, tmp_path, poison_state(8, row=3), **SETTINGS)
    text = str(caught.value)
    assert "\n" not in text
    assert "loss is nan at step 8, samples [56, 64)" in text
    assert str(tmp_path / "checkpoints" / "step-00000005") in text
    (dump,) = dumps(tmp_path)
    assert str(dump) in text
    columns = load_file(dump)
    assert columns["lost"].tolist() == [row == 3 for row in range(8)]
    assert columns["inputs"].shape == (8, 16)
    assert set(columns) >= {"labels", "puzzle_identifiers", "steps"}
    assert latest_valid(tmp_path)[0] == tmp_path / "checkpoints" / "step-00000005"
    assert saved_steps(tmp_path) == [5]


def test_a_skipped_step_is_counted_and_goes_on_over_a_restart(data: Path, tmp_path: Path) -> None:
    run, straight = tmp_path / "run", tmp_path / "straight"
    settings = {**SETTINGS, "guards__non_finite": "skip"}
    trainer = train_here(data, run, poison_state(8, row=3), **settings)
    assert trainer.parts.guard.skipped == 1
    assert "step left out (1 so far)" in (run / "log.txt").read_text()
    lines = metrics_of(run)
    assert all(math.isfinite(value) for line in lines for value in line.values())
    assert {line["step"] for line in lines if line.get("guard/skipped") == 1} >= {9, 20}
    assert saved_steps(run) == [5, 10, 15, 20]
    # From the checkpoint after it, another process goes on alike, and still counts.
    shutil.copytree(run, straight)
    for step in (15, 20):
        shutil.rmtree(straight / "checkpoints" / f"step-{step:08d}")
    again = train_here(data, straight, **settings)
    assert again.parts.guard.skipped == 1
    assert_same_bits(tensors_of(run), tensors_of(straight))
    assert metrics_of(run) == metrics_of(straight)


def test_too_many_skipped_steps_end_the_run(data: Path, tmp_path: Path) -> None:
    settings = {**SETTINGS, "guards__non_finite": "skip", "guards__limit": 2}
    with pytest.raises(NonFiniteError, match=r"at step 9.*guards\.limit=2") as caught:
        train_here(data, tmp_path, poison_gradient(7, 8, 9), **settings)
    assert "gradient norm is nan" in str(caught.value)
    assert len(dumps(tmp_path)) == 3


def test_nothing_to_go_back_to_is_said(data: Path, tmp_path: Path) -> None:
    settings = {**SETTINGS, "guards__non_finite": "rollback"}
    with pytest.raises(NonFiniteError, match="has no checkpoint to go back to"):
        train_here(data, tmp_path, poison_gradient(3), **settings)


def move_position(checkpoint: Path, samples: int) -> None:
    """Let a checkpoint go on at another place in the data."""
    file, manifest = checkpoint / "state.json", checkpoint / "manifest.json"
    state = json.loads(file.read_text())
    state["samples"] = state["data"]["position"] = samples
    file.write_text(json.dumps(state))
    listed = json.loads(manifest.read_text())
    content = file.read_bytes()
    listed["files"]["state.json"] = {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    manifest.write_text(json.dumps(listed))


@pytest.mark.multi
@pytest.mark.parametrize(
    ("ranks", "stage", "dtype"),
    [
        (0, None, "float32"),
        (2, None, "float32"),
        (2, 0, "float32"),
        (2, 1, "bfloat16"),
        (2, 2, "float32"),
        (2, 3, "bfloat16"),
    ],
)
def test_going_back_is_a_resume_past_the_samples(
    data: Path, ranks: int, stage: int | None, dtype: str, tmp_path: Path
) -> None:
    run, fresh = tmp_path / "run", tmp_path / "fresh"
    settings = {
        **SETTINGS,
        "max_steps": 12,
        "guards__non_finite": "rollback",
        "arch__forward_dtype": dtype,
        "checkpoint__asynchronous": "true",
    }
    if stage is not None:
        file = tmp_path / "deepspeed.json"
        bf16 = {"enabled": dtype == "bfloat16"}
        file.write_text(json.dumps({"zero_optimization": {"stage": stage}, "bf16": bf16}))
        settings["engine__deepspeed"] = file

    def train(folder: Path, prepare: Any, **more: Any) -> None:
        def work() -> None:
            trainer = train_here(data, folder, prepare, **{**settings, **more})
            assert trainer.parts.guard.rollbacks == (0 if folder == fresh else 1)
            trainer.parts.engine.close()

        run_ranks(ranks, work)

    # The last rank alone loses its gradient in the 8th step.
    train(run, poison_gradient(8, rank=max(ranks, 1) - 1))
    steps = [line["step"] for line in metrics_of(run)]
    assert steps == sorted(steps)
    assert set(steps) == set(range(1, 13))
    assert "going back to" in (run / "log.txt").read_text()
    # A process that starts at that checkpoint, but past the samples, does the same.
    (fresh / "checkpoints").mkdir(parents=True)
    shutil.copytree(run / "checkpoints" / "step-00000005", fresh / "checkpoints" / "step-00000005")
    move_position(fresh / "checkpoints" / "step-00000005", 64)
    train(fresh, None)
    assert read_checkpoint(run).state["samples"] == 64 + 7 * 8
    assert_same_bits(tensors_of(run), tensors_of(fresh))


@pytest.mark.multi
def test_when_one_rank_hangs_all_say_where_they_are(data: Path, tmp_path: Path) -> None:
    """...and the run, once it goes on, ends as it would have."""
    run = tmp_path / "run"

    def hang(trainer: Trainer) -> None:
        original, count = trainer.parts.engine.backward, 0

        def a_disk_that_does_not_answer(loss: torch.Tensor) -> None:
            nonlocal count
            count += 1
            if count == 5 and trainer.parts.engine.rank == 1:
                time.sleep(4)
            original(loss)

        trainer.parts.engine.backward = a_disk_that_does_not_answer  # type: ignore[method-assign]

    def work() -> None:
        changes = {**SETTINGS, "max_steps": 8, "guards__stall_minutes": 1.5 / 60}
        train_here(data, run, hang, **changes).parts.engine.close()

    run_ranks(2, work)
    waiting, asleep = ((run / "stacks" / f"rank-0000{rank}.txt").read_text() for rank in (0, 1))
    assert "rank 0 has made no progress" in waiting
    assert "rank 1 has made no progress" in asleep
    assert "a_disk_that_does_not_answer" in asleep
    assert "at step 4 (training)" in asleep
    assert saved_steps(run)[-1] == 8
