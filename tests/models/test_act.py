"""Slots: when they halt, what they take when they are free, and that outputs depend on inputs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmarks.tiny.models import exploring, no_exploration, random_batch, tiny_config, tiny_model
from hrm_scale.models import ActModel, Carry, Draws, act_loss, build_model, refill
from hrm_scale.models.config import ModelConfig

ROWS = 6


def vectors(config: ModelConfig, rows: int = ROWS) -> torch.Tensor:
    return torch.randn(rows, config.puzzle_emb_ndim, generator=torch.Generator().manual_seed(9))


def bias_q(model: ActModel, halt: float, go_on: float) -> None:
    """Make the halt head say the same for every row."""
    with torch.no_grad():
        model.inner.q_head.bias.copy_(torch.tensor([halt, go_on]))


def walk(model: ActModel, draws: Draws | None, steps: int, rows: int = ROWS) -> list[Carry]:
    """Carries after each of `steps` steps on one batch, never refilled."""
    batch = random_batch(model.config, rows)
    carry = refill(model.initial_carry(batch), batch)
    carries = []
    for _ in range(steps):
        carry, _ = model(carry, vectors(model.config, rows), draws)
        carries.append(carry)
    return carries


def test_initial_carry_is_free_slots() -> None:
    model = tiny_model()
    batch = random_batch(model.config, ROWS)
    carry = model.initial_carry(batch)
    assert carry.halted.all()
    assert (carry.steps == 0).all()
    assert [z.shape for z in carry.z] == [(ROWS, 17, 32)] * 2
    assert {name: value.dtype for name, value in carry.data.items()} == dict.fromkeys(
        batch, torch.int32
    )


def test_refill_gives_free_slots_their_row_and_leaves_the_others() -> None:
    config = tiny_config()
    old, new = random_batch(config, ROWS, seed=1), random_batch(config, ROWS, seed=2)
    halted = torch.tensor([True, False, False, True, False, True])
    z = (torch.randn(ROWS, 17, 32), torch.randn(ROWS, 17, 32))
    steps = torch.arange(1, ROWS + 1, dtype=torch.int32)
    carry = Carry(z=z, steps=steps, halted=halted, data=old)
    filled = refill(carry, new)
    for name in old:
        for row in range(ROWS):
            source = new if halted[row] else old
            assert torch.equal(filled.data[name][row], source[name][row])
        assert filled.data[name].dtype == torch.int32
    assert filled.steps.tolist() == [0, 2, 3, 0, 5, 0]
    assert filled.steps.dtype == torch.int32
    assert torch.equal(filled.halted, halted)
    # Nothing of what was there is changed in place.
    assert carry.steps.tolist() == [1, 2, 3, 4, 5, 6]


def test_a_refilled_slot_forgets_its_state_and_a_busy_one_does_not() -> None:
    model = tiny_model().eval()
    batch = random_batch(model.config, ROWS)
    fresh = refill(model.initial_carry(batch), batch)
    noise = tuple(torch.randn(ROWS, 17, 32) for _ in range(2))
    started, _ = model(fresh, vectors(model.config))
    dirty, _ = model(replace(fresh, z=noise), vectors(model.config))
    assert torch.equal(started.z[0], dirty.z[0])
    busy, _ = model(replace(fresh, z=noise, halted=~fresh.halted), vectors(model.config))
    assert not torch.allclose(busy.z[0], started.z[0])


def test_every_slot_halts_at_the_maximum() -> None:
    model = tiny_model().train()
    bias_q(model, -5.0, 5.0)  # nobody wants to halt
    halted = [carry.halted.tolist() for carry in walk(model, no_exploration(ROWS), 4)]
    assert halted == [[False] * ROWS] * 3 + [[True] * ROWS]


def test_without_exploration_slots_halt_when_halting_is_worth_more() -> None:
    model = tiny_model().train()
    bias_q(model, 5.0, -5.0)
    (first,) = walk(model, no_exploration(ROWS), 1)
    assert first.halted.all()
    assert (first.steps == 1).all()
    bias_q(model, 1.0, 1.0)  # worth as much is not more
    (first,) = walk(model, no_exploration(ROWS), 1)
    assert not first.halted.any()


@pytest.mark.parametrize("minimum", [2, 3, 4])
def test_exploring_slots_never_halt_before_their_minimum(minimum: int) -> None:
    model = tiny_model().train()
    bias_q(model, 5.0, -5.0)  # everybody wants to halt
    carries = walk(model, exploring(ROWS, minimum), minimum)
    assert [bool(carry.halted.any()) for carry in carries] == [False] * (minimum - 1) + [True]
    assert carries[-1].halted.all()


def test_the_minimum_binds_only_the_slots_that_explore() -> None:
    model = tiny_model().train()
    bias_q(model, 5.0, -5.0)
    coins = torch.tensor([0.0, 0.49, 0.5, 0.9, 0.2, 0.99])  # probability 0.5: below explores
    (first,) = walk(model, Draws(coins, torch.full((ROWS,), 3, dtype=torch.int32)), 1)
    assert first.halted.tolist() == [False, False, True, True, False, True]


def test_evaluation_never_halts_early() -> None:
    model = tiny_model().eval()
    bias_q(model, 9.0, -9.0)
    halted = [bool(carry.halted.any()) for carry in walk(model, None, 4)]
    assert halted == [False, False, False, True]


def test_training_with_act_needs_draws_and_sets_a_target() -> None:
    model = tiny_model().train()
    batch = random_batch(model.config, ROWS)
    carry = refill(model.initial_carry(batch), batch)
    with pytest.raises(ValueError, match="exploration draws"):
        model(carry, vectors(model.config))
    _, outputs = model(carry, vectors(model.config), no_exploration(ROWS))
    assert outputs.target_q_continue is not None
    assert not outputs.target_q_continue.requires_grad
    assert ((outputs.target_q_continue > 0) & (outputs.target_q_continue < 1)).all()
    _, outputs = model.eval()(carry, vectors(model.config))
    assert outputs.target_q_continue is None


def test_the_target_at_the_last_step_is_the_next_halt_value() -> None:
    config = tiny_config()
    model = tiny_model().train()
    torch.nn.init.normal_(model.inner.q_head.weight)
    batch = random_batch(config, ROWS)
    carry = refill(model.initial_carry(batch), batch)
    for last in (False, True):
        steps = torch.full((ROWS,), config.halt_max_steps - 1 if last else 0, dtype=torch.int32)
        started = replace(carry, steps=steps)
        after, outputs = model(started, vectors(config), no_exploration(ROWS))
        # One more step from the new state, said by evaluation mode.
        with torch.no_grad():
            again = replace(after, halted=torch.zeros(ROWS, dtype=torch.bool))
            _, ahead = model.eval()(again, vectors(config))
        model.train()
        best = ahead.q_halt_logits
        if not last:
            best = torch.maximum(best, ahead.q_continue_logits)
            assert not torch.equal(best, ahead.q_halt_logits)
        torch.testing.assert_close(outputs.target_q_continue, torch.sigmoid(best))


@pytest.mark.parametrize("changes", [{"act_enabled": False}, {"halt_max_steps": 1}])
def test_without_act_there_is_no_target_and_no_need_of_draws(changes: dict[str, object]) -> None:
    model = tiny_model(**changes).train()
    bias_q(model, 9.0, -9.0)
    carries = walk(model, None, model.config.halt_max_steps)
    assert [bool(carry.halted.any()) for carry in carries[:-1]] == [False] * (len(carries) - 1)
    assert carries[-1].halted.all()


def test_the_carry_takes_no_gradient_along() -> None:
    model = tiny_model().train()
    carries = walk(model, no_exploration(ROWS), 2)
    assert not any(z.requires_grad for carry in carries for z in carry.z)


@pytest.mark.parametrize("positions", ["rope", "learned", "none"])
@pytest.mark.parametrize("width", [0, 16, 40])
def test_answers_depend_on_the_question(positions: str, width: int) -> None:
    """Guard against a model that ignores what it is given."""
    model = tiny_model(pos_encodings=positions, puzzle_emb_ndim=width).eval()
    batch = random_batch(model.config, 2)
    batch["inputs"][1] = batch["inputs"][0]
    batch["inputs"][1, 3] = batch["inputs"][0, 3] % 5 + 1
    table = vectors(model.config, 1).expand(2, -1) if width else None
    carry = refill(model.initial_carry(batch), batch)
    _, outputs = model(carry, table)
    assert outputs.logits.shape == (2, 16, 6)
    # One changed cell is heard at every other cell.
    heard = (outputs.logits[0] - outputs.logits[1]).abs().amax(-1)
    assert float(heard.detach().min()) > 1e-4
    if width:
        _, other = model(carry, table + 1)
        assert not torch.allclose(other.logits, outputs.logits)


@pytest.mark.parametrize(
    ("positions", "same"), [("rope", False), ("learned", False), ("none", True)]
)
def test_positions_matter_only_when_they_are_encoded(positions: str, same: bool) -> None:
    model = tiny_model(pos_encodings=positions, puzzle_emb_ndim=0).eval()
    batch = random_batch(model.config, 1)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(1))
    _, straight = model(refill(model.initial_carry(batch), batch), None)
    mixed = {**batch, "inputs": batch["inputs"][:, order]}
    _, shuffled = model(refill(model.initial_carry(mixed), mixed), None)
    difference = float((straight.logits[:, order] - shuffled.logits).detach().abs().max())
    assert (difference < 1e-4) == same


def test_rows_do_not_see_each_other() -> None:
    model = tiny_model().eval()
    batch = random_batch(model.config, ROWS)
    table = vectors(model.config)
    _, together = model(refill(model.initial_carry(batch), batch), table)
    for row in range(ROWS):
        alone = {name: value[row : row + 1] for name, value in batch.items()}
        _, single = model(refill(model.initial_carry(alone), alone), table[row : row + 1])
        torch.testing.assert_close(single.logits[0], together.logits[row], rtol=1e-4, atol=1e-5)


def test_every_parameter_but_none_else_learns_in_one_step() -> None:
    model = tiny_model(pos_encodings="learned").train()
    # A fresh halt head has zero weights, which let no gradient through to the state: as published.
    batch = random_batch(model.config, ROWS)
    leaf = vectors(model.config).requires_grad_()
    carry, outputs = model(refill(model.initial_carry(batch), batch), leaf, no_exploration(ROWS))
    loss, _ = act_loss(outputs, carry, "stablemax_cross_entropy")
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert bool((parameter.grad != 0).any()), name
    assert leaf.grad is not None
    assert bool((leaf.grad != 0).any())


def test_bf16_is_close_to_fp32_and_keeps_fp32_weights() -> None:
    exact, rounded = tiny_model(), tiny_model(forward_dtype=torch.bfloat16)
    batch = random_batch(exact.config, ROWS)
    table = vectors(exact.config)
    _, a = exact.eval()(refill(exact.initial_carry(batch), batch), table)
    carry, b = rounded.eval()(refill(rounded.initial_carry(batch), batch), table)
    assert {p.dtype for p in rounded.parameters()} == {torch.float32}
    assert {z.dtype for z in carry.z} == {torch.bfloat16}
    assert b.q_halt_logits.dtype == torch.float32
    # Rounding to 8 bits through 6 blocks: a few hundredths of logits of size 1.
    assert float((a.logits - b.logits.float()).abs().mean().detach()) < 0.05


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown architecture 'gpt'; known: hrm_v1"):
        build_model(tiny_config(name="gpt"))
