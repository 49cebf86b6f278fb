"""A set of Sudoku puzzles in memory, and the records it becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hrm_scale.puzzles.sudoku.board import BLANK_TOKEN, Geometry


@dataclass(frozen=True)
class Puzzles:
    """n puzzles of one size.

    questions, answers: uint8 [n, cells], 0 = blank. ratings: int32 [n]. sources: uint8 [n], index
    into `source_names`. rows: int64 [n], the puzzle's row in the file it came from, counted from 1.
    """

    geometry: Geometry
    questions: np.ndarray
    answers: np.ndarray
    ratings: np.ndarray
    sources: np.ndarray
    rows: np.ndarray
    source_names: list[str]

    def __len__(self) -> int:
        return len(self.questions)

    def take(self, index: np.ndarray) -> Puzzles:
        return replace(
            self,
            questions=self.questions[index],
            answers=self.answers[index],
            ratings=self.ratings[index],
            sources=self.sources[index],
            rows=self.rows[index],
        )

    def with_sources(self, sources: np.ndarray, names: list[str]) -> Puzzles:
        return replace(self, sources=sources, source_names=names)

    @classmethod
    def concatenate(cls, parts: Sequence[Puzzles]) -> Puzzles:
        """Join sets that share geometry and source names."""
        return replace(
            parts[0],
            questions=np.concatenate([part.questions for part in parts]),
            answers=np.concatenate([part.answers for part in parts]),
            ratings=np.concatenate([part.ratings for part in parts]),
            sources=np.concatenate([part.sources for part in parts]),
            rows=np.concatenate([part.rows for part in parts]),
        )

    def columns(self, first: int, last: int) -> dict[str, np.ndarray]:
        """Columns of the puzzles first ... last - 1 as tokens; a group is a puzzle's place here."""
        offset = np.uint8(BLANK_TOKEN)
        return {
            "inputs": self.questions[first:last] + offset,
            "labels": self.answers[first:last] + offset,
            "puzzle_identifiers": np.zeros(last - first, np.int32),
            "groups": np.arange(first, last, dtype=np.int32),
            "ratings": self.ratings[first:last].astype(np.int32),
            "sources": self.sources[first:last],
        }
