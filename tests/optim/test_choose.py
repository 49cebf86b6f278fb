"""The network's optimizer by name: who updates what, by whose arithmetic, saved and resumed."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.tiny.models import tiny_model
from hrm_scale.base.errors import ConfigError, EnvironmentProblem
from hrm_scale.checkpoint import pack_optimizer, unpack_optimizer
from hrm_scale.optim.adam_atan2 import AdamATan2
from hrm_scale.optim.choose import (
    OPTIMIZERS,
    make_optimizer,
    refuse_sharded,
    resolve_optimizer,
    state_bytes,
    state_keys,
)
from hrm_scale.optim.ema import WeightAverage, average_of
from hrm_scale.optim.muon import MuonAndAdamATan2, is_matrix

CPU = torch.device("cpu")
BETAS = (0.8, 0.9)
DECAY = 0.3
SHAPES = {
    "H.layers.0.self_attn.qkv_proj.weight": (12, 4),
    "H.layers.0.mlp.down_proj.weight": (4, 6),
    "L.layers.1.mlp_t.gate_up_proj.weight": (10, 3),
    "H.layers.0.mlp.dwconv.weight": (6, 1, 2),
    "H.layers.0.mlp.dwconv.bias": (6,),
    "embed_tokens.embedding_weight": (5, 4),
    "lm_head.weight": (5, 4),
    "q_head.bias": (2,),
}
Named = dict[str, nn.Parameter]


def parameters() -> Named:
    generator = torch.Generator().manual_seed(0)
    return {
        name: nn.Parameter(torch.randn(shape, generator=generator))
        for name, shape in SHAPES.items()
    }


def make(name: str, named: Named) -> Optimizer:
    return make_optimizer(named.items(), CPU, name=name, betas=BETAS, weight_decay=DECAY)


def gradients(steps: int, seed: int = 1) -> Iterator[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        yield {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


def train(optimizer: Optimizer, named: Named, grads: Iterator[dict[str, Tensor]]) -> None:
    """Steps as an engine takes them: the rate of every group is set anew."""
    for number, values in enumerate(grads):
        for name, parameter in named.items():
            parameter.grad = values[name].clone()
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * (number + 1)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def assert_same(first: Named, second: Named) -> None:
    for name, parameter in first.items():
        assert torch.equal(parameter, second[name]), name


def test_muon_takes_the_matrices_of_the_blocks_and_nothing_else() -> None:
    model = tiny_model()
    taken = {name for name, p in model.named_parameters() if is_matrix(name, p)}
    kinds = ("self_attn.qkv", "self_attn.o", "mlp.gate_up", "mlp.down")
    assert taken == {
        f"inner.{level}_level.layers.{layer}.{kind}_proj.weight"
        for level in "HL"
        for layer in range(len(getattr(model.inner, f"{level}_level").layers))
        for kind in kinds
    }
    assert {name for name, p in parameters().items() if is_matrix(name, p)} == set(list(SHAPES)[:3])


@pytest.mark.parametrize("name", ["neo_proj.weight", "o_proj.weights", "layers.0.down_proj.bias"])
def test_a_name_that_only_resembles_a_matrix_is_none(name: str) -> None:
    assert not is_matrix(name, torch.zeros(2, 2))
    assert is_matrix("o_proj.weight", torch.zeros(2, 2))
    assert not is_matrix("o_proj.weight", torch.zeros(2, 2, 1))


def test_muon_is_torchs_own_beside_adam_atan2() -> None:
    ours, theirs = parameters(), parameters()
    train(make("muon", ours), ours, gradients(4))
    matrices = {name: theirs[name] for name in list(SHAPES)[:3]}
    others = {name: theirs[name] for name in list(SHAPES)[3:]}
    muon = torch.optim.Muon(matrices.values(), weight_decay=DECAY, adjust_lr_fn="match_rms_adamw")
    train(muon, matrices, gradients(4))
    train(AdamATan2(others.values(), betas=BETAS, weight_decay=DECAY), others, gradients(4))
    assert_same(ours, theirs)


def test_muons_updates_are_of_adams_size() -> None:
    """What lets one learning rate serve both: about 0.2 in root mean square, at any shape."""
    for shape in ((64, 64), (192, 64), (64, 192)):
        parameter = nn.Parameter(torch.zeros(shape))
        other = nn.Parameter(torch.zeros(1))
        named = {"o_proj.weight": parameter, "bias": other}
        optimizer = make("muon", named)
        parameter.grad = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        for group in optimizer.param_groups:
            group["lr"] = 1.0
        optimizer.step()
        assert 0.12 < float(parameter.detach().square().mean().sqrt()) < 0.25, shape


def test_adamw_is_torchs_own() -> None:
    ours, theirs = parameters(), parameters()
    optimizer = make("adamw", ours)
    assert type(optimizer) is torch.optim.AdamW
    train(optimizer, ours, gradients(4))
    plain = torch.optim.AdamW(
        theirs.values(), betas=BETAS, weight_decay=DECAY, fused=False, foreach=False
    )
    train(plain, theirs, gradients(4))
    for name, parameter in ours.items():
        torch.testing.assert_close(parameter, theirs[name], rtol=1e-5, atol=1e-6)


def test_adam_atan2_is_ours_over_all_parameters() -> None:
    ours, theirs = parameters(), parameters()
    optimizer = make("adam_atan2", ours)
    assert type(optimizer) is AdamATan2
    train(optimizer, ours, gradients(3))
    train(AdamATan2(theirs.values(), betas=BETAS, weight_decay=DECAY), theirs, gradients(3))
    assert_same(ours, theirs)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_resumed_run_takes_the_same_steps(name: str) -> None:
    """Through what a checkpoint holds, bit for bit."""
    whole = parameters()
    optimizer = make(name, whole)
    train(optimizer, whole, gradients(3))
    packed = {key: value.clone() for key, value in pack_optimizer(whole.items(), optimizer).items()}
    halfway = {key: nn.Parameter(value.detach().clone()) for key, value in whole.items()}
    train(optimizer, whole, gradients(3, seed=2))

    resumed = make(name, halfway)
    unpack_optimizer(packed, halfway.items(), resumed)
    again = pack_optimizer(halfway.items(), resumed)
    assert again.keys() == packed.keys()
    assert all(torch.equal(again[key], value) for key, value in packed.items())
    train(resumed, halfway, gradients(3, seed=2))
    assert_same(whole, halfway)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_state_dict_of_torch_resumes_too(name: str) -> None:
    whole = parameters()
    optimizer = make(name, whole)
    train(optimizer, whole, gradients(2))
    halfway = {key: nn.Parameter(value.detach().clone()) for key, value in whole.items()}
    resumed = make(name, halfway)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for run, named in ((optimizer, whole), (resumed, halfway)):
        train(run, named, gradients(2, seed=2))
    assert_same(whole, halfway)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_is_what_is_foretold(name: str) -> None:
    """The names that a checkpoint is checked against, and the bytes that memory is planned by."""
    named = parameters()
    optimizer = make(name, named)
    assert not optimizer.state
    train(optimizer, named, gradients(1))
    for label, parameter in named.items():
        assert set(optimizer.state[parameter]) == set(state_keys(name, label, parameter))
    held = [v for state in optimizer.state.values() for k, v in state.items() if k != "step"]
    assert state_bytes(name, named.items()) == sum(v.numel() * v.element_size() for v in held)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_group_takes_the_schedules_rate(name: str) -> None:
    """At first all rates are 0: a step changes nothing. Muon's two parts share groups and state."""
    named = parameters()
    optimizer = make(name, named)
    assert {group["lr"] for group in optimizer.param_groups} == {0.0}
    assert {group["weight_decay"] for group in optimizer.param_groups} == {DECAY}
    covered = [p for group in optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in covered} == {id(p) for p in named.values()}
    assert len(covered) == len(named)
    for parameter in named.values():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert_same(named, parameters())
    optimizer.param_groups[-1]["lr"] = 0.1
    optimizer.step()
    moved = [k for k, v in parameters().items() if not torch.equal(v, named[k])]
    assert moved == (list(SHAPES)[3:] if name == "muon" else list(SHAPES))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_hooks_are_called_once_a_step(name: str) -> None:
    named = parameters()
    optimizer = make(name, named)
    calls: list[Optimizer] = []

    def hook(optimizer: Optimizer, args: Any, options: Any) -> None:
        calls.append(optimizer)

    optimizer.register_step_post_hook(hook)
    train(optimizer, named, gradients(2))
    assert calls == [optimizer, optimizer]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_average_of_the_weights_is_kept_beside_each(name: str) -> None:
    """It changes no step, and finds every parameter, whichever part updates it."""
    averaged, plain = parameters(), parameters()
    optimizer = make(name, averaged)
    WeightAverage(optimizer, 0.5)
    train(optimizer, averaged, gradients(1))
    train(make(name, plain), plain, gradients(1))
    assert_same(averaged, plain)
    for label, start in parameters().items():
        average = average_of(averaged[label], optimizer)
        assert average is not None
        torch.testing.assert_close(average, (start + averaged[label]) / 2)


