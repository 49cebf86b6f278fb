"""Learning-rate schedule: a pure function of the step."""

from __future__ import annotations

import math


def learning_rate(
    step: int, base: float, *, warmup_steps: int, total_steps: int, min_ratio: float
) -> float:
    """Linear warm-up, then a half cosine from `base` to `base * min_ratio` at `total_steps`.

    Steps are counted from 1. A `min_ratio` of 1 keeps the rate constant after the warm-up.
    """
    if step < warmup_steps:
        return base * step / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return base * (min_ratio + (1 - min_ratio) * 0.5 * (1 + math.cos(math.pi * progress)))
