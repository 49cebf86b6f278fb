"""Checks that stop or warn before damage is done. Plain numbers in: no device is touched here."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

from hrm_scale.errors import NonFiniteError


def check_finite(
    *,
    step: int,
    positions: tuple[int, int],
    loss: float,
    gradient_norm: float | None = None,
    last_checkpoint: Path | None = None,
) -> None:
    """Raise NonFiniteError when the loss or the gradient norm is NaN or infinite.

    Call it before the parameters are updated. positions: samples [start, stop) of the step, as
    the loader counts them (`loader.fetch(start, stop)` gives them back).
    """
    for name, value in (("loss", loss), ("gradient norm", gradient_norm)):
        if value is None or math.isfinite(value):
            continue
        start, stop = positions
        back = "there is no checkpoint yet" if last_checkpoint is None else f"{last_checkpoint}"
        raise NonFiniteError(
            f"{name} is {value} at step {step}, samples [{start}, {stop});"
            f" last good checkpoint: {back}."
            " Lower lr, lengthen lr_warmup_steps, or set arch.forward_dtype=float32"
        )


def disk_warning(folder: Path, checkpoint_bytes: int) -> str | None:
    """A warning when `folder`'s disk has less room than two checkpoints; None when it has.

    Two, because the old checkpoint stays until the new one is complete. `folder` need not
    exist yet; checkpoint_bytes: size of the last checkpoint, or an estimate before the first.
    """
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if free >= 2 * checkpoint_bytes:
        return None
    mib = 1 << 20
    return (
        f"little disk space for checkpoints: {free / mib:.0f} MiB free in {folder}, a checkpoint"
        f" takes {checkpoint_bytes / mib:.0f} MiB and two must fit; free some space or set"
        " checkpoint_path to another disk"
    )
