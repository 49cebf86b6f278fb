"""The random numbers of a step: functions of the seed, the step and the slot, of nothing else."""

from __future__ import annotations

import numpy as np
import torch

from hrm_scale.config.schema import RunConfig
from hrm_scale.engine import Engine
from hrm_scale.models import Draws
from hrm_scale.training.snapshot import slot_range


def exploration_draws(
    seed: int, step: int, global_batch_size: int, halt_max_steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """The halting coin and minimum of every slot at a step: float32 [G] in [0, 1), int32 [G] in
    2..halt_max_steps. A function of (seed, step) and the slot alone: neither the number of ranks
    nor accumulation changes what a slot draws, and a resumed run needs no generator state."""
    generator = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, step]))
    rand = generator.random(global_batch_size, dtype=np.float32)
    randint = generator.integers(
        2, max(halt_max_steps, 2), size=global_batch_size, dtype=np.int32, endpoint=True
    )
    return rand, randint


def noise_keys(seed: int, step: int, global_batch_size: int) -> np.ndarray:
    """The key of every slot's noise at a step: int64 [G], a function of (seed, step) and the slot
    alone, as the exploration draws are."""
    generator = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 1, step]))
    return generator.integers(2**63, size=global_batch_size, dtype=np.int64)


def draws_of(run: RunConfig, engine: Engine, step: int) -> list[Draws]:
    """The draws of this rank's slots at a step, one entry a micro-step, on its device."""
    batch, arch = run.global_batch_size, run.arch
    whole = [*exploration_draws(run.seed, step, batch, arch.halt_max_steps)]
    if arch.random_init or arch.noise_scale:
        whole.append(noise_keys(run.seed, step, batch))
    draws = []
    for micro in range(run.engine.accumulation):
        slots = slice(*slot_range(micro, engine.rank, engine.ranks, run.engine.accumulation, batch))
        mine = (torch.from_numpy(values[slots]) for values in whole)
        draws.append(Draws(*(values.to(engine.device, non_blocking=True) for values in mine)))
    return draws
