"""Parameters, moments, averages and gradients of a DeepSpeed engine by parameter name, and back.

Under ZeRO a rank holds slices of one flat vector. What is saved is the same as for every other
engine: whole fp32 tensors by name. One parameter at a time is put together, so a checkpoint takes
no more memory than its largest tensor on every rank but the one that keeps the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from hrm_scale.checkpoint import pack_optimizer, unpack_optimizer
from hrm_scale.optim.adam_atan2 import AdamATan2
from hrm_scale.optim.ema import AVERAGE, average_of, exchange

MOMENTS = ("exp_avg", "exp_avg_sq")
Parameters = Mapping[str, nn.Parameter]


def full_parameters(parameters: Parameters, stage: int, *, keep: bool) -> dict[str, Tensor]:
    """fp32 parameters on the CPU where `keep`; every rank calls it."""
    from deepspeed.utils import safe_get_full_fp32_param

    if stage == 0:
        return {name: p.detach() for name, p in parameters.items()} if keep else {}
    return _collect(parameters, safe_get_full_fp32_param, keep)


def full_gradients(parameters: Parameters) -> dict[str, Tensor]:
    """Complete gradients, between the last backward and the step; every rank calls it."""
    from deepspeed.utils import safe_get_full_grad

    return {name: safe_get_full_grad(p) for name, p in parameters.items()}


def full_moments(
    parameters: Parameters, zero: Any, optimizer: Optimizer, *, keep: bool
) -> dict[str, Tensor]:
    """Optimizer state as `KEY/PARAMETER` on the CPU where `keep`; every rank calls it."""
    from deepspeed.utils import safe_get_full_optimizer_state

    if zero is optimizer:  # stage 0
        return pack_optimizer(parameters.items(), optimizer) if keep else {}
    flats = _flats(zero, optimizer)
    if not all(optimizer.state.get(flat) for flat in flats):
        return {}  # before the first update
    _link(zero)
    packed: dict[str, Tensor] = {}
    averaging = AVERAGE in optimizer.state[flats[0]]
    for key in (*MOMENTS, AVERAGE) if averaging else MOMENTS:
        found = _collect(parameters, lambda p, k=key: safe_get_full_optimizer_state(p, k), keep)
        packed |= {f"{key}/{name}": value for name, value in found.items()}
    if keep:
        count = optimizer.state[flats[0]]["step"].detach().cpu()
        packed |= {f"step/{name}": count.clone() for name in parameters}
    return packed


def set_masters(parameters: Parameters, values: Mapping[str, Tensor]) -> None:
    """Set the fp32 masters of bf16 parameters, which DeepSpeed has made from rounded ones."""
    for name, value in values.items():
        _set(parameters[name], value, None)


def load_parameters(parameters: Parameters, stage: int, values: Mapping[str, Tensor]) -> None:
    """Set masters and what the model computes with, in the midst of training."""
    with torch.no_grad():
        parameter: Any
        for name, parameter in parameters.items():
            if stage == 0:
                parameter.copy_(values[name])
                continue
            _set(parameter, values[name], None)
            if stage == 3:
                parameter.ds_tensor.copy_(_slice(parameter, values[name]))
            else:
                parameter.copy_(values[name])


def load_moments(
    parameters: Parameters, zero: Any, optimizer: Optimizer, moments: Mapping[str, Tensor]
) -> None:
    """Put back what `full_moments` gave."""
    if zero is optimizer:  # stage 0
        unpack_optimizer(moments, parameters.items(), optimizer)
        return
    if not moments:
        return
    first = next(name for name in parameters if f"step/{name}" in moments)
    count = moments[f"step/{first}"].float()
    keys = (*MOMENTS, AVERAGE) if f"{AVERAGE}/{first}" in moments else MOMENTS
    on_cpu = isinstance(optimizer, AdamATan2 | torch.optim.AdamW)
    for flat in _flats(zero, optimizer):
        # DeepSpeed finds a place for each value only in moments that exist already.
        optimizer.state[flat] = {
            # Our AdamATan2 and torch's AdamW count on the CPU, the compiled one on the device.
            "step": count.clone() if on_cpu else count.to(flat.device, copy=True),
            # What has no moments yet, by an engine that updates each parameter by itself.
            **{key: torch.zeros_like(flat.data, dtype=torch.float32) for key in MOMENTS},
            **({AVERAGE: flat.detach().clone()} if AVERAGE in keys else {}),
        }
    _link(zero)
    for name, parameter in parameters.items():
        for key in keys:
            if f"{key}/{name}" in moments:
                _set(parameter, moments[f"{key}/{name}"], key)


@contextmanager
def averaged(parameters: Parameters, stage: int, zero: Any, optimizer: Optimizer) -> Iterator[None]:
    """The parameters, all of them here, hold their averages inside; every rank enters."""
    from deepspeed.utils import safe_get_full_optimizer_state

    if stage == 0:
        exchange(parameters.values(), optimizer)
        try:
            yield
        finally:
            exchange(parameters.values(), optimizer)
        return
    if average_of(_flats(zero, optimizer)[0], optimizer) is None:
        yield  # before the first update
        return
    _link(zero)
    # Stage 3 gathers the parameters anew at the next step: what is here now is thrown away.
    raw = {} if stage == 3 else {name: p.detach().clone() for name, p in parameters.items()}
    with torch.no_grad():
        for parameter in parameters.values():
            whole = safe_get_full_optimizer_state(parameter, AVERAGE)
            parameter.copy_(whole.view(_shape(parameter)))
    try:
        yield
    finally:
        with torch.no_grad():
            for name, value in raw.items():
                parameters[name].copy_(value)


def _collect(parameters: Parameters, get: Any, keep: bool) -> dict[str, Tensor]:
    found = {}
    for name, parameter in parameters.items():
        value = get(parameter)
        if keep:
            found[name] = value.detach().float().cpu().view(_shape(parameter))
    return found


def _shape(parameter: Any) -> torch.Size:
    """The whole parameter's shape; a stage 3 parameter that is spread out has none itself."""
    return getattr(parameter, "ds_shape", parameter.shape)


