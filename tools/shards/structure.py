"""Groups, puzzles and stripes of a split: held together, once each, as many as announced."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hrm_scale.data.format.index import SplitIndex
from hrm_scale.data.format.meta import DatasetMeta, SplitInfo

from .report import Place, Report


class Structure:
    """Collects the number columns of a split record by record, then judges them as a whole."""

    NAMES = ("groups", "puzzles", "puzzle_identifiers")

    def __init__(self, folder: Path, info: SplitInfo, index: SplitIndex, meta: DatasetMeta) -> None:
        self._folder, self._info, self._index, self._meta = folder, info, index, meta
        self._parts: dict[str, list[np.ndarray]] = {
            name: [] for name in self.NAMES if name in index.columns
        }

    def add(self, columns: Mapping[str, np.ndarray]) -> None:
        for name, parts in self._parts.items():
            parts.append(columns[name])

    def judge(self, report: Report) -> None:
        """Findings about the split; every record must have been added, in order."""
        before = report.total
        columns = {name: np.concatenate(parts) for name, parts in self._parts.items()}
        self._judge_groups(columns["groups"], report)
        self._judge_puzzles(columns, report)
        self._judge_identifiers(columns, report)
        info, stripes = self._info, len(self._info.stripe_records)
        report.check(
            f"{self._folder.name}: counts: {info.groups} groups, {info.puzzles} puzzles, "
            f"{info.examples} examples in {stripes} stripes of {self._index.records} records",
            before,
        )

    def place(self, example: int) -> Place:
        """The place of an example of this split."""
        index = self._index
        record = int(np.searchsorted(index.first, example, side="right")) - 1
        path = self._folder / index.shards[int(index.shard[record])].name
        row = example - int(index.first[record])
        return Place(str(path), record, row=row, example=example)

    def _judge_groups(self, groups: np.ndarray, report: Report) -> None:
        first = self._index.first
        record_bounds = np.concatenate([[0], np.cumsum(self._info.stripe_records)])
        row_bounds = first[record_bounds]
        starts_record = np.zeros(len(groups), bool)
        starts_record[first[:-1]] = True
        expected: np.ndarray | None = None
        for stripe in range(len(row_bounds) - 1):
            begin, end = int(row_bounds[stripe]), int(row_bounds[stripe + 1])
            part = groups[begin:end]
            fresh = np.append(True, part[1:] != part[:-1])
            cut = np.flatnonzero(~fresh & starts_record[begin:end])
            for row in cut.tolist():
                text = f"group {part[row]} begins in the record before: a group lies in one record"
                report.found("E303", text, self.place(begin + row))
            at = np.flatnonzero(fresh)
            distinct, counts = np.unique(part[at], return_counts=True)
            for group in distinct[counts > 1].tolist():
                again = int(at[part[at] == group][1])
                text = f"group {group} comes again: its rows are not one after the other"
                report.found("E304", text, self.place(begin + again))
            if expected is None:
                expected = distinct
                if len(distinct) != self._info.groups:
                    text = f"{len(distinct)} groups, dataset.json says {self._info.groups}"
                    report.found("E206", text, str(self._folder))
            elif not np.array_equal(distinct, expected):
                other = np.setxor1d(distinct, expected)
                text = f"stripe {stripe} and stripe 0 do not hold the same groups ({other[:5]} ...)"
                report.found("E305", text, self.place(begin))

    def _judge_puzzles(self, columns: Mapping[str, np.ndarray], report: Report) -> None:
        groups, puzzles = columns["groups"], columns.get("puzzles")
        if puzzles is None:
            if self._info.puzzles != self._info.examples:
                text = f"every example is a puzzle, dataset.json says {self._info.puzzles} puzzles"
                report.found("E206", text, str(self._folder))
            return
        starts = np.append(True, (puzzles[1:] != puzzles[:-1]) | (groups[1:] != groups[:-1]))
        at = np.flatnonzero(starts)
        order = np.argsort(puzzles[at], kind="stable")
        again = order[1:][puzzles[at][order][1:] == puzzles[at][order][:-1]]
        for run in np.sort(again).tolist():
            text = f"puzzle {puzzles[at[run]]} comes again: its rows are not one after the other"
            report.found("E306", text, self.place(int(at[run])))
        distinct = len(at) - len(again)
        if distinct != self._info.puzzles:
            text = f"{distinct} puzzles, dataset.json says {self._info.puzzles}"
            report.found("E206", text, str(self._folder))
        stripes = len(self._info.stripe_records)
        if stripes > 1 and not len(again) and len(at) != self._info.groups * stripes:
            text = f"{len(at)} puzzles in {stripes} stripes of {self._info.groups} groups: each "
            report.found("E305", f"{text}stripe holds one puzzle of a group", str(self._folder))

    def _judge_identifiers(self, columns: Mapping[str, np.ndarray], report: Report) -> None:
        identifiers, puzzles = columns["puzzle_identifiers"], columns.get("puzzles")
        if self._meta.num_puzzle_identifiers > 1:
            blank = np.flatnonzero(identifiers == self._meta.blank_identifier_id)
            for row in blank.tolist():
                text = f"has the blank identifier {self._meta.blank_identifier_id}"
                report.found("E308", text, self.place(row))
        if puzzles is not None:
            mixed = (puzzles[1:] == puzzles[:-1]) & (identifiers[1:] != identifiers[:-1])
            for row in (np.flatnonzero(mixed) + 1).tolist():
                text = f"puzzle {puzzles[row]} has identifier {identifiers[row]}, its first row not"
                report.found("E308", text, self.place(row))
