"""A run on a CUDA device goes on from its checkpoint bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs import assert_same_bits, metrics_of, saved_steps, tensors_of, train_here
from tests.unit.data_sets import write_online

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
