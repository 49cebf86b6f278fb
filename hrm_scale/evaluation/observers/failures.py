"""Collecting failures while a model answers: counts of all rows, full traces of a few."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from hrm_scale.base.counter import SUBSET, fold_array, make_key
from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.evaluation.failures.facts import KINDS, Facts, facts_of
from hrm_scale.evaluation.failures.page import render
from hrm_scale.evaluation.failures.records import FailedPuzzle, FailureReport, Part
from hrm_scale.evaluation.files import OutputFiles
from hrm_scale.evaluation.observers.base import Observer
from hrm_scale.evaluation.observers.breakdown import COLUMNS, Breakdown, rating_bins
from hrm_scale.evaluation.rollout import ModelOutputs
from hrm_scale.models.losses import IGNORE_LABEL

if TYPE_CHECKING:
    from hrm_scale.evaluation.session import Session

# Failing puzzles are kept in the order of a hash of their row number: a fair spread over the split
# that depends neither on batches nor on processes.
_KEPT = make_key(SUBSET, 0, 1)


class Failures(Observer):
    """Watches the answers after every ACT step of every batch.

    Held are the answers to the present batch, sums over all rows, and `keep` failing puzzles: those
    whose row number has the smallest hash. The result is the same for any batches and processes.
    """

    name = "failures"
    gathers = True
    every_step = True
    columns = COLUMNS

    def __init__(self, meta: DatasetMeta, keep: int, source: str = "", data: str = "") -> None:
        self._meta, self._most = meta, keep
        self._source, self._data = source, data
        self._board = meta.puzzle
        self._edges = meta.puzzle.rating_edges
        self._breakdown = Breakdown(meta, torch.device("cpu"))
        self._answers: list[np.ndarray] = []
        self._q_halt: list[np.ndarray] = []
        self._sums: dict[str, np.ndarray] = {}
        self._kept: list[tuple[int, FailedPuzzle]] = []

    @classmethod
    def make(cls, session: Session) -> Self | None:
        keep, source = session.config.failures, session.restored.source
        return cls(session.meta, keep, source, session.data_name) if keep else None

    def add(self, outputs: ModelOutputs) -> None:
        """Take the answers after the next ACT step; rows without a label are left out.

        ValueError when a step was left out, or a batch has more or fewer steps than another.
        """
        step = len(self._answers) + 1
        if (outputs.steps != step).any():
            raise ValueError(f"expected the answers after step {step} of all rows")
        self._answers.append(outputs.predictions.to(torch.uint8).cpu().numpy())
        self._q_halt.append(outputs.q_halt.float().cpu().numpy())
        if not outputs.last:
            return
        if self._sums and len(self._sums["right"]) != step:
            raise ValueError(f"a batch of {step} steps after one of {len(self._sums['right'])}")
        self._breakdown.add(outputs)
        self._count_rows(outputs)
        self._answers, self._q_halt = [], []

    def _count_rows(self, outputs: ModelOutputs) -> None:
        scored = outputs.scored.cpu().numpy()
        if not scored.any():
            return
        data = {name: value.cpu().numpy()[scored] for name, value in outputs.query.data.items()}
        labelled = data["labels"] != IGNORE_LABEL
        labels = np.where(labelled, data["labels"], 0).astype(np.uint8)
        questions = data["inputs"].astype(np.uint8)
        trace = np.stack(self._answers)[:, scored]
        q_halt = np.stack(self._q_halt)[:, scored]
        extras = {name: values[scored] for name, values in outputs.query.extras.items()}
        facts = facts_of(
            self._board, self._meta.vocab_size, questions, labels, labelled, trace, q_halt
        )
        missed = labelled & (trace[-1] != labels)
        _add(self._sums, self._counts(facts, missed, labelled, extras.get("ratings")))
        keys = fold_array(_KEPT, outputs.query.numbers[scored])
        failed = np.flatnonzero(facts.wrong > 0)
        if len(self._kept) == self._most:
            failed = failed[keys[failed] < self._kept[-1][0]]
        kinds = {kind.key: kind.test(facts) for kind in KINDS}
        ratings, sources = extras.get("ratings"), extras.get("sources")
        for at in failed[np.argsort(keys[failed])][: self._most].tolist():
            puzzle = FailedPuzzle(
                row=int(outputs.query.numbers[scored][at]),
                question=questions[at].copy(),
                label=labels[at].copy(),
                labelled=labelled[at].copy(),
                trace=trace[:, at].copy(),
                q_halt=q_halt[:, at].copy(),
                wrong=int(facts.wrong[at]),
                broken=int(facts.broken[at]),
                returns=int(facts.returns[at]),
                moving=int(facts.moving[at]),
                kinds=tuple(key for key, found in kinds.items() if found[at]),
                rating=None if ratings is None else float(ratings[at]),
                source=None if sources is None else int(sources[at]),
            )
            self._kept.append((int(keys[at]), puzzle))
        self._kept = _first(self._kept, self._most)

    def _counts(
        self, facts: Facts, missed: np.ndarray, labelled: np.ndarray, ratings: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        """The sums of rows that are finished; missed, labelled bool [n, S]."""
        bins = np.full(len(missed), len(self._edges))
        if ratings is not None and self._edges:
            bins = rating_bins(self._edges, ratings)
        wrong = np.zeros((len(self._edges) + 1, missed.shape[1] + 1), np.int64)
        np.add.at(wrong, (bins, facts.wrong), 1)
        failed = facts.wrong > 0
        return {
            "rows": np.array(len(missed)),
            "right": facts.right.sum(1),
            "changed": facts.changed.sum(1),
            "kinds": np.array([(kind.test(facts) & failed).sum() for kind in KINDS]),
            "broken": np.bincount(facts.broken[failed], minlength=len(facts.right) + 1),
            "wrong": wrong,
            "wrong_at": missed.sum(0),
            "labelled_at": labelled.sum(0),
        }

    def sums(self) -> Part:
        if not self._sums:
            return Part({}, [])
        found = {name: value.long().numpy() for name, value in self._breakdown.sums().items()}
        return Part({**self._sums, **found}, self._kept)

    def result(self, sums: Iterable[Part]) -> FailureReport:
        """The report of all parts together, in whatever order they come."""
        totals: dict[str, np.ndarray] = {}
        kept: list[tuple[int, FailedPuzzle]] = []
        for part in sums:
            _add(totals, part.sums)
            kept = _first([*kept, *part.kept], self._most)
        puzzles = sorted((puzzle for _, puzzle in kept), key=lambda puzzle: puzzle.row)
        return FailureReport(self._meta, totals, puzzles)

    def document(self, result: FailureReport) -> dict[str, Any]:
        return {}

    def write(self, result: FailureReport, files: OutputFiles) -> None:
        files.text("failures.html", render(result, self._source, self._data))


def _add(sums: dict[str, np.ndarray], more: dict[str, np.ndarray]) -> None:
    for name, value in more.items():
        sums[name] = sums[name] + value if name in sums else value


def _first(kept: list[tuple[int, FailedPuzzle]], most: int) -> list[tuple[int, FailedPuzzle]]:
    """Those with the smallest keys, in their order."""
    return sorted(kept, key=lambda pair: pair[0])[:most]
