"""Saving a run: when time has come, at once or in the background, and what if there is no room."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hrm_scale.checkpoint import (
    AVERAGES,
    FOLDER_KEY,
    BackgroundSaves,
    CheckpointManager,
    CheckpointNotSaved,
)
from hrm_scale.config.saved import to_dict
from hrm_scale.modelling import TABLE, dataset_facts
from hrm_scale.training.parts import RunParts
from hrm_scale.training.resuming import continue_command
from hrm_scale.training.snapshot import take


@dataclass
class Saving:
    """Saves `state` and all that belongs to it. Every rank calls every method at the same step."""

    parts: RunParts
    checkpoints: CheckpointManager
    background: BackgroundSaves = field(init=False)

    def __post_init__(self) -> None:
        self.background = BackgroundSaves(self.checkpoints)
        self.parts.guard.last_checkpoint = self.last_good
        self.saved_step = self.parts.state.step
        self._weights_step = -1
        self._short_of_disk = False
        self._saved_at = self.parts.clock.total_seconds
        self.time_is_up = False
        """Whether `max_time` ends the run now, by the clock of any rank."""
        self._folder = os.getcwd()  # now: it may be removed while the run goes on
        self.continue_command = ""
        """The command that resumes from the last save."""

    @property
    def minutes_are_up(self) -> bool:
        """Whether `checkpoint.every_minutes` asks for a save, by this rank's clock."""
        minutes = self.parts.config.checkpoint.every_minutes
        return (
            minutes is not None and self.parts.clock.total_seconds - self._saved_at >= 60 * minutes
        )

    def save(self, *, must: bool = False, best: bool = False) -> None:
        """Save now. Unless it `must` succeed, a failure is a warning and no more; a save that must
        is complete on return. `best`: this step's evaluation is the best so far."""
        with self.parts.clock.paused("checkpoint"), self.parts.watch.phase("saving"):
            self.collect(wait=True)
            parts, document, config = self._snapshot()
            self._warn_of_disk()
            if self.parts.config.checkpoint.asynchronous and not must:
                self.background.start(self.parts.state.step, parts, document, config, best=best)
            else:
                try:
                    self.checkpoints.save(self.parts.state.step, parts, document, config, best=best)
                except CheckpointNotSaved as error:
                    if must:
                        raise
                    self.parts.reporter.warn(str(error))
                self._tell_warnings()
        self.saved_step, self._saved_at = self.parts.state.step, self.parts.clock.total_seconds

    def save_last(self) -> None:
        """The save at the end of a run. When there is no room for all, the weights alone are
        saved: nothing is left to go on with, but the result must not be lost."""
        try:
            self.save(must=True)
        except CheckpointNotSaved as error:
            if self._weights_step == self.parts.state.step:
                return  # they are there already, and there is no room for a second copy
            parts, document, config = self._snapshot()
            weights = {
                name: tensors
                for name, tensors in parts.items()
                if name in ("model", AVERAGES) or TABLE in tensors
            }
            path = self.checkpoints.save_weights(self.parts.state.step, weights, document, config)
            self.parts.reporter.warn(
                f"{error}. The weights alone are in {path}, for evaluation;"
                " more steps would go on from the last good checkpoint"
            )
            self._weights_step = self.parts.state.step

    def last_good(self) -> Path | None:
        """The newest checkpoint of the run, that which is being written included."""
        self.collect(wait=True)
        return self.checkpoints.last_path

    def collect(self, *, wait: bool = False) -> None:
        """Tell what became of a save in the background; `wait` for its end."""
        if not self.background.busy:
            return
        failure = self.background.collect(wait=wait)
        if failure is not None:
            self.parts.reporter.warn(str(failure))
        if not self.background.busy:
            self._tell_warnings()

    def _snapshot(self) -> tuple[dict[str, dict[str, Any]], dict[str, Any], dict[str, Any]]:
        """Parts, state.json and config.json of now."""
        config, state = self.parts.config, self.parts.state
        self.parts.reporter.sync()
        run = self.parts
        tensors, counters = take(run.engine, run.table, state, run.shape)
        # Where the loss is not read at every step this is the last moment to notice: a poisoned
        # state must not push out the good checkpoints.
        loss = sum(counters["sums"].get("lm_loss", ()))
        self.parts.guard.require_finite(loss, f"up to step {state.step}, which is not saved")
        spent, limit = self.parts.clock.total_seconds, self.parts.config.max_time
        if self.time_is_up and limit is not None:
            spent = max(spent, limit)
        self.continue_command = continue_command(config, spent)
        document = {
            **counters,
            "command": self.continue_command,
            FOLDER_KEY: self._folder,
            "data": self.parts.loader.state(state.position),
            "dataset": dataset_facts(self.parts.dataset.meta),
            "clock": self.parts.clock.state_dict(),
            "guards": self.parts.guard.state_dict(),
            "early_stopping": self.parts.early.state_dict(),
        }
        return tensors, document, to_dict(config)

    def _warn_of_disk(self) -> None:
        size = self.checkpoints.last_bytes
        warning = disk_warning(self.parts.run_dir, size) if size else None
        if warning and not self._short_of_disk:  # not again at every save until there was room
            self.parts.reporter.warn(warning)
        self._short_of_disk = warning is not None

    def _tell_warnings(self) -> None:
        for warning in self.checkpoints.warnings:
            self.parts.reporter.warn(warning)
        self.checkpoints.warnings.clear()


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
