"""Every architecture and every switch that composes with it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from benchmarks.tiny.models import random_batch, tiny_config
from hrm_scale.models import ActModel, Draws, act_loss, build_model, refill
from hrm_scale.models.act import Noise, random_states
from hrm_scale.models.base import RecursiveCore
from hrm_scale.models.config import ModelConfig
from hrm_scale.models.layers import short_convolution
from hrm_scale.models.noise import cut_normal, normal, uniform
from hrm_scale.models.recursion import Cycles, curriculum_cycles, full_depth, passes
from hrm_scale.models.registry import CORES

ROWS = 4
KEYS = torch.arange(ROWS) * 7919


def step_of(
    model: ActModel, rows: slice = slice(0, ROWS), cycles: Cycles | None = None
) -> tuple[Any, Any]:
    """One training step from a fresh carry on rows of one batch."""
    config = model.config
    batch = {name: value[rows] for name, value in random_batch(config, ROWS).items()}
    size = len(batch["inputs"])
    vectors = torch.ones(size, config.puzzle_emb_ndim) if config.puzzle_emb_ndim else None
    draws = Draws(torch.ones(size), torch.full((size,), 2, dtype=torch.int32), KEYS[rows])
    return model(refill(model.initial_carry(batch), batch), vectors, draws, cycles)


def model_of(**changes: Any) -> ActModel:
    torch.manual_seed(3)
    return build_model(tiny_config(**changes)).train()


@settings(deadline=None, max_examples=40)
@given(
    name=st.sampled_from(sorted(CORES)),
    H_cycles=st.integers(1, 3),
    L_cycles=st.integers(1, 4),
    grad_cycles=st.none() | st.integers(1, 5),
    other=st.none() | st.builds(Cycles, st.integers(1, 3), st.integers(1, 3)),
)
def test_blocks_run_as_often_and_with_a_gradient_as_the_schedule_says(
    name: str, H_cycles: int, L_cycles: int, grad_cycles: int | None, other: Cycles | None
) -> None:
    model = model_of(
        name=name,
        H_layers=2,
        L_layers=1,
        H_cycles=H_cycles,
        L_cycles=L_cycles,
        grad_cycles=grad_cycles,
        q_continue="none",
    )
    core = model.inner
    assert isinstance(core, RecursiveCore)
    run, seen = core.run_block, {True: 0, False: 0}

    def counted(*args: Any) -> Tensor:
        seen[torch.is_grad_enabled()] += 1
        return run(*args)

    core.run_block = counted
    step_of(model, cycles=other)
    stacks = passes(model.config, other)
    assert seen[True] == sum(stack.blocks * stack.with_grad for stack in stacks)
    assert seen[False] == sum(stack.blocks * stack.free for stack in stacks)


@pytest.mark.parametrize("name", sorted(CORES))
@pytest.mark.parametrize("mlp_t", [False, True])
@pytest.mark.parametrize("pos_encodings", ["rope", "learned", "none"])
def test_every_parameter_learns_and_the_answer_depends_on_the_input(
    name: str, mlp_t: bool, pos_encodings: str
) -> None:
    model = model_of(
        name=name, mlp_t=mlp_t, pos_encodings=pos_encodings, conv_kernel=2, puzzle_emb_len=3
    )
    assert model.config.total_len == 3 + 16
    carry, outputs = step_of(model)
    loss, _ = act_loss(outputs, carry, "softmax_cross_entropy")
    loss.backward()
    assert outputs.logits.shape == (ROWS, 16, 6)
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
    assert (outputs.logits[0] - outputs.logits[1]).abs().max() > 1e-4


def test_rows_halt_by_the_sign_of_the_halt_value_when_nothing_else_is_learned() -> None:
    for rule, halts in (("none", True), ("untrained", False), ("bootstrap", False)):
        model = model_of(q_continue=rule)
        with torch.no_grad():
            model.inner.q_head.bias.copy_(torch.tensor([1.0, 2.0]))
        batch = random_batch(model.config, ROWS)
        carry = refill(model.initial_carry(batch), batch)
        explored = Draws(torch.ones(ROWS), torch.full((ROWS,), 2, dtype=torch.int32))
        carry, outputs = model(carry, torch.zeros(ROWS, 16), explored)
        assert (outputs.target_q_continue is not None) == (rule == "bootstrap")
        assert bool(carry.halted.all()) == halts


@pytest.mark.parametrize(
    ("full", "stages"),
    [((3, 6), [(1, 2), (2, 4), (3, 6)]), ((2, 2), [(1, 1), (2, 2), (2, 2)]), ((1, 1), [(1, 1)])],
)
def test_curriculum_is_the_published_one_at_the_published_depth(
    full: tuple[int, int], stages: list[tuple[int, int]]
) -> None:
    config = tiny_config(H_cycles=full[0], L_cycles=full[1])
    seen = [curriculum_cycles(config, progress) for progress in (0, 0.29, 0.3, 0.59, 0.6, 1)]
    assert seen[::2] == [Cycles(*stages[min(i, len(stages) - 1)]) for i in range(3)]
    assert seen[::2] == seen[1::2]
    assert seen[-1] == full_depth(config)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_short_convolution_is_torchs_depthwise_one(width: int) -> None:
    conv = nn.Conv1d(8, 8, width, padding=width // 2, groups=8)
    x = torch.randn(3, 5, 8)
    theirs = conv(x.transpose(1, 2))[..., :5].transpose(1, 2)
    torch.testing.assert_close(short_convolution(x, conv.weight, conv.bias), theirs)


# --- noise -------------------------------------------------------------------------------------


def splitmix(key: int, place: int) -> float:
    """The same in Python's whole numbers."""
    mask = (1 << 64) - 1
    x = (key + place * 0x9E3779B97F4A7C15) & mask
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & mask
    return (((x ^ x >> 31) >> 41) + 0.5) / (1 << 23)