def _flats(zero: Any, optimizer: Optimizer) -> list[Tensor]:
    """The flat fp32 vectors that the optimizer updates on this rank."""
    groups = [p for group in optimizer.param_groups for p in group["params"]]
    return list(getattr(zero, "fp32_partitioned_groups_flat", groups))


def _link(zero: Any) -> None:
    """Stages 1 and 2: let each parameter find its slice of the moments."""
    if hasattr(zero, "_lazy_init_hp_params_optimizer_state"):
        zero._hp_optimizer_states_linked = False
        zero._lazy_init_hp_params_optimizer_state()


def _set(parameter: Any, value: Tensor, key: str | None) -> None:
    from deepspeed.utils import (
        safe_set_full_fp32_param,
        safe_set_full_optimizer_state,
        safe_set_local_fp32_param,
        safe_set_local_optimizer_state,
    )

    if not hasattr(parameter, "ds_id"):
        if key is None:
            safe_set_full_fp32_param(parameter, value)
        else:
            safe_set_full_optimizer_state(parameter, value, key)
        return
    if key is None:
        safe_set_local_fp32_param(parameter, _slice(parameter, value))
    else:
        safe_set_local_optimizer_state(parameter, _slice(parameter, value), key)


def _slice(parameter: Any, value: Tensor) -> Tensor:
    """Stage 3: this rank's of equal slices of the flat tensor, the last one padded."""
    size = parameter.ds_tensor.ds_numel
    rank = torch.distributed.get_rank()
    flat = value.flatten()
    mine = flat.new_zeros(size)
    part = flat[rank * size : (rank + 1) * size]
    mine[: part.numel()] = part
    return mine
