"""Whether there is room for checkpoints."""

from __future__ import annotations

import shutil
from pathlib import Path


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
