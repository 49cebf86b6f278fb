"""Votes over the variants of ARC tasks: pass@k, `submission.json`, fewer augmentations."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from hrm_scale.base.untrusted import printable
from hrm_scale.config.counts import parse_counts
from hrm_scale.evaluation.arc.aggregate import with_earlier, write_votes
from hrm_scale.evaluation.arc.score import ArcScore, score, submission
from hrm_scale.evaluation.arc.subsample import CurvePoint, augmentation_curve
from hrm_scale.evaluation.arc.task_votes import TaskVotes
from hrm_scale.evaluation.arc.votes import ArcVotes, Parts
from hrm_scale.evaluation.files import OutputFiles
from hrm_scale.evaluation.observers.base import Observer
from hrm_scale.evaluation.plots import plot_augmentations
from hrm_scale.evaluation.report import interval
from hrm_scale.evaluation.rollout import ModelOutputs

if TYPE_CHECKING:
    from hrm_scale.evaluation.session import Session


@dataclasses.dataclass(frozen=True)
class VoteReport:
    """What the votes are worth, and with fewer augmentations (`curve`, empty when not wanted)."""

    score: ArcScore
    curve: Sequence[CurvePoint]

    def rows(self) -> list[dict[str, Any]]:
        """The points of the curve, intervals as two columns each."""
        return [_flat(dataclasses.asdict(point)) for point in self.curve]


class Votes(Observer):
    """Hands the final outputs to `ArcVotes`; the result is the votes for every task."""

    name = "arc"
    gathers = True
    print_order = 4

    def __init__(self, session: Session, votes: ArcVotes, counts: Sequence[int] | None) -> None:
        self._session, self._votes, self._counts = session, votes, counts

    @classmethod
    def make(cls, session: Session) -> Self | None:
        config, rows = session.config, session.rows
        if rows is None:
            return None
        counts = parse_counts(config.augmentation_counts) if config.augmentation_counts else None
        votes = ArcVotes(rows, session.chosen, counts=counts, random_seed=config.random_seed)
        return cls(session, votes, counts)

    def add(self, outputs: ModelOutputs) -> None:
        if outputs.last:
            tokens = outputs.predictions.cpu().numpy().astype(np.uint8)
            q = outputs.q_halt.double().sigmoid().cpu().numpy()
            self._votes.add(outputs.query.numbers, tokens, q)

    def sums(self) -> Parts:
        return self._votes.parts()

    def result(self, sums: Sequence[Parts]) -> list[TaskVotes]:
        return self._votes.merge(sums)

    def finish(self, result: list[TaskVotes], files: OutputFiles) -> VoteReport:
        """Keep the votes in `output_dir`, add those of earlier evaluations there, and score."""
        session, votes = self._session, result
        if files.folder is not None:
            where = files.folder, session.restored.checkpoint.step, session.meta.fingerprint
            files.written.append(write_votes(*where, votes))
            if session.config.aggregated_voting:
                votes = with_earlier(*where, votes)
        curve = augmentation_curve(result, self._counts) if self._counts else []
        report = VoteReport(score(votes), curve)
        if rows := report.rows():
            files.csv("augmentations.csv", rows)
            files.plot("augmentations.png", plot_augmentations, rows)
        files.json("submission.json", submission(votes), indent=None)
        return report

    def render(self, result: VoteReport) -> str:
        blocks = [_score_table(result.score)]
        if result.curve:
            blocks.append(_curve_table(result.curve))
        return "\n\n".join(blocks)

    def document(self, result: VoteReport) -> dict[str, Any]:
        scored = dataclasses.asdict(result.score)
        entries = {"arc": scored | {"aggregated": self._session.config.aggregated_voting}}
        return entries | ({"augmentations": result.rows()} if result.curve else {})


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, tuple):
            flat[f"{name}_low"], flat[f"{name}_high"] = value
        else:
            flat[name] = value
    return flat


def _score_table(score: ArcScore) -> str:
    """pass@k of the votes under both ways of scoring, and what is missing."""
    lines = [
        f"votes over augmentations: {score.tasks} tasks, {score.pairs} test pairs",
        f"{'':10} {'pairs of a task':>17} {'95 % interval':>16} {'whole tasks':>14}"
        f" {'95 % interval':>16}",
    ]
    for k, fraction in score.fraction.items():
        whole = score.all_pairs[k]
        lines.append(
            f"pass@{k:<5} {fraction.value:17.4f} {interval(fraction.low, fraction.high):>16}"
            f" {whole.value:14.4f} {interval(whole.low, whole.high):>16}"
        )
    if score.without_votes:
        lines.append(f"without votes: {_few([f'{task}#{n}' for task, n in score.without_votes])}")
    if score.unknown:
        lines.append(f"not scored, their answers are not published: {_few(score.unknown)}")
    return "\n".join(lines)


def _curve_table(points: Sequence[CurvePoint]) -> str:
    """Votes against the number of augmentations: a line for each number."""
    lines = [
        f"{'augmentations':>13} {'pass@1':>8} {'pass@2':>8} {'95 % over tasks':>17}"
        f" {'95 % over draws':>17}"
    ]
    rows = {(p.count, p.k): p for p in points if p.scoring == "fraction"}
    for count in dict.fromkeys(count for count, _ in rows):
        one, two = rows[count, 1], rows[count, 2]
        lines.append(
            f"{count or 'all':>13} {one.value:8.4f} {two.value:8.4f}"
            f" {interval(*two.over_tasks):>17} {interval(*two.over_draws):>17}"
        )
    lines.append("intervals are those of pass@2; a task counts by the share of its pairs solved")
    return "\n".join(lines)


def _few(names: Sequence[str], shown: int = 5) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return printable(", ".join(names[:shown]) + more)
