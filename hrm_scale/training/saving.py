"""Saving a run: when time has come, at once or in the background, and what if there is no room."""

from __future__ import annotations

import os
from collections.abc import Mapping
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
from hrm_scale.config.schema import RunConfig
from hrm_scale.data import Loader
from hrm_scale.engine import Engine
from hrm_scale.modelling import TABLE
from hrm_scale.optim.puzzle_table import PuzzleTable
from hrm_scale.reporting import Reporter
from hrm_scale.training.clock import Clock
from hrm_scale.training.disk import disk_warning
from hrm_scale.training.early_stopping import EarlyStopping
from hrm_scale.training.guards import Guard
from hrm_scale.training.resuming import continue_command
from hrm_scale.training.snapshot import TrainState, take
from hrm_scale.training.watch import Watch


@dataclass
class Saving:
    """Saves `state` and all that belongs to it. Every rank calls every method at the same step.

    facts: what the data set is, written into the checkpoint.
    """

    config: RunConfig
    run_dir: Path
    engine: Engine
    table: PuzzleTable | None
    loader: Loader
    facts: Mapping[str, Any]
    checkpoints: CheckpointManager
    reporter: Reporter
    clock: Clock
    watch: Watch
    guard: Guard
    early: EarlyStopping
    state: TrainState
    background: BackgroundSaves = field(init=False)

    def __post_init__(self) -> None:
        self.background = BackgroundSaves(self.checkpoints)
        self.saved_step = self.state.step
        self._weights_step = -1
        self._short_of_disk = False
        self._saved_at = self.clock.total_seconds
        self.time_is_up = False
        """Whether `max_time` ends the run now, by the clock of any rank."""
        self._folder = os.getcwd()  # now: it may be removed while the run goes on
        self.continue_command = ""
        """The command that resumes from the last save."""

    @property
    def minutes_are_up(self) -> bool:
        """Whether `checkpoint.every_minutes` asks for a save, by this rank's clock."""
        minutes = self.config.checkpoint.every_minutes
        return minutes is not None and self.clock.total_seconds - self._saved_at >= 60 * minutes

    def save(self, *, must: bool = False, best: bool = False) -> None:
        """Save now. Unless it `must` succeed, a failure is a warning and no more; a save that must
        is complete on return. `best`: this step's evaluation is the best so far."""
        with self.clock.paused("checkpoint"), self.watch.phase("saving"):
            self.collect(wait=True)
            parts, document, config = self._snapshot()
            self._warn_of_disk()
            if self.config.checkpoint.asynchronous and not must:
                self.background.start(self.state.step, parts, document, config, best=best)
            else:
                try:
                    self.checkpoints.save(self.state.step, parts, document, config, best=best)
                except CheckpointNotSaved as error:
                    if must:
                        raise
                    self.reporter.warn(str(error))
                self._tell_warnings()
        self.saved_step, self._saved_at = self.state.step, self.clock.total_seconds

    def save_last(self) -> None:
        """The save at the end of a run. When there is no room for all, the weights alone are
        saved: nothing is left to go on with, but the result must not be lost."""
        try:
            self.save(must=True)
        except CheckpointNotSaved as error:
            if self._weights_step == self.state.step:
                return  # they are there already, and there is no room for a second copy
            parts, document, config = self._snapshot()
            weights = {
                name: tensors
                for name, tensors in parts.items()
                if name in ("model", AVERAGES) or TABLE in tensors
            }
            path = self.checkpoints.save_weights(self.state.step, weights, document, config)
            self.reporter.warn(
                f"{error}. The weights alone are in {path}, for evaluation;"
                " more steps would go on from the last good checkpoint"
            )
            self._weights_step = self.state.step

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
            self.reporter.warn(str(failure))
        if not self.background.busy:
            self._tell_warnings()

    def _snapshot(self) -> tuple[dict[str, dict[str, Any]], dict[str, Any], dict[str, Any]]:
        """Parts, state.json and config.json of now."""
        config, state = self.config, self.state
        self.reporter.sync()
        parts, counters = take(
            self.engine,
            self.table,
            state,
            accumulation=config.engine.accumulation,
            global_batch=config.global_batch_size,
        )
        # Where the loss is not read at every step this is the last moment to notice: a poisoned
        # state must not push out the good checkpoints.
        loss = sum(counters["sums"].get("lm_loss", ()))
        self.guard.require_finite(loss, f"up to step {state.step}, which is not saved")
        spent, limit = self.clock.total_seconds, self.config.max_time
        if self.time_is_up and limit is not None:
            spent = max(spent, limit)
        self.continue_command = continue_command(config, spent)
        document = {
            **counters,
            "command": self.continue_command,
            FOLDER_KEY: self._folder,
            "data": self.loader.state(state.position),
            "dataset": self.facts,
            "clock": self.clock.state_dict(),
            "guards": self.guard.state_dict(),
            "early_stopping": self.early.state_dict(),
        }
        return parts, document, to_dict(config)

    def _warn_of_disk(self) -> None:
        size = self.checkpoints.last_bytes
        warning = disk_warning(self.run_dir, size) if size else None
        if warning and not self._short_of_disk:  # not again at every save until there was room
            self.reporter.warn(warning)
        self._short_of_disk = warning is not None

    def _tell_warnings(self) -> None:
        for warning in self.checkpoints.warnings:
            self.reporter.warn(warning)
        self.checkpoints.warnings.clear()
