"""The optimizer of the network's parameters, by the name that ``optimizer`` gives it.

All three decay the weights apart from the gradient, every parameter alike: ``p *= 1 - lr*wd``.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

from hrm_scale.base.errors import ConfigError
from hrm_scale.optim import adam_atan2
from hrm_scale.optim.adam_atan2 import make_adam_atan2
from hrm_scale.optim.muon import MuonAndAdamATan2, is_matrix, require_muon

OPTIMIZERS = ("adam_atan2", "adamw", "muon")
_ADAM_STATE = ("exp_avg", "exp_avg_sq", "step")
_MUON_STATE = ("momentum_buffer",)


def make_optimizer(
    named_parameters: Iterable[tuple[str, Tensor]],
    device: torch.device,
    *,
    name: str,
    betas: tuple[float, float],
    weight_decay: float,
) -> Optimizer:
    """One of `OPTIMIZERS` for parameters on `device`, else ValueError.

    Every group's lr is 0 until the schedule sets it, and all take the same. Muon has no use for
    `betas`, the AdamATan2 beside it has. Raises as `resolve_optimizer` does.
    """
    named = list(named_parameters)
    if name == "muon":
        return MuonAndAdamATan2(named, device, betas=betas, weight_decay=weight_decay)
    parameters = [parameter for _, parameter in named]
    if name == "adam_atan2":
        return make_adam_atan2(parameters, device, betas, weight_decay)
    if name == "adamw":
        return torch.optim.AdamW(
            parameters, lr=0.0, betas=betas, weight_decay=weight_decay, fused=_fused(device)
        )
    raise _unknown(name)


def resolve_optimizer(name: str, device: torch.device) -> tuple[str, str]:
    """What makes the updates on `device`, and which implementation that is and why, for people.

    Raises EnvironmentProblem where this torch has no Muon.
    """
    adam = "; ".join(adam_atan2.resolve_backend(device))
    if name == "adam_atan2":
        return "AdamATan2", adam
    if name == "adamw":
        way = "fused, one pass over memory" if _fused(device) else "torch's choice for this device"
        return "AdamW", f"torch.optim.AdamW; {way}"
    if name == "muon":
        require_muon()
        return "Muon", f"torch.optim.Muon for the blocks' matrices; the rest AdamATan2, {adam}"
    raise _unknown(name)


def state_keys(name: str, parameter_name: str, parameter: Tensor) -> tuple[str, ...]:
    """Names of the state that optimizer `name` keeps of a parameter, once it has been updated."""
    if name == "muon" and is_matrix(parameter_name, parameter):
        return _MUON_STATE
    return _ADAM_STATE


def state_bytes(name: str, named_parameters: Iterable[tuple[str, Tensor]]) -> int:
    """Bytes of the fp32 moments of all parameters, step counts not counted."""
    return sum(
        4 * parameter.numel() * sum(key != "step" for key in state_keys(name, label, parameter))
        for label, parameter in named_parameters
    )


def refuse_sharded(name: str, stage: int, source: str) -> None:
    """Raise ConfigError where ZeRO would cut the matrices that optimizer `name` needs whole.

    stage: of ZeRO, 0 without DeepSpeed. source: where its settings come from.
    """
    if name == "muon" and stage > 0:
        raise ConfigError(
            f"optimizer=muon with ZeRO stage {stage} ({source}): it needs whole matrices, and ZeRO"
            " cuts them into flat slices; type engine.deepspeed=off, use stage 0, or"
            " optimizer=adam_atan2"
        )


def _fused(device: torch.device) -> bool | None:
    """On a CPU one pass instead of a dozen. On a GPU torch's fused kernel wants the step counts
    there; None, torch's own choice, keeps them on the CPU, as checkpoints put them back."""
    return True if device.type == "cpu" else None


def _unknown(name: str) -> ValueError:
    return ValueError(f"optimizer {name!r} is none of {', '.join(OPTIMIZERS)}")
