"""A set of mazes in memory, the records it becomes, and its statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hrm_scale.puzzles.maze.paths import WALL


@dataclass(frozen=True)
class Mazes:
    """n mazes of one size.

    inputs, labels: uint8 [n, side * side], tokens. moves: int64 [n], length of the shortest path.
    rows: int64 [n], the maze's row in the file it came from, counted from 1 (or its place).
    """

    side: int
    inputs: np.ndarray
    labels: np.ndarray
    moves: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, index: np.ndarray) -> Mazes:
        return Mazes(
            self.side, self.inputs[index], self.labels[index], self.moves[index], self.rows[index]
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Mazes]) -> Mazes:
        inputs, labels, moves, rows = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("inputs", "labels", "moves", "rows")
        )
        return cls(parts[0].side, inputs, labels, moves, rows)

    def columns(self) -> dict[str, np.ndarray]:
        """The columns of a split; a group is a maze's place here."""
        count = len(self)
        return {
            "inputs": self.inputs,
            "labels": self.labels,
            "puzzle_identifiers": np.zeros(count, np.int32),
            "groups": np.arange(count, dtype=np.int32),
            "ratings": self.moves.astype(np.int32),
        }

    def statistics(self) -> dict[str, Any]:
        """{"walls": {mean, sd, min, max}, "moves": {mean, p50, p90, max}}, rounded to 0.1."""
        walls = (self.inputs == WALL).sum(axis=1)
        half, most = np.percentile(self.moves, [50, 90])
        return {
            "walls": {
                "mean": round(float(walls.mean()), 1),
                "sd": round(float(walls.std()), 1),
                "min": int(walls.min()),
                "max": int(walls.max()),
            },
            "moves": {
                "mean": round(float(self.moves.mean()), 1),
                "p50": round(float(half), 1),
                "p90": round(float(most), 1),
                "min": int(self.moves.min()),
                "max": int(self.moves.max()),
            },
        }
