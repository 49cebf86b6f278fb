"""Which engine a run gets."""

from __future__ import annotations

from datetime import timedelta

import torch

from hrm_scale.base.batch_shape import BatchShape
from hrm_scale.base.machine import launcher_number
from hrm_scale.engine import zero_config
from hrm_scale.engine.engine import Engine
from hrm_scale.engine.plain import PlainEngine


def open_engine(
    *,
    device: str,
    deepspeed: str,
    global_batch_size: int,
    accumulation: int,
    bf16_forward: bool,
    timeout: timedelta = timedelta(minutes=10),
) -> Engine:
    """Join the other processes and take the engine that `deepspeed` (``engine.deepspeed``) names.

    Raises ConfigError, before any process waits for another, when the batch cannot be divided
    among the processes or DeepSpeed's settings cannot be used.
    """
    batch = BatchShape(global_batch_size, accumulation, launcher_number("WORLD_SIZE", 1))
    found = zero_config.requested(deepspeed)
    if found is None:
        return PlainEngine(device, timeout)
    from hrm_scale.engine.zero import ZeroEngine

    settings, source = found
    shape = zero_config.Shape(
        batch,
        bf16_forward=bf16_forward,
        on_cpu=not torch.cuda.is_available(),
    )
    return ZeroEngine(device, zero_config.complete(settings, source, shape), source, timeout)
