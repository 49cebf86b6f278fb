"""Which checkpoint a run goes on from, and what of its settings has changed since."""

from __future__ import annotations

import os
from pathlib import Path

from hrm_scale.checkpoint import (
    AVERAGES,
    CheckpointManager,
    LoadedCheckpoint,
    changed_settings,
    read_checkpoint,
    require_resumable,
    set_aside_after,
)
from hrm_scale.config.saved import to_dict
from hrm_scale.config.schema import RunConfig
from hrm_scale.data import find_dataset
from hrm_scale.errors import CheckpointError


def find_checkpoint(
    run: RunConfig, run_dir: Path, checkpoints: CheckpointManager
) -> tuple[LoadedCheckpoint | None, list[str]]:
    """The checkpoint to go on from under ``resume``, verified, and what the user should know."""
    if run.resume not in ("auto", "never", "must"):
        found = read_checkpoint(Path(run.resume))
        require_resumable(found)
        inside = found.path.parent.parent.resolve() == run_dir.resolve()
        if inside and checkpoints.ranks.is_first:
            set_aside_after(run_dir, found.step)
        return found, []
    path, refusals = checkpoints.latest_valid()
    notes = [f"checkpoint passed over: {refusal}" for refusal in refusals]
    if run.resume == "never":
        if path is not None:
            raise CheckpointError(
                f"{run_dir} already holds {path.name} and resume=never: choose another run_name,"
                " delete the folder, or type resume=auto to go on with it"
            )
        return None, notes
    if path is None and refusals:
        # To begin anew would take weeks, and write over what may still be mended.
        raise CheckpointError(
            f"none of the {len(refusals)} checkpoints of {run_dir} is valid, newest: {refusals[0]};"
            f" restore one from a copy, or move {run_dir}/checkpoints away to start from the"
            " beginning"
        )
    if path is None:
        if run.resume == "must":
            raise CheckpointError(
                f"resume=must, but {run_dir} has no checkpoint: type resume=auto to start from the"
                " beginning"
            )
        return None, notes
    found = read_checkpoint(path, check="none")
    require_resumable(found)
    return found, notes


def changed_since(found: LoadedCheckpoint, run: RunConfig) -> list[str]:
    """Lines naming what becomes of averaged weights, and the settings that differ from the
    checkpoint's, if any do."""
    ignored = (
        "checkpoint_path",
        "resume",
        "project_name",
        "run_name",
        "log",
        "max_time",
        "data_build",
    )
    saved, now = dict(found.config), to_dict(run)
    if _same_place(found, run):
        saved["data_path"] = now["data_path"]
    lines = [
        line
        for line in changed_settings(saved, now)
        if not line.split(":")[0].split(".")[0].startswith(ignored)
    ]
    notes = _about_averages(found, run)
    if not lines:
        return notes
    return [*notes, f"settings differ from those of {found.path.name}: {'; '.join(lines)}"]


def _same_place(found: LoadedCheckpoint, run: RunConfig) -> bool:
    """Whether the checkpoint's data path and the run's lead to one folder, however written."""
    path = found.config.get("data_path")
    if not isinstance(path, str):
        return False
    return os.path.realpath(find_dataset(path, found.folders)) == os.path.realpath(run.data_path)


def _about_averages(found: LoadedCheckpoint, run: RunConfig) -> list[str]:
    held = AVERAGES in found.parts
    if held and not run.ema:
        return [
            f"the averaged weights of {found.path.name} are not kept on: ema=false; type ema=true"
            " to keep them"
        ]
    if run.ema and not held:
        return [f"{found.path.name} has no averaged weights: the average starts at its weights"]
    return []
