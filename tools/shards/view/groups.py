"""Where the groups of a stripe lie: found record by record, and only as far as was asked."""

from __future__ import annotations

import bisect
import threading
from dataclasses import dataclass

import numpy as np

from hrm_scale.data.read.reader import SplitReader


@dataclass(frozen=True)
class GroupRun:
    """Rows `start ... stop - 1` of a record: one group, the `ordinal`-th of its stripe."""

    ordinal: int
    group: int
    record: int
    start: int
    stop: int


class GroupIndex:
    """The groups of one stripe in file order. Thread safe.

    Reads only the `groups` column (and, with `identifiers`, `puzzle_identifiers`), a record at a
    time, from the front to the record that answers the question; 8 to 12 bytes a group are kept.
    """

    def __init__(self, reader: SplitReader, records: range, *, identifiers: bool = False) -> None:
        self._reader = reader
        self._records = records
        self._columns = ["groups", "puzzle_identifiers"] if identifiers else ["groups"]
        self._ordinals = [0]  # first ordinal of each scanned record, and of the next one
        self._starts: list[np.ndarray] = []
        self._groups: list[np.ndarray] = []
        self._identifiers: list[np.ndarray] = []
        self._lock = threading.Lock()

    def run(self, ordinal: int) -> GroupRun | None:
        """The group at a place of the list; None behind its end."""
        while True:
            looked = len(self._ordinals) - 1
            if ordinal < self._ordinals[looked]:
                break
            if not self._has(looked):
                return None
        at = bisect.bisect_right(self._ordinals, ordinal) - 1
        return self._run(at, ordinal - self._ordinals[at])

    def find(self, group: int) -> GroupRun | None:
        """The group of that number, or None."""
        return self._search(self._groups, group, group + 1)

    def find_identifier(self, first: int, stop: int) -> GroupRun | None:
        """The first group whose first row has an identifier of `first ... stop - 1`."""
        return self._search(self._identifiers, first, stop)

    def at_row(self, record: int, row: int) -> GroupRun | None:
        """The group that a row of a record belongs to; None for a record of another stripe."""
        if record not in self._records:
            return None
        at = record - self._records.start
        self._has(at)
        inside = int(np.searchsorted(self._starts[at], row, side="right")) - 1
        return self._run(at, inside)

    def _search(self, values: list[np.ndarray], first: int, stop: int) -> GroupRun | None:
        at = 0
        while self._has(at):
            found = np.flatnonzero((values[at] >= first) & (values[at] < stop))
            if len(found):
                return self._run(at, int(found[0]))
            at += 1
        return None

    def _run(self, at: int, inside: int) -> GroupRun:
        starts = self._starts[at]
        return GroupRun(
            ordinal=self._ordinals[at] + inside,
            group=int(self._groups[at][inside]),
            record=self._records[at],
            start=int(starts[inside]),
            stop=int(starts[inside + 1]),
        )

    def _has(self, at: int) -> bool:
        """Is there a record number `at`? Then it was looked into, and all before it."""
        while at < len(self._records):
            with self._lock:
                if at < len(self._ordinals) - 1:
                    return True
                self._scan()
        return False

    def _scan(self) -> None:
        """Look into the next record."""
        columns = self._reader.columns(self._records[len(self._starts)], self._columns)
        groups = columns["groups"]
        first = np.flatnonzero(np.append(True, groups[1:] != groups[:-1]))
        if "puzzle_identifiers" in columns:
            self._identifiers.append(columns["puzzle_identifiers"][first])
        self._groups.append(groups[first])
        self._starts.append(np.append(first, len(groups)).astype(np.int32))
        self._ordinals.append(self._ordinals[-1] + len(first))
