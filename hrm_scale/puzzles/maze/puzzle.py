"""Square mazes: walls, free cells, a start S and a goal G; the answer draws a path of `o`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np

from hrm_scale.base.counter import below, draws
from hrm_scale.base.errors import DataError
from hrm_scale.puzzles.base import (
    NO_SOLUTION,
    ONE_SOLUTION,
    SAMPLES,
    SEVERAL_SOLUTIONS,
    Fault,
    Problem,
    Puzzle,
    Verdict,
)
from hrm_scale.puzzles.drawing import Drawing, Token
from hrm_scale.puzzles.maze import rules
from hrm_scale.puzzles.maze.layout import MazeSymmetry
from hrm_scale.puzzles.maze.paths import (
    FREE,
    GOAL,
    PATH,
    START,
    WALL,
    are_mazes,
    connected,
    count_shortest_paths,
    is_path,
    is_shortest_path,
    shortest_moves,
)
from hrm_scale.puzzles.maze.wave import MAX_SIDE
from hrm_scale.puzzles.text import counted, lines_of, read_board

_QUESTION = {"#": WALL, " ": FREE, ".": FREE, "_": FREE, "S": START, "G": GOAL}
_ALLOWED = "'#' for a wall, a blank, '.' or '_' for a free cell, one S and one G"
_TOKENS = (
    Token("padding"),
    Token("wall", "#", "wall"),
    Token("free", " ", "floor"),
    Token("start", "S", "start"),
    Token("goal", "G", "goal"),
    Token("path", "o", "path"),
)


class Maze(Puzzle):
    """A maze of side x side cells. Blanks at either end of a line are cells like any other; no
    character is skipped but the ends of lines."""

    kind = "maze"
    noun = "mazes"
    tokens = _TOKENS
    answers_only = frozenset({PATH})
    rating = "moves"
    measured: ClassVar[Mapping[str, str]] = {
        "paths": "a path from start to goal",
        "shortest": "a valid shortest path",
    }
    # Mazes of 30x30 take 109 moves and more.
    rating_edges = (0, 50, 100, 110, 120, 130)
    notes: ClassVar[dict[str, str]] = {
        NO_SOLUTION: "this maze has no path from S to G",
        SEVERAL_SOLUTIONS: "this maze has more than one shortest path",
    }

    def __init__(self, height: int, width: int) -> None:
        super().__init__(height, width)
        if not 0 < height == width <= MAX_SIDE:
            raise ValueError(
                f"a maze of {height}x{width}: mazes are square, up to {MAX_SIDE}x{MAX_SIDE}"
            )
        self.symmetry = MazeSymmetry(height, width, len(self.tokens))

    @cached_property
    def drawing(self) -> Drawing:
        path = (PATH, START, GOAL)
        return Drawing(self.height, self.width, self.tokens, path=path)

    # --- rules ---

    def plausible(self, inputs: np.ndarray) -> np.ndarray:
        return are_mazes(inputs)

    def solved(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """bool [n]: is one of the shortest paths drawn into the maze, and nothing else?"""
        return is_shortest_path(inputs, answers, self.height)

    def broken(self, inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """bool [n]: a path cell lies on a wall, start or goal is gone, or the cells of the path,
        start and goal are not all connected."""
        ends = (inputs == START) | (inputs == GOAL)
        wrong = np.asarray((ends & (inputs != answers)).any(1))
        wrong |= ((inputs == WALL) & (answers == PATH)).any(1)
        rest = np.flatnonzero(~wrong)
        sides = (len(rest), self.height, self.width)
        route = ((answers[rest] == PATH) | ends[rest]).reshape(sides)
        starts = (inputs[rest] == START).reshape(sides)
        wrong[rest] = (route != connected(route, starts)).any((1, 2))
        return wrong

    def measures(self, inputs: np.ndarray, answers: np.ndarray) -> dict[str, np.ndarray]:
        """`paths`: is one path drawn from S to G? It may be longer than needed, but not run along
        itself: then the drawing would not say where it goes. `shortest`: is it a shortest one?"""
        return {
            "paths": is_path(inputs, answers, self.height),
            "shortest": is_shortest_path(inputs, answers, self.height),
        }

    def faults(self, inputs: np.ndarray, answers: np.ndarray) -> list[Fault]:
        """Cells that were changed, and those of the path (S and G with it) that have another
        number of neighbours on it than on a line from S to G."""
        changed = (inputs != answers) & ~((inputs == FREE) & (answers == PATH))
        sides = (len(answers), self.height, self.width)
        marked = np.pad(
            ((answers >= START) & (answers <= PATH)).reshape(sides), ((0, 0), (1, 1), (1, 1))
        )
        near = marked[:, :-2, 1:-1].astype(int) + marked[:, 2:, 1:-1]
        near += marked[:, 1:-1, :-2].astype(int) + marked[:, 1:-1, 2:]
        wanted = np.where(answers.reshape(sides) == PATH, 2, 1)
        loose = (marked[:, 1:-1, 1:-1] & (near != wanted)).reshape(answers.shape)
        return [
            Fault(changed, "cell of the maze changed", "cells of the maze changed"),
            Fault(
                loose & ~changed,
                "cell where the path breaks, forks or touches itself",
                "cells where the path breaks, forks or touches itself",
                open=True,
            ),
        ]

    def start(self) -> np.ndarray:
        board = np.full((self.height, self.width), FREE, np.uint8)
        board[0, 0], board[-1, -1] = START, GOAL
        return board

    def samples(self) -> list[Problem]:
        """Random walls, start and goal in opposite corners, where a path leads through."""
        shape = (16 * SAMPLES, self.cells)
        walls = below(draws(0, 0, shape[0] * shape[1]), 10).reshape(shape) < 3
        inputs = np.where(walls, WALL, FREE).astype(np.uint8)
        inputs[:, 0], inputs[:, -1] = START, GOAL
        labels, moves = rules.rule_labels(inputs, self.height)
        return self.named_samples(inputs[moves > 0], labels[moves > 0])

    def parse(self, text: str, where: str, *, answer: bool = False) -> np.ndarray:
        tokens, allowed = _QUESTION, _ALLOWED
        if answer:
            tokens, allowed = {**_QUESTION, "o": PATH}, f"{_ALLOWED}, 'o' for the path"
        sides = (self.height, self.width)
        grid = read_board(lines_of(text), sides, tokens, allowed, where)
        for letter, token in (("S", START), ("G", GOAL)):
            if (found := int((grid == token).sum())) != 1:
                raise DataError(f"{where}: the maze has {found} {letter}, it needs exactly one")
        return grid

    def is_row(self, line: str) -> bool:
        return len(line) == self.height

    def is_empty(self, line: str) -> bool:
        # A row of nothing but free cells is a row.
        return not line.strip() and len(line) != self.height

    def judge(self, problem: Problem, answers: Sequence[np.ndarray]) -> Verdict:
        """Any shortest path is right, also one that is not the known answer."""
        grid = answers[0]
        question, answer = problem.question.reshape(1, -1), grid.reshape(1, -1)
        moves = int((grid == PATH).sum()) + 1
        if is_shortest_path(question, answer, self.height)[0]:
            other = problem.answer is not None and not np.array_equal(problem.answer, grid)
            remark = ", another one than the known answer" if other else ""
            words = f"solved: a shortest path, {counted(moves, 'move', 'moves')}{remark}"
            return Verdict(True, words, np.zeros(grid.shape, bool))
        faults = self.faults(question, answer)
        if is_path(question, answer, self.height)[0]:
            shortest = int(shortest_moves(question, self.height)[0])
            words = f"not solved: a path of {moves} moves, the shortest has {shortest}"
        else:
            words = f"not solved: {self._broken(faults, grid)}"
        wrong = np.logical_or.reduce([fault.cells for fault in faults])
        return Verdict(False, words, wrong.reshape(grid.shape))

    def count_solutions(self, questions: Sequence[np.ndarray]) -> list[str | None]:
        """Every shortest path is a solution."""
        inputs = np.stack([grid.reshape(-1) for grid in questions])
        names = (NO_SOLUTION, ONE_SOLUTION, SEVERAL_SOLUTIONS)
        return [names[count] for count in count_shortest_paths(inputs, self.height).tolist()]

    def _broken(self, faults: list[Fault], grid: np.ndarray) -> str:
        """Why the cells `o` are no path."""
        changed, loose = (int(fault.cells.sum()) for fault in faults)
        found = []
        if changed:
            found.append(counted(changed, faults[0].one, faults[0].many))
        if not (grid == PATH).any():
            found.append("no path is drawn")
        elif loose:
            found.append(
                f"the path breaks, forks or touches itself at {counted(loose, 'cell', 'cells')}"
            )
        return ", ".join(found) or "the path does not lead from S to G alone"

    def problems(
        self, inputs: np.ndarray, labels: np.ndarray, *, unique: bool = False
    ) -> Iterator[tuple[int, str, str]]:
        for row in np.flatnonzero(~self.solved(inputs, labels)).tolist():
            text = rules.row_problem(inputs[row], labels[row], self.height) or "is no maze"
            # The answer is at fault, or the board itself.
            yield row, "E411" if text.startswith(("question", "no path")) else "E412", text
