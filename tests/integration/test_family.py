"""Every architecture through the trainer: it learns, goes on bit for bit, and is evaluated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.runs import assert_same_bits, metrics_of, tensors_of, train_here
from hrm_scale.evaluate import main as evaluate
from hrm_scale.evaluation.restore import restore
from hrm_scale.models.flops import training_flops
from hrm_scale.models.recursion import Cycles

NOISE = {"arch__random_init": "true", "arch__noise_scale": 0.05, "arch__relaxation": 0.95}
FAMILY: dict[str, dict[str, Any]] = {
    "transformer": {"arch__name": "hrm_v2", "arch__q_continue": "untrained", "optimizer": "adamw"},
    "trm": {"arch__name": "trm", "arch__no_ACT_continue": "true", "arch__puzzle_emb_len": 3},
    "trm_mlp": {"arch__name": "trm", "arch__mlp_t": "true", "arch__pos_encodings": "none"},
    "urm": {"arch__name": "urm", "arch__conv_kernel": 2, "optimizer": "muon"},
    "noisy": {"arch__name": "trm", "arch__depth_curriculum": "cgar", **NOISE},
}
STEPS: dict[str, Any] = {"max_steps": 8, "lr": 5e-3, "log__every": 1, "arch__L_cycles": 3}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_online(tmp_path_factory.mktemp("family") / "data", examples=60)


@pytest.mark.parametrize("name", FAMILY)
def test_it_goes_on_bit_for_bit(name: str, data: Path, tmp_path: Path) -> None:
    # The gradient of all cycles, where there are cycles.
    cycles = {} if name == "transformer" else {"arch__grad_cycles": "all", "arch__H_cycles": 2}
    settings = {**STEPS, **cycles, **FAMILY[name]}
    whole, rest = tmp_path / "whole", tmp_path / "rest"
    train_here(
        data, whole, checkpoint__every_steps=4, checkpoint__keep_last=9, ema="true", **settings
    )
    middle = whole / "checkpoints" / "step-00000004"
    train_here(data, rest, resume=middle, ema="true", **settings)
    assert_same_bits(tensors_of(whole), tensors_of(rest))
    losses = [line["train/lm_loss"] for line in metrics_of(whole) if "train/lm_loss" in line]
    assert losses[-1] < losses[0]
    evaluate([f"checkpoint={rest}", "batch_size=8", "limit=8"])


def assert_speed_figures(run: Path, depths: list[Cycles]) -> None:
    """What is logged of each step of 8 samples follows from the work of the steps around it."""
    config = restore(run, device=torch.device("cpu")).model.config
    work = np.array([training_flops(config, 8, cycles) for cycles in depths], float)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    lines = [line for line in lines if "perf/samples" in line]
    assert [line["step"] for line in lines] == list(range(1, len(depths) + 1))
    np.testing.assert_allclose([line["perf/flops"] for line in lines], np.cumsum(work))
    for line in lines[1:]:
        step, rate = line["step"], 1e9 * line["perf/gflops"]
        # The first step of a process is left out of both rates.
        each = work[1:step].sum() / (8 * (step - 1))
        assert rate / line["perf/examples_per_second"] == pytest.approx(each)
        assert line["perf/eta_seconds"] == pytest.approx(work[step:].sum() / rate)


def test_the_curriculum_deepens_the_network(data: Path, tmp_path: Path) -> None:
    depths: list[Any] = []

    def watch(trainer: Any) -> None:
        reason = trainer.parts.model.inner.reason

        def seen(w: Any, z: Any, embedding: Any, cycles: Any, noise: Any = None) -> Any:
            if torch.is_grad_enabled():
                depths.append(tuple(cycles))
            return reason(w, z, embedding, cycles, noise)

        trainer.parts.model.inner.reason = seen

    settings = {**STEPS, "max_steps": 10, "arch__name": "trm", "arch__H_cycles": 3}
    train_here(data, tmp_path / "run", watch, arch__depth_curriculum="cgar", **settings)
    assert depths == [(1, 1)] * 3 + [(2, 2)] * 3 + [(3, 3)] * 4
    assert_speed_figures(tmp_path / "run", [Cycles(*depth) for depth in depths])
    # Evaluation, and whoever uses the result, goes to the full depth.
    config = restore(tmp_path / "run", device=torch.device("cpu")).model.config
    assert (config.H_cycles, config.L_cycles) == (3, 3)
