"""Collecting failures while a model answers: counts of all rows, full traces of a few."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from hrm_scale.base.counter import SUBSET, fold_array, make_key
from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.evaluation.breakdown import Breakdown
from hrm_scale.evaluation.failures.facts import KINDS, Facts, facts_of
from hrm_scale.evaluation.failures.records import FailedPuzzle, FailureReport, Part
from hrm_scale.evaluation.rollout import Answers
from hrm_scale.models.losses import IGNORE_LABEL

# Failing puzzles are kept in the order of a hash of their row number: a fair spread over the split
# that depends neither on batches nor on processes.
_KEPT = make_key(SUBSET, 0, 1)


class Failures:
    """Watches the answers after every ACT step of every batch.

    Held are the answers to the present batch, sums over all rows, and `keep` failing puzzles: those
    whose row number has the smallest hash. The result is the same for any batches and processes.
    """

    def __init__(self, meta: DatasetMeta, keep: int) -> None:
        self._meta, self._most = meta, keep
        self._board = meta.puzzle
        self._edges = meta.puzzle.rating_edges
        self._breakdown = Breakdown(meta, torch.device("cpu"))
        self._answers: list[np.ndarray] = []
        self._q_halt: list[np.ndarray] = []
        self._sums: dict[str, np.ndarray] = {}
        self._kept: list[tuple[int, FailedPuzzle]] = []

    def add(self, answers: Answers) -> None:
        """Take the answers after the next ACT step; rows without a label are left out.

        ValueError when a step was left out, or a batch has more or fewer steps than another.
        """
        step = len(self._answers) + 1
        if (answers.steps != step).any():
            raise ValueError(f"expected the answers after step {step} of all rows")
        self._answers.append(answers.predictions.to(torch.uint8).cpu().numpy())
        self._q_halt.append(answers.q_halt.float().cpu().numpy())
        if not answers.last:
            return
        if self._sums and len(self._sums["right"]) != step:
            raise ValueError(f"a batch of {step} steps after one of {len(self._sums['right'])}")
        self._breakdown.add(answers)
        self._finish(answers)
        self._answers, self._q_halt = [], []

    def _finish(self, answers: Answers) -> None:
        scored = answers.scored.cpu().numpy()
        if not scored.any():
            return
        data = {name: value.cpu().numpy()[scored] for name, value in answers.asked.data.items()}
        labelled = data["labels"] != IGNORE_LABEL
        labels = np.where(labelled, data["labels"], 0).astype(np.uint8)
        questions = data["inputs"].astype(np.uint8)
        trace = np.stack(self._answers)[:, scored]
        q_halt = np.stack(self._q_halt)[:, scored]
        extras = {name: values[scored] for name, values in answers.asked.extras.items()}
        facts = facts_of(
            self._board, self._meta.vocab_size, questions, labels, labelled, trace, q_halt
        )
        missed = labelled & (trace[-1] != labels)
        _add(self._sums, self._counts(facts, missed, labelled, extras.get("ratings")))
        keys = fold_array(_KEPT, answers.asked.numbers[scored])
        failed = np.flatnonzero(facts.wrong > 0)
        if len(self._kept) == self._most:
            failed = failed[keys[failed] < self._kept[-1][0]]
        kinds = {kind.key: kind.test(facts) for kind in KINDS}
        ratings, sources = extras.get("ratings"), extras.get("sources")
        for at in failed[np.argsort(keys[failed])][: self._most].tolist():
            puzzle = FailedPuzzle(
                row=int(answers.asked.numbers[scored][at]),
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
            bins = (np.searchsorted(self._edges, ratings, side="right") - 1).clip(0)
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

    def part(self) -> Part:
        """What was seen so far, to be sent to where the parts are merged."""
        if not self._sums:
            return Part({}, [])
        found = {name: value.long().numpy() for name, value in self._breakdown.sums().items()}
        return Part({**self._sums, **found}, self._kept)

    def merge(self, parts: Iterable[Part]) -> FailureReport:
        """The report of all parts together, in whatever order they come."""
        sums: dict[str, np.ndarray] = {}
        kept: list[tuple[int, FailedPuzzle]] = []
        for part in parts:
            _add(sums, part.sums)
            kept = _first([*kept, *part.kept], self._most)
        puzzles = sorted((puzzle for _, puzzle in kept), key=lambda puzzle: puzzle.row)
        return FailureReport(self._meta, sums, puzzles)


def _add(sums: dict[str, np.ndarray], more: dict[str, np.ndarray]) -> None:
    for name, value in more.items():
        sums[name] = sums[name] + value if name in sums else value


def _first(kept: list[tuple[int, FailedPuzzle]], most: int) -> list[tuple[int, FailedPuzzle]]:
    """Those with the smallest keys, in their order."""
    return sorted(kept, key=lambda pair: pair[0])[:most]
