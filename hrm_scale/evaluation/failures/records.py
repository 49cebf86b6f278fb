"""What is collected of failures: the failing puzzles themselves, and sums over all rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hrm_scale.data.format.meta import DatasetMeta


@dataclass(frozen=True)
class FailedPuzzle:
    """A puzzle that is wrong after the last of N ACT steps, with all it answered on the way.

    question, label uint8 [S], labelled bool [S], trace uint8 [N, S], q_halt float32 [N]; the
    counts are those of `Facts`, `kinds` keys of KINDS. rating, source: None where unknown.
    """

    row: int
    question: np.ndarray
    label: np.ndarray
    labelled: np.ndarray
    trace: np.ndarray
    q_halt: np.ndarray
    wrong: int
    broken: int
    returns: int
    moving: int
    kinds: tuple[str, ...]
    rating: float | None
    source: int | None


@dataclass(frozen=True)
class Part:
    """What one process saw: sums int64 by name (none without a row), and (key, puzzle) pairs."""

    sums: dict[str, np.ndarray]
    kept: list[tuple[int, FailedPuzzle]]


@dataclass(frozen=True)
class FailureReport:
    """What all processes saw. `sums`, all int64, empty without a row:

    rows []. right, changed [N]: rows that are right, cells that changed, after each ACT step.
    kinds [KINDS]: failing rows of each kind. broken [N + 1]: failing rows by the first step that
    breaks a rule, 0 for none. wrong [bins of ratings + 1, S + 1]: rows by wrong cells; the last bin
    has those without a rating. wrong_at, labelled_at [S]: rows in which the cell is wrong, has a
    label.
    `ratings`, `sources` [., 2]: those of `Breakdown`. `kept`: failing puzzles by row.
    """

    meta: DatasetMeta
    sums: dict[str, np.ndarray]
    kept: list[FailedPuzzle]

    @property
    def steps(self) -> int:
        """ACT steps each row has taken."""
        return len(self.sums["right"]) if self.sums else 0
