"""One evaluation of a checkpoint, from its configuration to what was found."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from hrm_scale.base.errors import ConfigError
from hrm_scale.checkpoint import FOLDER_KEY
from hrm_scale.config.counts import parse_counts
from hrm_scale.config.data_build import build_hint
from hrm_scale.config.schema_inference import EvaluateConfig
from hrm_scale.data import Dataset, EvalBatch, open_dataset
from hrm_scale.engine import Engine
from hrm_scale.evaluation.arc.questions import arc_questions, chosen_rows
from hrm_scale.evaluation.arc.rows import ArcRows
from hrm_scale.evaluation.evaluate import collect, evaluate
from hrm_scale.evaluation.observers.base import EvalResult, Metric, Observer
from hrm_scale.evaluation.observers.registry import make_observers
from hrm_scale.evaluation.report import Progress
from hrm_scale.evaluation.restore import Restored, restore
from hrm_scale.evaluation.rollout import make_query
from hrm_scale.evaluation.scaling.measure import Scaling
from hrm_scale.modelling import require_rows


class Session:
    """A checkpoint restored, its data opened, and the work shared by the processes of `engine`.

    Raises ConfigError, CheckpointError or DataError when they do not go together.
    """

    def __init__(self, config: EvaluateConfig, engine: Engine) -> None:
        self.config, self.engine = config, engine
        self.device = engine.device
        self.report_steps = parse_counts(config.steps) if config.steps else None
        self.restored = _restore(config, self)
        self.path = config.data_path or self.restored.run.data_path
        missing = _about_missing_data(self.restored, config.data_path)
        self.dataset = open_dataset(self.path, missing=missing)
        self.meta = self.dataset.meta
        _require_same_form(self.restored, self.dataset, self.path)
        self.batch_size = config.batch_size or self.restored.run.global_batch_size
        model = self.restored.model.config
        require_rows("batch_size", self.batch_size, engine.ranks, model, self.device)
        self.rows: ArcRows | None = None
        self.chosen: np.ndarray | None = None
        if self.meta.puzzle.has_tasks:
            self.rows = ArcRows(self.dataset, config.split)
            self.chosen = chosen_rows(self.rows, config.limit, config.seed)
        elif config.augmentation_counts or config.aggregated_voting:
            key = "augmentation_counts" if config.augmentation_counts else "aggregated_voting"
            raise ConfigError(
                f"{key} is about votes over the variants of ARC tasks, data_path={self.path} is of"
                f" kind {self.meta.kind}: leave it out"
            )
        self.seconds = 0.0
        self.scaling: Scaling | None = None
        self.observers: list[Observer] = []
        if config.trajectories:
            self.scaling = self._make_scaling(parse_counts(config.trajectories))
        else:
            self.observers = make_observers(self)
        self.metrics: list[Metric] = [self.scaling] if self.scaling else [*self.observers]

    @property
    def max_steps(self) -> int:
        """ACT steps of every row, at most."""
        return self.restored.model.config.halt_max_steps

    @property
    def data_name(self) -> str:
        """The data set and its split."""
        return f"{self.path} ({self.config.split})"

    def run(self) -> EvalResult:
        """Evaluate; every process calls it and gets the results of all."""
        started = time.monotonic()
        result = self._follow(self.scaling) if self.scaling else self._observe()
        self.seconds = time.monotonic() - started
        return result

    def _make_scaling(self, trajectories: Sequence[int]) -> Scaling:
        return Scaling(
            self.meta,
            self.restored.reasoner,
            self.report_steps or (self.max_steps,),
            trajectories,
            noise=self.config.noise,
            random_start=self.config.random_start,
            seed=self.config.random_seed,
            rows_at_once=-(-self.batch_size // self.engine.ranks),
        )

    def _questions(self, batch_size: int) -> tuple[Iterable[EvalBatch], int]:
        """This rank's batches, and how many rows all ranks have."""
        config, engine = self.config, self.engine
        if self.rows is not None:
            total = len(self.rows) if self.chosen is None else len(self.chosen)
            place = engine.rank, engine.ranks
            return arc_questions(self.rows, self.chosen, self.meta, batch_size, *place), total
        total = self.dataset.split(config.split).examples
        columns = dict.fromkeys(name for one in self.observers for name in one.columns)
        batches = self.dataset.eval_batches(
            config.split,
            batch_size,
            rank=engine.rank,
            ranks=engine.ranks,
            limit=config.limit,
            seed=config.seed,
            extras=list(columns),
        )
        return batches, min(config.limit or total, total)

    def _observe(self) -> EvalResult:
        questions, total = self._questions(self.batch_size)
        report_steps: Sequence[int] = self.report_steps or (self.max_steps,)
        if any(observer.every_step for observer in self.observers):
            report_steps = range(1, self.max_steps + 1)
        with Progress(total, self.engine.rank == 0) as progress:
            result = evaluate(
                self.restored.model,
                self.restored.table,
                questions,
                self.observers,
                self.engine,
                report_steps=report_steps,
                early_exit=self.config.early_exit,
                progress=progress.update,
            )
        assert result is not None  # nothing ends it
        return result

    def _follow(self, scaling: Scaling) -> EvalResult:
        # So few puzzles at a time that their trajectories are one batch.
        questions, total = self._questions(-(-self.batch_size // scaling.trajectories[-1]))
        done = 0
        with Progress(total, self.engine.rank == 0) as progress:
            for part in questions:
                scaling.run(make_query(part, self.restored.table, self.device, padded=False))
                done += part.rows
                progress.update(done)
        return collect([scaling], self.engine)


def _restore(config: EvaluateConfig, session: Session) -> Restored:
    steps = session.report_steps
    return restore(
        Path(config.checkpoint),
        device=session.device,
        halt_max_steps=max(steps) if steps else config.halt_max_steps,
        dtype=config.dtype,
        attention=config.engine.attention,
        # Batches of any size must not be compiled one by one.
        compiled=config.engine.compile is True
        and not config.early_exit
        and config.trajectories is None,
        weights=config.weights,
    )


def _about_missing_data(restored: Restored, given: str | None) -> str | None:
    """What an error adds where the data are missing: `given`, or those of the run."""
    build = build_hint(restored.run, given)
    if given is not None:
        return build
    folder = restored.checkpoint.state.get(FOLDER_KEY)
    try:
        elsewhere = folder is not None and not os.path.samefile(folder, os.curdir)
    except OSError:  # one of them is gone
        elsewhere = True
    return "; ".join(
        [
            *([f"the run was trained in {folder}"] if elsewhere else []),
            "give data_path=DIR",
            *([f"or {build}"] if build else []),
        ]
    )


def _require_same_form(restored: Restored, dataset: Dataset, path: str) -> None:
    for name in ("kind", "vocab_size", "seq_len"):
        ours, theirs = getattr(restored.meta, name), getattr(dataset.meta, name)
        if ours != theirs:
            raise ConfigError(
                f"data_path={path} has {name}={theirs}, the checkpoint was trained with {ours}:"
                " give data of the same kind with data_path=DIR"
            )
    if restored.table is not None:
        known, asked = restored.table.num_identifiers, dataset.meta.num_puzzle_identifiers
        if asked > known:
            raise ConfigError(
                f"data_path={path} has {asked} puzzle identifiers, the checkpoint knows {known}:"
                " give the data set that it was trained on"
            )
