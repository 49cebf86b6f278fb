"""Square mazes: walls, free cells, a start S and a goal G; the answer draws a path of `o`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.boards.board import (
    NO_SOLUTION,
    ONE_SOLUTION,
    SEVERAL_SOLUTIONS,
    UNKNOWN,
    Board,
    Puzzle,
    Verdict,
    counted,
    lines_of,
    read_square,
)
from hrm_scale.data.maze_paths import (
    FREE,
    GOAL,
    PATH,
    START,
    WALL,
    count_shortest_paths,
    is_path,
    is_shortest_path,
    shortest_moves,
)

_QUESTION = {"#": WALL, " ": FREE, ".": FREE, "_": FREE, "S": START, "G": GOAL}
_ALLOWED = "'#' for a wall, a blank, '.' or '_' for a free cell, one S and one G"


class MazeBoard(Board):
    """A maze of side x side cells. Blanks at either end of a line are cells like any other; no
    character is skipped but the ends of lines."""

    kind = "maze"
    symbols = f"{UNKNOWN}# SGo"
    notes: ClassVar[dict[str, str]] = {
        NO_SOLUTION: "this maze has no path from S to G",
        SEVERAL_SOLUTIONS: "this maze has more than one shortest path",
    }

    def parse(self, text: str, where: str, *, answer: bool = False) -> np.ndarray:
        tokens, allowed = _QUESTION, _ALLOWED
        if answer:
            tokens, allowed = {**_QUESTION, "o": PATH}, f"{_ALLOWED}, 'o' for the path"
        grid = read_square(lines_of(text), self.side, tokens, allowed, where)
        for letter, token in (("S", START), ("G", GOAL)):
            if (found := int((grid == token).sum())) != 1:
                raise DataError(f"{where}: the maze has {found} {letter}, it needs exactly one")
        return grid

    def is_row(self, line: str) -> bool:
        return len(line) == self.side

    def is_empty(self, line: str) -> bool:
        # A row of nothing but free cells is a row.
        return not line.strip() and len(line) != self.side

    def judge(self, puzzle: Puzzle, answers: Sequence[np.ndarray]) -> Verdict:
        """Any shortest path is right, also one that is not the known answer."""
        grid = answers[0]
        question, answer = puzzle.question.reshape(1, -1), grid.reshape(1, -1)
        moves = int((grid == PATH).sum()) + 1
        if is_shortest_path(question, answer, self.side)[0]:
            other = puzzle.answer is not None and not np.array_equal(puzzle.answer, grid)
            remark = ", another one than the known answer" if other else ""
            words = f"solved: a shortest path, {counted(moves, 'move', 'moves')}{remark}"
            return Verdict(True, words, np.zeros(grid.shape, bool))
        if is_path(question, answer, self.side)[0]:
            shortest = int(shortest_moves(question, self.side)[0])
            words = f"not solved: a path of {moves} moves, the shortest has {shortest}"
        else:
            words = f"not solved: {self._broken(puzzle.question, grid)}"
        return Verdict(False, words, self._faults(puzzle.question, grid))

    def count_solutions(self, questions: Sequence[np.ndarray]) -> list[str | None]:
        """Every shortest path is a solution."""
        inputs = np.stack([grid.reshape(-1) for grid in questions])
        names = (NO_SOLUTION, ONE_SOLUTION, SEVERAL_SOLUTIONS)
        return [names[count] for count in count_shortest_paths(inputs, self.side).tolist()]

    def _broken(self, question: np.ndarray, grid: np.ndarray) -> str:
        """Why the cells `o` are no path."""
        overwritten = int(_overwritten(question, grid).sum())
        found = []
        if overwritten:
            found.append(
                counted(overwritten, "cell of the maze changed", "cells of the maze changed")
            )
        if not (grid == PATH).any():
            found.append("no path is drawn")
        elif loose := int((self._faults(question, grid) & ~_overwritten(question, grid)).sum()):
            found.append(
                f"the path breaks, forks or touches itself at {counted(loose, 'cell', 'cells')}"
            )
        return ", ".join(found) or "the path does not lead from S to G alone"

    def _faults(self, question: np.ndarray, grid: np.ndarray) -> np.ndarray:
        """bool [side, side]: cells of the maze that were changed, and those of the path (S and G
        with it) that have another number of neighbours on it than on a line from S to G."""
        marked = np.pad((grid >= START) & (grid <= PATH), 1)
        near = marked[:-2, 1:-1].astype(int) + marked[2:, 1:-1] + marked[1:-1, :-2]
        near += marked[1:-1, 2:]
        wanted = np.where(grid == PATH, 2, 1)
        loose = marked[1:-1, 1:-1] & (near != wanted)
        return _overwritten(question, grid) | loose


def _overwritten(question: np.ndarray, grid: np.ndarray) -> np.ndarray:
    return (question != grid) & ~((question == FREE) & (grid == PATH))
