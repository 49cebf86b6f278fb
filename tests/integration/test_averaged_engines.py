"""Averaged weights on real processes: the model computes with them inside `averaged()`, on every
rank, and nothing of it is left afterwards. (`test_engines` compares them between engines.)"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.parity.engine_cases import CASES
from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.ranks import run_ranks
from benchmarks.tiny.runs import assert_same_bits, metrics_of, tensors_of, train_here
from hrm_scale.training.trainer import Trainer

pytestmark = [pytest.mark.slow, pytest.mark.multi]
BY_NAME = {case.name: case for case in CASES}
SETTINGS: dict[str, Any] = {
    "max_steps": 6,
    "ema": "true",
    "ema_rate": 0.8,
    "evaluation__batch_size": 8,
}


def look_inside(trainer: Trainer) -> None:
    """Compare what the model holds inside and outside with what is saved."""
    engine = trainer.parts.engine

    def held() -> dict[str, torch.Tensor]:
        with engine.gathered():
            return {name: p.detach().clone() for name, p in trainer.parts.model.named_parameters()}

    raw = held()
    parameters = engine.gather_objects(engine.full_parameters())[0]
    moments = engine.gather_objects(engine.full_moments())[0]
    with engine.averaged():
        inside = {name: p.detach().clone() for name, p in trainer.parts.model.named_parameters()}
    for name, value in inside.items():
        torch.testing.assert_close(value, moments[f"ema/{name}"].to(value.dtype), rtol=0, atol=0)
        torch.testing.assert_close(raw[name], parameters[name].to(value.dtype), rtol=0, atol=0)
    assert any(not torch.equal(inside[name], raw[name]) for name in raw)
    assert_same_bits(held(), raw)
    assert_same_bits(engine.gather_objects(engine.full_parameters())[0], parameters)
    assert_same_bits(engine.gather_objects(engine.full_moments())[0], moments)


@pytest.mark.parametrize(
    ("name", "dtype"), [("ZeRO-2 2 offload", "float32"), ("ZeRO-3 2", "bfloat16")]
)
def test_evaluation_with_averages_leaves_no_trace(name: str, dtype: str, tmp_path: Path) -> None:
    case = BY_NAME[name]
    data = write_online(tmp_path / "data", examples=20)
    settings: dict[str, Any] = {**SETTINGS, "arch__forward_dtype": dtype}
    if case.deepspeed is not None:
        file = tmp_path / "zero.json"
        bf16 = {"enabled": dtype == "bfloat16"}
        file.write_text(json.dumps({"zero_optimization": case.deepspeed, "bf16": bf16}))
        settings["engine__deepspeed"] = file

    def often() -> None:
        run = tmp_path / "often"
        trainer = train_here(data, run, evaluation__every_steps=2, **settings)
        look_inside(trainer)
        trainer.parts.engine.close()

    def never() -> None:
        run = tmp_path / "never"
        train_here(data, run, evaluation__full_at_end="false", **settings).parts.engine.close()

    run_ranks(case.ranks, often)
    lines = [line for line in metrics_of(tmp_path / "often") if "eval/count" in line]
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert all(line["eval/lm_loss"] != line["eval/raw/lm_loss"] for line in lines)
    if case.stage == 3:  # which throws the averages away and gathers the weights anew
        run_ranks(case.ranks, never)
        assert_same_bits(tensors_of(tmp_path / "never"), tensors_of(tmp_path / "often"))
