"""The parts of a run, built once in `build.py` and handed on as one object."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hrm_scale.base.batch_shape import BatchShape
from hrm_scale.config.schema import RunConfig
from hrm_scale.data import Dataset, Loader
from hrm_scale.engine import Engine
from hrm_scale.models import ActModel
from hrm_scale.optim.puzzle_table import PuzzleTable
from hrm_scale.reporting import Reporter
from hrm_scale.training.clock import Clock
from hrm_scale.training.early_stopping import EarlyStopping
from hrm_scale.training.guards import Guard
from hrm_scale.training.horizon import Horizon
from hrm_scale.training.snapshot import TrainState
from hrm_scale.training.watch import Watch


@dataclass(frozen=True)
class RunParts:
    """What training, evaluating and saving work with. `state`, `clock`, `guard` and `early` change
    while a run trains, and are part of its checkpoints."""

    config: RunConfig
    run_dir: Path
    shape: BatchShape
    horizon: Horizon
    engine: Engine
    model: ActModel
    table: PuzzleTable | None
    dataset: Dataset
    loader: Loader
    reporter: Reporter
    watch: Watch
    clock: Clock
    guard: Guard
    early: EarlyStopping
    state: TrainState
