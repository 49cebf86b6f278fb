"""The probe counts, without memory, what a real step takes."""

from __future__ import annotations

import gc
import time
from dataclasses import replace

import pytest
import torch

from benchmarks.planner import allocated_peak
from benchmarks.tiny.models import tiny_config
from hrm_scale.models import ModelConfig, build_model
from hrm_scale.planning.activations import CALIBRATION_ROWS, calibrate
from hrm_scale.planning.liveness import LiveBytes, SavedBytes
from hrm_scale.planning.probe import measure, probe

LOSS = "stablemax_cross_entropy"


def config_of(**changes: object) -> ModelConfig:
    return replace(tiny_config(attention="math", H_layers=2), **changes)  # type: ignore[arg-type]


def test_live_bytes_follow_storages_not_views() -> None:
    with LiveBytes() as live:
        first = torch.zeros(100)
        view = first[10:].view(9, 10)
        assert live.live == 400
        del first
        assert live.live == 400
        second = view * 2
        assert live.live == 760
        del view
        assert live.live == 360
        second.mul_(2)
        assert (live.live, live.peak) == (360, 760)


def test_saved_bytes_count_a_storage_once_and_leave_out_what_is_ignored() -> None:
    weight = torch.ones(10, 10, requires_grad=True)
    saved = SavedBytes()
    saved.ignore([weight])
    x = torch.ones(5, 10)
    with saved:
        y = (x @ weight).exp()
        z = y * y
    assert saved.total == x.nbytes + y.nbytes
    del z
    gc.collect()
    assert saved.total == 200 + 200 or saved.total == 200  # y's own graph may live on


@pytest.mark.parametrize(
    ("attention", "checkpointing"),
    [
        ("sdpa", False),
        ("math", True),
        pytest.param("sdpa", True, marks=pytest.mark.slow),
        pytest.param("math", False, marks=pytest.mark.slow),
    ],
)
def test_the_probe_counts_what_a_real_step_takes(attention: str, checkpointing: bool) -> None:
    config = config_of(attention=attention, activation_checkpointing=checkpointing)
    counted = probe(config, 11)
    model = build_model(config)
    real = measure(model, 11, LOSS)
    assert counted == real
    model.zero_grad(set_to_none=True)
    allocated = allocated_peak(lambda: measure(model, 11, LOSS, watch=False))
    assert real.peak == pytest.approx(allocated, rel=0.02)


def test_math_attention_keeps_its_scores() -> None:
    math, fused = (probe(config_of(attention=name), 8) for name in ("math", "sdpa"))
    scores = 8 * 2 * 17 * 17 * 4  # rows x heads x positions^2, fp32
    assert math.blocks - fused.blocks > 3 * scores  # three blocks


@pytest.mark.parametrize("compiled", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_line_through_two_small_batches_holds_for_all(compiled: bool) -> None:
    config = config_of(compile=compiled, activation_checkpointing=True)
    line = calibrate(config, LOSS)
    for rows in (CALIBRATION_ROWS[0], 500):
        there, here = line.at(rows), probe(config, rows, accumulating=True)
        assert there.blocks == here.blocks
        assert there.peak == pytest.approx(here.peak, rel=0.01)


def test_compiled_blocks_keep_less_and_checkpointed_ones_least() -> None:
    eager, compiled = (probe(config_of(compile=on), 8) for on in (False, True))
    both = probe(config_of(compile=True, activation_checkpointing=True), 8)
    assert both.blocks < compiled.blocks < eager.blocks
    assert both.peak < compiled.peak < eager.peak


def test_bf16_halves_states_and_adds_casts() -> None:
    wide, narrow = (
        probe(config_of(forward_dtype=dtype, attention="sdpa", activation_checkpointing=True), 8)
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert narrow.blocks * 2 == wide.blocks
    assert wide.casts == 0
    with torch.device("meta"):
        model = build_model(config_of())
    assert narrow.casts == 2 * sum(p.numel() for p in model.parameters())


def test_a_batch_that_no_machine_holds_is_counted_in_seconds() -> None:
    config = config_of(seq_len=900, vocab_size=12, hidden_size=512, num_heads=8, compile=True)
    begun = time.process_time()
    reading = probe(replace(config, forward_dtype=torch.bfloat16, attention="sdpa"), 100_000)
    assert reading.blocks > 1 << 40
    assert time.process_time() - begun < 20
