"""A run on a CUDA device goes on from its checkpoint bit for bit, however it was saved."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.runs import assert_same_bits, metrics_of, saved_steps, tensors_of, train_here
from hrm_scale.base.errors import NonFiniteError
from hrm_scale.checkpoint import read_checkpoint
from hrm_scale.training.trainer import Trainer

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_ten_steps_at_once_are_six_and_four(dtype: str, tmp_path: Path) -> None:
    data = write_online(tmp_path / "data", examples=60)
    settings = {
        "engine__device": "cuda",
        "arch__forward_dtype": dtype,
        "arch__hidden_size": 128,
        "arch__puzzle_emb_ndim": 128,
        "log__every": 1,
        "evaluation__limit": 10,
        "evaluation__full_at_end": "false",
    }
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    # Both evaluate and save at step 6, the second one begins anew there.
    train_here(data, whole, max_steps=10, evaluation__every_steps=6, **settings)
    train_here(data, parts, max_steps=6, **settings)
    train_here(data, parts, max_steps=10, **settings)
    assert saved_steps(whole)[-1] == saved_steps(parts)[-1] == 10
    assert_same_bits(tensors_of(whole), tensors_of(parts))
    assert metrics_of(whole) == metrics_of(parts)
    assert max(line.get("train/lm_loss", 0.0) for line in metrics_of(whole)) > 0


SETTINGS: dict[str, Any] = {
    "engine__device": "cuda",
    "max_steps": 10,
    "checkpoint__every_steps": 2,
    "checkpoint__keep_last": 9,
    "evaluation__limit": 10,
    "evaluation__full_at_end": "false",
}


def test_a_save_in_the_background_is_the_save_at_once(tmp_path: Path) -> None:
    """Training goes on, and changes every tensor, while they are written."""
    data = write_online(tmp_path / "data", examples=60)
    for name in ("true", "false"):
        train_here(data, tmp_path / name, **SETTINGS, checkpoint__asynchronous=name)
    assert saved_steps(tmp_path / "true") == saved_steps(tmp_path / "false") == [2, 4, 6, 8, 10]
    for step in (2, 4, 6, 8, 10):
        one, other = (
            read_checkpoint(tmp_path / name / "checkpoints" / f"step-{step:08d}")
            for name in ("true", "false")
        )
        for part, file in one.parts.items():
            for name, value in file.items():
                assert value.equal(other.part(part)[name]), f"{part}/{name} of step {step}"


def test_a_loss_that_is_read_late_is_named_by_its_step(tmp_path: Path) -> None:
    data = write_online(tmp_path / "data", examples=60)

    def poison(trainer: Trainer) -> None:
        original, count = trainer.parts.engine.forward, 0

        def forward(*args: Any) -> Any:
            nonlocal count
            count += 1
            carry, outputs = original(*args)
            if count == 3:
                outputs = outputs._replace(logits=outputs.logits * math.nan)
            return carry, outputs

        trainer.parts.engine.forward = forward  # type: ignore[method-assign]

    settings = {**SETTINGS, "log__every": 5, "checkpoint__every_steps": "null"}
    with pytest.raises(NonFiniteError, match=r"not finite at step 3, samples \[16, 24\)"):
        train_here(data, tmp_path / "run", poison, **settings)
    # Left out, it does no harm; every step is read then.
    trainer = train_here(data, tmp_path / "skip", poison, **settings, guards__non_finite="skip")
    assert trainer.parts.guard.skipped == 1
    values = read_checkpoint(tmp_path / "skip").part("model").values()
    assert all(bool(value.isfinite().all()) for value in values)