@settings(deadline=None, max_examples=50)
@given(
    keys=st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=3), stream=st.integers(-5, 500)
)
def test_uniform_numbers_are_those_of_splitmix(keys: list[int], stream: int) -> None:
    ours = uniform(torch.tensor(keys), stream, (2, 3)).flatten().tolist()
    assert ours == [splitmix(key, i + (stream << 40)) for key in keys for i in range(6)]
    assert all(0 < value < 1 for value in ours)


def test_normal_numbers_have_the_moments_they_should() -> None:
    keys = torch.arange(50)
    wide, cut = normal(keys, 0, (40, 50)), cut_normal(keys, 0, (40, 50))
    for values in (wide, cut):
        assert abs(float(values.mean())) < 0.01
        assert abs(float(values.std()) - 1) < 0.01
    assert float(cut.abs().max()) < 2.3 < float(wide.abs().max())
    other = normal(keys, 1, (40, 50))
    assert abs(float((wide * other).mean())) < 0.01


def test_every_slot_and_level_starts_from_a_random_state_of_its_own() -> None:
    states = random_states(tiny_config(), KEYS, 2)
    rows = torch.cat(states).flatten(1).float()
    correlation = torch.corrcoef(rows)
    assert correlation.shape == (2 * ROWS, 2 * ROWS)
    assert float((correlation - torch.eye(2 * ROWS)).abs().max()) < 0.3


NOISY = {"random_init": True, "noise_scale": 0.1, "relaxation": 0.9}


@pytest.mark.parametrize("name", sorted(CORES))
def test_a_slot_draws_the_same_noise_wherever_it_is(name: str) -> None:
    model = model_of(name=name, **NOISY)
    whole, _ = step_of(model)
    halves = [step_of(model, rows)[0] for rows in (slice(0, 2), slice(2, 4))]
    for level, z in enumerate(whole.z):
        parts = torch.cat([half.z[level] for half in halves])
        torch.testing.assert_close(parts, z, rtol=1e-4, atol=1e-4)
    quiet, _ = step_of(model_of(name=name, relaxation=0.9))
    assert (quiet.z[0] - whole.z[0]).abs().max() > 0.05


def test_every_update_of_a_state_draws_other_noise() -> None:
    core = model_of(name="hrm_v2", noise_scale=0.1).inner
    assert isinstance(core, RecursiveCore)
    stack, z, noise = core.cast().stacks["H_level"], torch.randn(2, 17, 32), Noise(KEYS[:2])
    quiet = core.update(stack, z, z, None)
    for number in range(3):
        drawn = core.update(stack, z, z, noise) - quiet
        expected = 0.1 * normal(KEYS[:2], number, (17, 32))
        torch.testing.assert_close(drawn, expected, rtol=0, atol=1e-5)


def test_noise_needs_its_keys_and_leaves_evaluation_alone() -> None:
    model = model_of(**NOISY)
    batch = random_batch(model.config, ROWS)
    batch["inputs"][:] = batch["inputs"][0]
    carry = refill(model.initial_carry(batch), batch)
    with pytest.raises(ValueError, match="keys"):
        model(carry, torch.zeros(ROWS, 16), Draws(torch.ones(ROWS), torch.ones(ROWS).int()))
    model.eval()
    (one, _), (two, _) = (model(carry, torch.zeros(ROWS, 16)) for _ in range(2))
    assert torch.equal(one.z[0], two.z[0])
    torch.testing.assert_close(one.z[0][0], one.z[0][1])


def test_relaxation_moves_a_state_part_of_the_way() -> None:
    model = model_of(name="hrm_v2", relaxation=0.25)
    core = model.inner
    assert isinstance(core, RecursiveCore)
    stack, z = core.cast().stacks["H_level"], torch.randn(2, 17, 32)
    part = core.update(stack, z, z, None)
    core.config = tiny_config(name="hrm_v2")
    whole = core.update(stack, z, z, None)
    torch.testing.assert_close(part, 0.75 * z + 0.25 * whole)


def test_checkpointing_changes_nothing_with_noise() -> None:
    results = []
    for on in (False, True):
        model = model_of(activation_checkpointing=on, grad_cycles=None, conv_kernel=2, **NOISY)
        carry, outputs = step_of(model)
        act_loss(outputs, carry, "softmax_cross_entropy")[0].backward()
        results.append([p.grad for p in model.parameters()])
    for plain, again in zip(*results, strict=True):
        assert plain is not None
        assert again is not None
        torch.testing.assert_close(plain, again)


def test_config_of_one_state_carries_one() -> None:
    for name, states in (("hrm_v1", 2), ("trm", 2), ("hrm_v2", 1), ("urm", 1)):
        config: ModelConfig = tiny_config(name=name)
        model = build_model(config)
        assert len(model.initial_carry(random_batch(config, 1)).z) == states