def test_muons_closure_is_called_once_with_gradients_enabled() -> None:
    named = parameters()
    optimizer = make("muon", named)
    calls = []

    def closure() -> float:
        loss = torch.stack([p.square().sum() for p in named.values()]).sum()
        loss.backward()
        calls.append(1)
        return float(loss.detach())

    assert optimizer.step(closure) is not None
    assert len(calls) == 1


def test_a_matrix_without_a_gradient_is_left_alone() -> None:
    named = parameters()
    optimizer = make("muon", named)
    for group in optimizer.param_groups:
        group["lr"] = 0.1
    optimizer.step()
    assert_same(named, parameters())
    assert not optimizer.state


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_muon_is_refused_where_matrices_are_cut(stage: int) -> None:
    with pytest.raises(ConfigError, match=f"muon with ZeRO stage {stage} \\(my.json\\)") as caught:
        refuse_sharded("muon", stage, "my.json")
    assert "\n" not in str(caught.value)
    assert "engine.deepspeed=off" in str(caught.value)
    refuse_sharded("muon", 0, "")
    for name in ("adam_atan2", "adamw"):
        refuse_sharded(name, stage, "my.json")


def test_muon_needs_a_torch_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.optim, "Muon")
    for attempt in (
        lambda: make("muon", parameters()),
        lambda: resolve_optimizer("muon", CPU),
    ):
        with pytest.raises(
            EnvironmentProblem, match=r"has no torch\.optim\.Muon; install"
        ) as caught:
            attempt()
        assert "\n" not in str(caught.value)
    assert resolve_optimizer("adamw", CPU)[0] == "AdamW"


def test_muon_needs_matrices_and_others() -> None:
    named = parameters()
    for names in (list(SHAPES)[:3], list(SHAPES)[3:]):
        with pytest.raises(ConfigError, match="it needs both; type optimizer=adam_atan2"):
            make("muon", {name: named[name] for name in names})


def test_what_runs_and_why() -> None:
    assert resolve_optimizer("adam_atan2", CPU)[0] == "AdamATan2"
    assert "fused" in resolve_optimizer("adamw", CPU)[1]
    name, why = resolve_optimizer("muon", CPU)
    assert name == "Muon"
    assert "the rest AdamATan2, torch" in why
    assert type(make("muon", parameters())) is MuonAndAdamATan2


def test_another_name_is_refused() -> None:
    for attempt in (lambda: make("sgd", parameters()), lambda: resolve_optimizer("sgd", CPU)):
        with pytest.raises(ValueError, match="'sgd' is none of adam_atan2, adamw, muon"):
            attempt()
