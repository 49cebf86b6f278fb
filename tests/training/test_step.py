"""One optimizer step: its draws, its guard, its metrics, and its state on the way to a file."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.tiny.models import random_batch, tiny_model
from benchmarks.tiny.runs import assert_same_bits
from hrm_scale.base.batch_shape import BatchShape
from hrm_scale.base.errors import CheckpointError, NonFiniteError
from hrm_scale.checkpoint import CheckpointManager, read_checkpoint
from hrm_scale.config.schema import ArchConfig, EngineConfig, RunConfig
from hrm_scale.engine import PlainEngine
from hrm_scale.models import Carry, Draws
from hrm_scale.optim.adam_atan2 import make_adam_atan2
from hrm_scale.optim.puzzle_table import DeviceTable
from hrm_scale.training.snapshot import (
    TrainState,
    evaluations_done,
    load_model,
    put_back,
    take,
)
from hrm_scale.training.step import (
    StepResult,
    StepSettings,
    draws_of,
    exploration_draws,
    noise_keys,
    reduced_metrics,
    train_step,
)

ROWS, MICRO = 8, 2
SETTINGS = StepSettings(1e-3, 1e-2, 0.1, ROWS, "stablemax_cross_entropy")
CPU = torch.device("cpu")


@given(st.integers(0, 2**63 - 1), st.integers(1, 2**40), st.integers(1, 64), st.integers(1, 20))
def test_draws_are_in_range_and_a_function_of_seed_and_step(
    seed: int, step: int, size: int, maximum: int
) -> None:
    rand, randint = exploration_draws(seed, step, size, maximum)
    assert (rand.dtype, randint.dtype) == (np.float32, np.int32)
    assert rand.shape == randint.shape == (size,)
    assert ((rand >= 0) & (rand < 1)).all()
    assert ((randint >= 2) & (randint <= max(maximum, 2))).all()
    again = exploration_draws(seed, step, size, maximum)
    assert (again[0] == rand).all()
    assert (again[1] == randint).all()


def test_draws_differ_between_steps_and_seeds_and_cover_their_range() -> None:
    first = exploration_draws(0, 1, 4096, 16)
    for other in (exploration_draws(0, 2, 4096, 16), exploration_draws(1, 1, 4096, 16)):
        assert abs(np.corrcoef(first[0], other[0])[0, 1]) < 0.1
        assert (first[1] == other[1]).mean() < 0.15
    counts = np.bincount(first[1], minlength=17)
    assert counts[:2].sum() == 0
    # 15 values, 273 of each expected: six deviations.
    assert np.abs(counts[2:] - 4096 / 15).max() < 6 * (4096 / 15) ** 0.5
    assert abs(first[0].mean() - 0.5) < 0.03


def test_every_slot_has_a_key_of_its_own_at_every_step() -> None:
    keys = np.concatenate([noise_keys(seed, step, 64) for seed in (0, 1) for step in (1, 2, 3)])
    assert keys.dtype == np.int64
    assert len(np.unique(keys)) == 6 * 64
    assert (keys[:64] == noise_keys(0, 1, 64)).all()
    # As a shorter batch of it: a slot's key does not depend on how many others there are.
    assert (keys[:8] == noise_keys(0, 1, 8)).all()


@pytest.mark.parametrize(("ranks", "accumulation"), [(1, 1), (2, 1), (1, 4), (2, 2), (4, 2)])
def test_ranks_and_micro_steps_share_out_the_draws_of_the_slots(
    ranks: int, accumulation: int
) -> None:
    """Every slot of the global batch gets its own draws, whoever computes it."""
    run = RunConfig(
        seed=3,
        global_batch_size=16,
        arch=ArchConfig(halt_max_steps=9, noise_scale=0.1),
        engine=EngineConfig(accumulation=accumulation),
    )
    engines: list[Any] = [
        SimpleNamespace(rank=rank, ranks=ranks, device=CPU) for rank in range(ranks)
    ]
    shape = BatchShape(run.global_batch_size, accumulation, ranks)
    shares = [draws_of(run, shape, engine, step=7) for engine in engines]
    assert {len(share) for share in shares} == {accumulation}
    in_order = [share[micro] for micro in range(accumulation) for share in shares]
    rand, randint = exploration_draws(3, 7, 16, 9)
    whole = Draws(*map(torch.from_numpy, (rand, randint, noise_keys(3, 7, 16))))
    for parts, expected in zip(zip(*in_order, strict=True), whole, strict=True):
        assert torch.equal(torch.cat(parts), expected)
    quiet = RunConfig(global_batch_size=16)
    assert all(draws.keys is None for draws in draws_of(quiet, shape, engines[0], step=7))


class Setting:
    """A tiny model with table, engine and carries, stepping with `accumulation` slices."""

    def __init__(self, accumulation: int = 1, seed: int = 0) -> None:
        self.model = tiny_model(seed).train()
        # Halting must be a close call, or exploration would never matter.
        with torch.no_grad():
            self.model.inner.q_head.bias.zero_()
        self.engine = PlainEngine("cpu")
        optimizer = make_adam_atan2(self.model.parameters(), CPU, (0.9, 0.95), 0.1)
        self.engine.prepare(self.model, optimizer)
        self.table = DeviceTable(3, 16, CPU)
        self.accumulation = accumulation
        self.shape = BatchShape(ROWS, accumulation)
        self.carries: list[Carry] = []
        self.steps = 0

    def slices(self, values: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        size = ROWS // self.accumulation
        return [
            {name: value[start : start + size] for name, value in values.items()}
            for start in range(0, ROWS, size)
        ]

    def step(self, guard: object = None) -> StepResult:
        self.steps += 1
        batches = self.slices(random_batch(self.model.config, ROWS, seed=self.steps))
        rand, randint = exploration_draws(0, self.steps, ROWS, 4)
        draws = self.slices({"rand": torch.from_numpy(rand), "randint": torch.from_numpy(randint)})
        if not self.carries:
            self.carries = [self.model.initial_carry(batch) for batch in batches]
        result = train_step(
            self.engine,
            self.table,
            self.carries,
            batches,
            [Draws(**draw) for draw in draws],
            SETTINGS,
            check=guard,
        )
        self.carries = result.carries
        return result

    def everything(self) -> dict[str, Tensor]:
        state = {name: value.clone() for name, value in self.model.state_dict().items()}
        return {**state, "table": self.table.weights.clone()}


@pytest.mark.parametrize("accumulation", [2, 4, 8])
def test_slices_add_up_to_the_whole_batch(accumulation: int) -> None:
    whole, sliced = Setting(), Setting(accumulation)
    early, norms = 0, []

    def look(result: StepResult, norm: float) -> bool:
        # The optimizers would not notice another scale of the loss.
        norms.append(norm)
        return True

    for _ in range(6):
        one, several = whole.step(look), sliced.step(look)
        assert norms[-2] == pytest.approx(norms[-1], rel=1e-3)
        for name, value in one.metrics.items():
            assert float(several.metrics[name]) == pytest.approx(float(value), rel=1e-4, abs=1e-6)
        for field in ("halted", "steps"):
            parts = torch.cat([getattr(carry, field) for carry in several.carries])
            assert torch.equal(parts, getattr(one.carries[0], field))
        (carry,) = one.carries
        early += int((carry.halted & (carry.steps < 4)).sum())
    assert early > 0
    for name, value in whole.everything().items():
        torch.testing.assert_close(sliced.everything()[name], value, rtol=0, atol=2e-5)


class SecondOfTwo(PlainEngine):
    """One process that plays rank 1 of 2; rank 0 holds the negative of whatever it sends."""

    def exchange(self, last: bool) -> AbstractContextManager[None]:
        return nullcontext()

    def gather_rows(self, rows: Tensor) -> Tensor:
        other = rows.clone()
        ids, grads = other[..., 0].view(torch.int32), other[..., 1:]
        ids += 100
        grads.neg_()
        return torch.cat((other, rows))


def test_the_table_gets_gradients_of_all_ranks_in_slot_order() -> None:
    """Slot order is micro-step, then rank, then row: sums of a puzzle's slots are rounded alike
    on any number of ranks."""
    setting, seen = Setting(MICRO), []
    setting.engine.__class__ = SecondOfTwo
    setting.engine.rank, setting.engine.ranks = 1, 2
    setting.table.update = lambda ids, grads, *_: seen.append((ids, grads))  # type: ignore[method-assign]
    result = setting.step()
    ((ids, grads),) = seen
    own = [carry.data["puzzle_identifiers"] for carry in result.carries]
    assert torch.equal(ids, torch.cat([part for mine in own for part in (mine + 100, mine)]))
    parts = [micro.puzzle_grads for micro in result.micro]
    assert all(part is not None and part.any() for part in parts)
    expected = [share for part in parts if part is not None for share in (-part, part)]
    assert torch.equal(grads, torch.cat(expected))


def test_what_the_guard_raises_leaves_parameters_and_table_alone() -> None:
    setting = Setting()
    setting.step()
    before = setting.everything()

    def guard(result: StepResult, gradient_norm: float) -> bool:
        assert set(setting.engine.gradients()) == set(setting.engine.full_parameters())
        assert gradient_norm > 0
        raise NonFiniteError("lost")

    with pytest.raises(NonFiniteError, match="lost"):
        setting.step(guard)
    assert_same_bits(setting.everything(), before)


def test_a_step_that_the_guard_leaves_out_changes_nothing_but_the_carry() -> None:
    left, straight = Setting(), Setting()
    for setting in (left, straight):
        setting.step()
    before = left.everything()
    assert left.step(lambda result, norm: False).updated is False
    assert_same_bits(left.everything(), before)
    # No gradient of it is left either.
    left.carries, left.steps = straight.carries, straight.steps
    left.step(lambda result, norm: True)
    straight.step()
    assert_same_bits(left.everything(), straight.everything())


def test_gradients_are_gone_after_a_step_and_the_loss_is_detached() -> None:
    setting = Setting(MICRO)
    result = setting.step()
    assert all(parameter.grad is None for parameter in setting.model.parameters())
    assert not any(micro.loss.requires_grad for micro in result.micro)
    assert not any(value.requires_grad for value in result.metrics.values())
    assert len(result.micro) == MICRO


def test_the_table_moves_by_its_own_rate() -> None:
    setting = Setting()
    (carry,) = setting.step().carries
    used = carry.data["puzzle_identifiers"].unique().long()
    moved = setting.table.weights[used].abs()
    torch.testing.assert_close(moved, torch.full_like(moved, SETTINGS.puzzle_emb_lr))


def test_losses_are_per_row_and_the_rest_per_halted_row() -> None:
    sums = {
        "count": torch.tensor(4),
        "accuracy": torch.tensor(3.0),
        "steps": torch.tensor(10),
        "lm_loss": torch.tensor(16.0, dtype=torch.float64),
        "q_halt_loss": torch.tensor(8.0),
    }
    values = reduced_metrics(PlainEngine("cpu"), sums, 32, 0.5)
    assert values == {
        "train/count": 1.0,
        "train/accuracy": 0.75,
        "train/steps": 2.5,
        "train/lm_loss": 0.5,
        "train/q_halt_loss": 0.25,
        "train/lr": 0.5,
    }
    none = reduced_metrics(PlainEngine("cpu"), {**sums, "count": torch.tensor(0)}, 32, 0.5)
    assert none["train/count"] == 0.0


def snapshot(setting: Setting, folder: Path) -> TrainState:
    sums = {"lm_loss": torch.tensor(0.1).double()}
    state = TrainState(3, 24, setting.carries, sums, 3, evaluated=2, finished=1)
    parts, counters = take(setting.engine, setting.table, state, setting.shape)
    CheckpointManager(folder).save(state.step, parts, counters, {})
    return state


def restore(setting: Setting, folder: Path) -> TrainState:
    checkpoint = read_checkpoint(folder)
    load_model(checkpoint, setting.model, setting.table, ROWS)
    state = TrainState(position=24)
    dtype = setting.model.config.forward_dtype
    put_back(checkpoint, setting.engine, setting.table, state, setting.shape, dtype)
    return state


def test_a_restored_state_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    first, second = Setting(MICRO), Setting(MICRO, seed=5)
    for _ in range(3):
        first.step()
    saved = snapshot(first, tmp_path)
    state = restore(second, tmp_path)
    assert replace(state, carries=None, sums={}) == replace(saved, carries=None, sums={})
    assert {name: float(value) for name, value in state.sums.items()} == {
        "lm_loss": float(saved.sums["lm_loss"])
    }
    assert state.carries is not None
    second.carries, second.steps = state.carries, 3
    for _ in range(3):
        a, b = first.step(), second.step()
        assert_same_bits(a.metrics, b.metrics)
    assert_same_bits(first.everything(), second.everything())


def test_carries_are_read_by_slot_under_another_accumulation(tmp_path: Path) -> None:
    first, second = Setting(MICRO), Setting(4)
    first.step()
    snapshot(first, tmp_path)
    carries = restore(second, tmp_path).carries
    assert carries is not None
    assert [len(carry.halted) for carry in carries] == [2] * 4
    for level in range(2):
        joined = torch.cat([carry.z[level] for carry in carries])
        assert torch.equal(joined, torch.cat([carry.z[level] for carry in first.carries]))


def test_more_ranks_than_were_saved_share_a_sum_once(tmp_path: Path) -> None:
    first = Setting(MICRO)
    first.step()
    snapshot(first, tmp_path)
    sums = []
    for rank in (0, 1):
        other = Setting(MICRO)
        other.engine.rank, other.engine.ranks = rank, 2
        other.shape = BatchShape(ROWS, MICRO, 2)
        sums.append(float(restore(other, tmp_path).sums["lm_loss"]))
    assert sums == [float(torch.tensor(0.1)), 0.0]


@pytest.mark.parametrize(
    ("evaluated", "finished", "done"), [(0, 0, 0), (6, 0, 0), (7, 0, 1), (7, 7, None), (7, 6, 1)]
)
def test_evaluations_of_a_checkpoints_step_are_counted(
    evaluated: int, finished: int, done: int | None
) -> None:
    state = {"evaluated": evaluated, "finished": finished}
    checkpoint: Any = SimpleNamespace(step=7, state=state)
    assert evaluations_done(checkpoint) == done


def test_a_checkpoint_of_another_model_changes_nothing(tmp_path: Path) -> None:
    first, second = Setting(), Setting(seed=5)
    first.step()
    snapshot(first, tmp_path)
    second.table = DeviceTable(4, 16, CPU)
    before = second.everything()
    with pytest.raises(CheckpointError):
        restore(second, tmp_path)
    assert_same_bits(second.everything(), before)


@pytest.mark.parametrize("size", [ROWS // 2, 2 * ROWS])
def test_a_checkpoint_of_another_batch_size_changes_nothing(size: int, tmp_path: Path) -> None:
    """Also of a larger one, of which a smaller one could take its share."""
    first, second = Setting(), Setting(seed=5)
    first.step()
    snapshot(first, tmp_path)
    before = second.everything()
    checkpoint = read_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match=rf"global_batch_size=8, this run has {size}"):
        load_model(checkpoint, second.model, second.table, size)
    assert_same_bits(second.everything(), before)
