"""Which checkpoints stay. Runs only after a new one is committed, and never fails a run."""

from __future__ import annotations

import os
from pathlib import Path

from hrm_scale.base.errors import CheckpointError
from hrm_scale.base.files import fsync_path, remove_folder
from hrm_scale.checkpoint.best import best_checkpoint
from hrm_scale.checkpoint.discovery import candidates, checkpoints_folder, refusal, weights_only
from hrm_scale.checkpoint.manifest import MANIFEST, read_manifest


def prune(run_dir: Path, keep_last: int, protected: Path) -> list[str]:
    """Delete checkpoints older than the newest `keep_last` usable ones; return what went wrong.

    Never deleted: `protected` (the one just written), the best one, anything newer than the oldest
    kept one, and folders without our manifest. A damaged checkpoint does not count as one of those
    kept. Weights alone of an earlier end of the run go.
    """
    problems: list[str] = []
    kept = 0
    best = best_checkpoint(run_dir)
    for _, folder in weights_only(run_dir):
        problems += _removed(folder)
    for step, folder in candidates(run_dir):
        if folder == protected:
            kept += 1
            continue
        if kept < keep_last:
            kept += refusal(step, folder, hashes=False) is None
            continue
        if folder != best:
            problems += _removed(folder)
    return problems


def _removed(folder: Path) -> list[str]:
    """Delete a folder if it is ours; what went wrong."""
    if not _is_ours(folder):
        return []
    try:
        remove_folder(folder, marker=MANIFEST)
    except OSError as error:
        return [f"old checkpoint {folder} could not be deleted: {error.strerror}"]
    return []


def clean_leftovers(run_dir: Path) -> None:
    """Remove what a killed save or deletion left behind; finish or undo a cut-off replacement.

    Raises OSError when the folder cannot be written, which the save that follows would meet too.
    """
    parent = checkpoints_folder(run_dir)
    for link in parent.glob(".best.tmp-*"):
        link.unlink()
    for path in sorted([*parent.glob(".step-*"), *parent.glob(".weights-*")]):
        name, _, kind = path.name[1:].partition(".")
        if kind.startswith("old-") and not (parent / name).exists():
            os.rename(path, parent / name)
        elif kind.startswith(("tmp-", "trash-", "old-")):
            remove_folder(path, marker=MANIFEST)


def set_aside_after(run_dir: Path, step: int) -> list[Path]:
    """Rename checkpoints newer than `step` to `superseded-...`, so that no later resume takes them.

    For a run that is restarted from an older checkpoint on purpose: it must not jump back to
    the course it has left, and the user must not lose those files either. Returns the new names.
    """
    moved: list[Path] = []
    for newer, folder in candidates(run_dir):
        if newer <= step:
            break
        number = 0
        while (target := folder.with_name(f"superseded-{number}-step-{newer:08d}")).exists():
            number += 1
        os.rename(folder, target)
        moved.append(target)
    if moved:
        fsync_path(checkpoints_folder(run_dir))
    return moved


def _is_ours(folder: Path) -> bool:
    if folder.is_symlink():
        return False
    try:
        read_manifest(folder)
    except CheckpointError:
        return False
    return True
