"""`checkpoints/best`: a link to the checkpoint whose evaluation was the best so far."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from hrm_scale.base.files import fsync_path
from hrm_scale.checkpoint.discovery import candidates, checkpoints_folder, step_folder_name

BEST = "best"


def best_checkpoint(run_dir: Path) -> Path | None:
    """The folder that `best` names, None when there is none."""
    link = checkpoints_folder(run_dir) / BEST
    try:
        name = os.readlink(link)
    except OSError:
        return None
    named = [folder for _, folder in candidates(run_dir) if folder.name == name]
    return named[0] if named else None


def mark_best(run_dir: Path, step: int | None) -> list[str]:
    """Let `best` name the checkpoint of `step`, in one step; return what went wrong.

    For None, or a step whose checkpoint is not there, an older mark stays while it names one.
    Something else of that name, which is not ours, stays too.
    """
    link = checkpoints_folder(run_dir) / BEST
    if link.exists() and not link.is_symlink():
        return [f"{link} is not a link of this program's: the best checkpoint is not marked"]
    target = None if step is None else step_folder_name(step)
    try:
        if target is None or not link.with_name(target).is_dir():
            if not link.exists():
                link.unlink(missing_ok=True)
            return []
        if link.is_symlink() and os.readlink(link) == target:
            return []
        fresh = link.with_name(f".{BEST}.tmp-{secrets.token_hex(4)}")
        try:
            fresh.symlink_to(target)
            os.replace(fresh, link)
        except BaseException:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise
        fsync_path(link.parent)
    except OSError as error:
        return [f"{link} could not be written: {error.strerror}"]
    return []
