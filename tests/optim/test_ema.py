"""The average of the weights: its arithmetic, what it is kept of, and that it comes and goes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.tiny.runs import assert_same_bits
from hrm_scale.checkpoint import AVERAGES, pack_optimizer, split_averages
from hrm_scale.optim.choose import make_optimizer
from hrm_scale.optim.ema import AVERAGE, WeightAverage, average_of, exchange

CPU = torch.device("cpu")
NAMES = ("adam_atan2", "adamw", "muon")


class Blocks(nn.Module):
    """A matrix that Muon takes, one that it does not, and one that never has a gradient."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.o_proj = nn.Linear(4, 6, bias=False)
        self.head = nn.Linear(6, 3)
        self.unused = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))


def optimizer_of(model: nn.Module, name: str) -> Any:
    optimizer = make_optimizer(
        model.named_parameters(), CPU, name=name, betas=(0.9, 0.95), weight_decay=0.1
    )
    for group in optimizer.param_groups:
        group["lr"] = 0.05
    return optimizer


def step(model: Blocks, optimizer: Any, number: int, *, head: bool = True) -> None:
    generator = torch.Generator().manual_seed(100 + number)
    optimizer.zero_grad()
    for name, parameter in model.named_parameters():
        if not name.startswith("unused") and (head or not name.startswith("head")):
            parameter.grad = torch.randn(parameter.shape, generator=generator)
    optimizer.step()


def values(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def test_the_names_of_part_and_state_are_one() -> None:
    assert AVERAGES == AVERAGE


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_published_average_and_training_is_the_same(name: str) -> None:
    rate = 0.9
    model, plain = Blocks(), Blocks()
    optimizer, without = optimizer_of(model, name), optimizer_of(plain, name)
    WeightAverage(optimizer, rate)
    shadow = {name: value.double() for name, value in values(model).items()}
    for number in range(6):
        # The head has its first gradient late and none at step 4: it is averaged all the same.
        step(model, optimizer, number, head=number not in (0, 4))
        step(plain, without, number, head=number not in (0, 4))
        for key, value in values(model).items():
            shadow[key] = (1 - rate) * value.double() + rate * shadow[key]
    assert_same_bits(values(model), values(plain))
    moments = pack_optimizer(model.named_parameters(), optimizer)
    assert "ema/unused.weight" not in moments
    rest, averages = split_averages(moments, dict(model.named_parameters()))
    assert_same_bits(rest, pack_optimizer(plain.named_parameters(), without))
    assert list(averages) == [key for key, _ in model.named_parameters()]
    for key, value in averages.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value.double(), shadow[key], rtol=0, atol=1e-6)
    assert torch.equal(averages["unused.weight"], model.unused.weight)
    assert (averages["head.weight"] - model.head.weight).abs().max() > 1e-3


def test_before_the_first_update_there_is_none() -> None:
    model = Blocks()
    optimizer = optimizer_of(model, "adam_atan2")
    WeightAverage(optimizer, 0.5)
    before = values(model)
    exchange(model.parameters(), optimizer)
    assert_same_bits(values(model), before)
    assert not optimizer.state
    start = model.head.bias.detach().clone()
    step(model, optimizer, 0)
    torch.testing.assert_close(
        average_of(model.head.bias, optimizer), 0.5 * (start + model.head.bias)
    )


def test_exchanged_twice_all_is_as_before() -> None:
    model = Blocks()
    optimizer = optimizer_of(model, "adamw")
    WeightAverage(optimizer, 0.9)
    for number in range(3):
        step(model, optimizer, number)
    raw, moments = values(model), pack_optimizer(model.named_parameters(), optimizer)
    moments = {name: value.clone() for name, value in moments.items()}
    places = [p.data_ptr() for p in model.parameters()]
    exchange(model.parameters(), optimizer)
    averages = split_averages(moments, raw)[1]
    assert_same_bits(values(model), averages)
    exchange(model.parameters(), optimizer)
    assert_same_bits(values(model), raw)
    assert_same_bits(pack_optimizer(model.named_parameters(), optimizer), moments)
    assert [p.data_ptr() for p in model.parameters()] == places


def test_a_rate_of_zero_is_the_weights_themselves_and_one_is_refused() -> None:
    model = Blocks()
    optimizer = optimizer_of(model, "adam_atan2")
    WeightAverage(optimizer, 0.0)
    step(model, optimizer, 0)
    average = average_of(model.head.weight, optimizer)
    assert average is not None
    assert torch.equal(average, model.head.weight)
    with pytest.raises(ValueError, match="rate"):
        WeightAverage(optimizer, 1.0)
