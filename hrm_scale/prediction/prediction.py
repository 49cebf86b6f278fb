"""What a model says of one puzzle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hrm_scale.puzzles import Problem, Puzzle, Verdict


@dataclass(frozen=True)
class Trajectory:
    """Of one question after each of T ACT steps: tokens uint8 [T, S], sure float [T] (sigmoid of
    the halt head), halts bool [T] (would the model halt there?)."""

    tokens: np.ndarray
    sure: np.ndarray
    halts: np.ndarray

    @property
    def halt(self) -> int:
        """The first step at which the model would halt, from 1; 0 for none."""
        return int(self.halts.argmax()) + 1 if self.halts.any() else 0


@dataclass(frozen=True)
class Attempt:
    """A grid of tokens, and of ARC how many variants of the puzzle led to it."""

    grid: np.ndarray
    votes: int = 1


@dataclass(frozen=True)
class Step:
    """The answer after a step: `grid` [h, w]; `changed` bool [h, w], cells that are others than
    after the step before (None after the first, or when the shape is another); `wrong` bool."""

    number: int
    grid: np.ndarray
    changed: np.ndarray | None
    wrong: np.ndarray
    sure: float
    halts: bool


@dataclass(frozen=True)
class Prediction:
    """attempts: the answer; of ARC the two best. asked: how many variants of the puzzle the model
    was asked, the puzzle as it stands among them; `trajectory` is of that one. solutions: how many
    the puzzle has, as `Puzzle.count_solutions` has it."""

    board: Puzzle
    puzzle: Problem
    trajectory: Trajectory
    attempts: tuple[Attempt, ...]
    asked: int = 1
    solutions: str | None = None

    @cached_property
    def verdict(self) -> Verdict:
        return self.board.judge(self.puzzle, [attempt.grid for attempt in self.attempts])

    @property
    def note(self) -> str:
        """A line about the puzzle itself where it has not exactly one solution, else nothing."""
        return self.board.note(self.solutions)

    @property
    def sure(self) -> float:
        """Sigmoid of the halt head after the last step."""
        return float(self.trajectory.sure[-1])

    def steps(self) -> Iterator[Step]:
        """The answers after each step, judged each by itself."""
        before: np.ndarray | None = None
        trajectory = self.trajectory
        rows = zip(trajectory.tokens, trajectory.sure.tolist(), trajectory.halts, strict=True)
        for number, (tokens, sure, halts) in enumerate(rows, start=1):
            grid = self.board.grid(tokens)
            changed = None
            if before is not None and before.shape == grid.shape:
                changed = np.not_equal(before, grid)
            wrong = self.board.judge(self.puzzle, [grid]).wrong
            yield Step(number, grid, changed, wrong, sure, bool(halts))
            before = grid
