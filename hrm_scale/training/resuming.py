"""Which checkpoint a run resumes from, what of its settings changed, and what to type to resume."""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

from hrm_scale.base.errors import CheckpointError, ConfigError
from hrm_scale.base.redaction import redact
from hrm_scale.base.worker_exit import is_restart
from hrm_scale.checkpoint import (
    AVERAGES,
    CheckpointManager,
    LoadedCheckpoint,
    changed_settings,
    latest_valid,
    read_checkpoint,
    require_resumable,
    set_aside_after,
)
from hrm_scale.config.checks import RESUME_WORDS
from hrm_scale.config.durations import format_duration
from hrm_scale.config.saved import to_dict
from hrm_scale.config.schema import RunConfig
from hrm_scale.data import find_dataset
from hrm_scale.modelling import DTYPES, choose_dtype


def find_checkpoint(
    run: RunConfig, run_dir: Path, checkpoints: CheckpointManager
) -> tuple[LoadedCheckpoint | None, list[str]]:
    """The verified checkpoint to resume from under ``resume``, and notes for the user.

    A restart by a launcher or a batch system resumes from the newest checkpoint of the run folder
    once the command it repeats has saved one: `resume` is a request to the first start.
    """
    named = run.resume not in RESUME_WORDS
    restarted = any(checkpoints.ranks.all_gather(is_restart()))
    path, refusals = checkpoints.latest_valid() if restarted or not named else (None, [])
    notes = [f"checkpoint passed over: {refusal}" for refusal in refusals]
    if restarted and path is not None:
        found = read_checkpoint(path, check="none")
        # Its own command has saved it. Any other one is what `resume` is about.
        if found.config.get("resume") == to_dict(run)["resume"]:
            require_resumable(found)
            return found, notes
    if named:
        return _named_checkpoint(run, run_dir, checkpoints), []
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


def _named_checkpoint(
    run: RunConfig, run_dir: Path, checkpoints: CheckpointManager
) -> LoadedCheckpoint:
    """The checkpoint at the path ``resume``. What the run folder holds of another course of
    training is set aside: all that is newer, or everything for a checkpoint of another run."""
    found = read_checkpoint(Path(run.resume))
    require_resumable(found)
    inside = found.path.parent.parent.resolve() == run_dir.resolve()
    if checkpoints.ranks.is_first:
        set_aside_after(run_dir, found.step if inside else -1)
    return found


def continue_command(run: RunConfig, spent_seconds: float) -> str:
    """The command that resumes this run from its newest checkpoint: the one that started it, or
    its launcher's, with `resume=auto` where it asked for something else.

    spent_seconds: of `max_time`; when that is used up, the command raises it.
    """
    launcher = os.environ.get("HRM_SCALE_COMMAND")
    words = (
        shlex.split(launcher) if launcher else ["python", "-m", "hrm_scale.train", *sys.argv[1:]]
    )
    if run.resume not in ("auto", "must"):
        # Always added: the old value may be inside a batch script, which a later setting overrides.
        words = [*(word for word in words if _key(word) != "resume"), "resume=auto"]
    if run.max_time is not None and spent_seconds >= run.max_time:
        words = [word for word in words if _key(word) != "max_time"]
        times = math.floor(spent_seconds / run.max_time + 0.5) + 1
        words.append(f"max_time={format_duration(times * run.max_time)}")
    return redact(shlex.join(words))


def _key(word: str) -> str:
    return word.partition("=")[0].strip().lstrip("+")


def with_dtype(run: RunConfig) -> tuple[RunConfig, str]:
    """The run with ``arch.forward_dtype=auto`` replaced by a decision, and the reason for it.

    A run that resumes keeps the dtype recorded in its checkpoint, on any machine. The engine needs
    the decision before the processes can agree on a checkpoint, so this looks for one without
    reading its tensors; `dtype_notes` compares it with the checkpoint found later.
    """
    on_gpu = run.engine.device != "cpu" and torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    dtype, why = choose_dtype(run.arch.forward_dtype, device, _dtype_of_newest(run))
    arch = run.arch.model_copy(update={"forward_dtype": dtype})
    return run.model_copy(update={"arch": arch}), why


def dtype_notes(
    found: LoadedCheckpoint, asked: str, decided: str, device: torch.device
) -> list[str]:
    """The line about a forward dtype that this machine would not choose, or that has changed."""
    recorded = _recorded_dtype(found)
    if recorded is None:
        return []
    before, _ = choose_dtype("auto", device, recorded)
    here, why = choose_dtype("auto", device)
    if before != decided:
        if asked == "auto":
            raise ConfigError(
                f"{found.path} was computed in {before}, a newer one that is damaged in {decided}:"
                f" type arch.forward_dtype={before}"
            )
        return [
            f"arch.forward_dtype={decided}, {found.path.name} was computed in {before}: its carry"
            " is converted"
        ]
    if asked == "auto" and here != decided:
        return [
            f"forward dtype {decided} as recorded in {found.path.name}, this machine alone would"
            f" take {here} ({why}): type arch.forward_dtype={here} to change it"
        ]
    return []


def _dtype_of_newest(run: RunConfig) -> str | None:
    """The dtype recorded in the checkpoint that the run will probably resume from."""
    assert run.checkpoint_path is not None
    named = run.resume not in RESUME_WORDS
    path: Path | None = None
    if is_restart() or not named:
        path, _ = latest_valid(Path(run.checkpoint_path), hashes=False)
    if path is None and named:
        path = Path(run.resume)
    try:
        return None if path is None else _recorded_dtype(read_checkpoint(path, check="size"))
    except CheckpointError:
        return None  # `find_checkpoint` reports it


def _recorded_dtype(checkpoint: LoadedCheckpoint) -> str | None:
    arch = checkpoint.config.get("arch")
    dtype = arch.get("forward_dtype") if isinstance(arch, Mapping) else None
    return dtype if isinstance(dtype, str) and dtype in DTYPES else None


def changed_since(found: LoadedCheckpoint, run: RunConfig) -> list[str]:
    """Lines naming what becomes of averaged weights, and the settings that differ from the
    checkpoint's, if any do. The forward dtype has a line of its own (`dtype_notes`)."""
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
        and not line.startswith("arch.forward_dtype:")
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
