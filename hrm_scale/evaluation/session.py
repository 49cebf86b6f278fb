"""One evaluation of a checkpoint, from its configuration to what was found."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hrm_scale.base.errors import ConfigError
from hrm_scale.checkpoint import FOLDER_KEY
from hrm_scale.config.counts import parse_counts
from hrm_scale.config.data_build import build_hint
from hrm_scale.config.schema_inference import EvaluateConfig
from hrm_scale.data import Dataset, EvalBatch, open_dataset
from hrm_scale.engine import Engine
from hrm_scale.evaluation.arc.rows import ArcRows
from hrm_scale.evaluation.arc.task_votes import TaskVotes
from hrm_scale.evaluation.breakdown import COLUMNS, Breakdown
from hrm_scale.evaluation.evaluate import observe, over_all
from hrm_scale.evaluation.failures import Failures
from hrm_scale.evaluation.path_counts import PathCounts
from hrm_scale.evaluation.report import Progress
from hrm_scale.evaluation.restore import Restored, restore
from hrm_scale.evaluation.rollout import ask
from hrm_scale.evaluation.scaling import Scaling
from hrm_scale.evaluation.step_counts import StepCounts
from hrm_scale.evaluation.tally import Tally
from hrm_scale.evaluation.voting import Ballot, arc_questions, chosen_rows
from hrm_scale.modelling import require_rows


@dataclass
class Found:
    """What an evaluation found; a part that was not asked for is None or empty.

    `results` are means by metric name. `steps`, `scaling`: a row for each cell of a sweep.
    `breakdown`: rows by rating and by source. `paths`: counts of maze paths. `votes`: of every ARC
    task. `failures`: what `Failures.merge` made.
    """

    results: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    steps: list[dict[str, Any]] = field(default_factory=list)
    scaling: list[dict[str, Any]] = field(default_factory=list)
    breakdown: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    paths: dict[str, Any] | None = None
    votes: list[TaskVotes] | None = None
    failures: Any = None


class Session:
    """A checkpoint restored, its data opened, and the work shared by the processes of `engine`.

    Raises ConfigError, CheckpointError or DataError when they do not go together.
    """

    def __init__(self, config: EvaluateConfig, engine: Engine) -> None:
        self.config, self.engine = config, engine
        self.device = engine.device
        self.at = parse_counts(config.steps) if config.steps else None
        self.restored = _restore(config, self)
        self.path = config.data_path or self.restored.run.data_path
        missing = _about_missing_data(self.restored, config.data_path)
        self.dataset = open_dataset(self.path, missing=missing)
        _require_same_form(self.restored, self.dataset, self.path)
        self.batch_size = config.batch_size or self.restored.run.global_batch_size
        model = self.restored.model.config
        require_rows("batch_size", self.batch_size, engine.ranks, model, self.device)
        self.rows: ArcRows | None = None
        if self.dataset.meta.puzzle.has_tasks:
            self.rows = ArcRows(self.dataset, config.split)
        elif config.augmentation_counts or config.aggregated_voting:
            key = "augmentation_counts" if config.augmentation_counts else "aggregated_voting"
            raise ConfigError(
                f"{key} is about votes over the variants of ARC tasks, data_path={self.path} is of"
                f" kind {self.dataset.meta.kind}: leave it out"
            )

    @property
    def most(self) -> int:
        """ACT steps of every row, at most."""
        return self.restored.model.config.halt_max_steps

    def run(self) -> Found:
        """Ask the model everything; every process calls it, every one gets what all found, votes
        and failures excepted, which rank 0 has."""
        started = time.monotonic()
        found = self._scaled() if self.config.trajectories else self._observed()
        found.seconds = time.monotonic() - started
        return found

    def _questions(self, batch_size: int) -> tuple[Iterable[EvalBatch], int]:
        """This rank's batches, and how many rows all ranks have."""
        config, rank, ranks = self.config, self.engine.rank, self.engine.ranks
        if self.rows is not None:
            chosen = chosen_rows(self.rows, config.limit, config.seed)
            total = len(self.rows) if chosen is None else len(chosen)
            meta = self.dataset.meta
            return arc_questions(self.rows, chosen, meta, batch_size, rank, ranks), total
        total = self.dataset.split(config.split).examples
        batches = self.dataset.eval_batches(
            config.split,
            batch_size,
            rank=rank,
            ranks=ranks,
            limit=config.limit,
            seed=config.seed,
            extras=COLUMNS,
        )
        return batches, min(config.limit or total, total)

    def _observed(self) -> Found:
        config, meta, device = self.config, self.dataset.meta, self.device
        model = self.restored.model
        loss_type = self.restored.run.arch.loss.loss_type
        tally = Tally(model.config.vocab_size, meta.pad_id, loss_type, device)
        breakdown = Breakdown(meta, device)
        steps = StepCounts(self.at, device) if self.at else None
        paths = PathCounts(meta, device) if meta.puzzle.measured else None
        ballot = self._ballot()
        failures = Failures(meta, config.failures) if config.failures else None
        questions, total = self._questions(self.batch_size)
        at = range(1, self.most + 1) if failures else self.at or [self.most]
        counting: list[Any] = [
            part for part in (tally, breakdown, steps, paths) if part is not None
        ]
        others: list[Any] = [part for part in (ballot, failures) if part is not None]
        with Progress(total, self.engine.rank == 0) as progress:
            observe(
                model,
                self.restored.table,
                questions,
                [*counting, *others],
                device=device,
                at=list(at),
                early_exit=config.early_exit,
                progress=progress.update,
            )
        sums = dict(zip(map(id, counting), over_all(counting, self.engine), strict=True))
        found = Found(results=tally.result(sums[id(tally)]))
        found.breakdown = breakdown.result(sums[id(breakdown)])
        if steps is not None:
            found.steps = steps.result(sums[id(steps)])
        if paths is not None:
            found.paths = paths.result(sums[id(paths)])
        if ballot is not None:
            found.votes = ballot.votes.merge(self.engine.gather_objects(ballot.parts()))
        if failures is not None:
            found.failures = failures.merge(self.engine.gather_objects(failures.part()))
        return found

    def _ballot(self) -> Ballot | None:
        config = self.config
        if self.rows is None:
            return None
        counts = parse_counts(config.augmentation_counts) if config.augmentation_counts else None
        chosen = chosen_rows(self.rows, config.limit, config.seed)
        return Ballot(self.rows, chosen, counts, config.random_seed)

    def _scaled(self) -> Found:
        config, restored = self.config, self.restored
        assert config.trajectories is not None
        trajectories = parse_counts(config.trajectories)
        scaling = Scaling(
            self.dataset.meta,
            restored.reasoner,
            self.at or (self.most,),
            trajectories,
            noise=config.noise,
            random_start=config.random_start,
            seed=config.random_seed,
            rows_at_once=-(-self.batch_size // self.engine.ranks),
        )
        # So few puzzles at a time that their trajectories are one batch.
        questions, total = self._questions(-(-self.batch_size // trajectories[-1]))
        done = 0
        with Progress(total, self.engine.rank == 0) as progress:
            for part in questions:
                scaling.run(ask(part, restored.table, self.device, padded=False))
                done += part.rows
                progress.update(done)
        (sums,) = over_all([scaling], self.engine)
        return Found(scaling=scaling.result(sums))


def _restore(config: EvaluateConfig, session: Session) -> Restored:
    at: Sequence[int] | None = session.at
    return restore(
        Path(config.checkpoint),
        device=session.device,
        halt_max_steps=max(at) if at else config.halt_max_steps,
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
