"""What a maze record is: the rule of its label, and what can be wrong with one.

A board of side x side cells: walls, free cells, one start S and one goal G; moves go to the four
neighbours. The label is the board with the free cells of one shortest path from S to G turned into
'o'. Nearly every maze has many shortest paths; the *label rule* of the published set names one:
the path that a breadth-first search from S finds when it looks down, left, right, up and a cell
belongs to whoever found it first.

That path is the first in the alphabet D < L < R < U of all shortest paths, read as words: a queue
takes out the cells of one distance in the order of the words that lead to them, so the first to
find a cell has the smallest word. Hence no queue here: distances from G, then a walk from S
that always takes the first direction that comes nearer.
"""

from __future__ import annotations

import numpy as np

from hrm_scale.puzzles.maze.paths import (
    FREE,
    GOAL,
    PATH,
    START,
    WALL,
    is_shortest_path,
    shortest_moves,
)
from hrm_scale.puzzles.maze.wave import pack, single, waves

VOCABULARY = 6
CHARACTERS = "# SGo"
"""Character i has token i + 1."""
LABEL_RULE = "breadth-first from S, neighbours down, left, right, up, first found"
_STEPS = ((1, 0), (0, -1), (0, 1), (-1, 0))
_BLOCK = 512


def bad_rows(inputs: np.ndarray, labels: np.ndarray, side: int) -> np.ndarray:
    """bool [n]: is something wrong with the row? Exactly where `row_problem` has words for it.

    inputs, labels: uint8 [n, side * side], any tokens. ValueError for a side above MAX_SIDE.
    """
    return ~is_shortest_path(inputs, labels, side)


def row_problem(inputs: np.ndarray, labels: np.ndarray, side: int) -> str | None:
    """What is wrong with one record, in a few words for a message; None when nothing is.

    inputs, labels: uint8 [side * side]. That a label breaks the label rule is no problem in this
    sense (`follows_rule`): it is a shortest path all the same.
    """
    for name, tokens, most in (("question", inputs, GOAL), ("answer", labels, PATH)):
        strange = np.flatnonzero((tokens < WALL) | (tokens > most))
        if strange.size:
            cell = int(strange[0])
            return f"{name} has token {tokens[cell]} at {_cell(cell, side)}, allowed are 1-{most}"
    for letter, token in (("S", START), ("G", GOAL)):
        if (found := int((inputs == token).sum())) != 1:
            return f"question has {found} {letter}, expected exactly one"
    changed = np.flatnonzero((inputs != labels) & ~((inputs == FREE) & (labels == PATH)))
    if changed.size:
        cell = int(changed[0])
        was, now = (CHARACTERS[int(tokens[cell]) - 1] for tokens in (inputs, labels))
        return f"answer has {now!r} where the question has {was!r}, at {_cell(cell, side)}"
    moves = int(shortest_moves(inputs[None], side)[0])
    if moves < 0:
        return "no path leads from S to G"
    drawn = int((labels == PATH).sum())
    if drawn != moves - 1:
        return f"answer has {drawn} cells 'o', the shortest path has {moves - 1} ({moves} moves)"
    if not is_shortest_path(inputs[None], labels[None], side)[0]:
        return "the cells 'o' of the answer are not one path from S to G"
    return None


def rule_labels(inputs: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """(labels uint8 [n, side * side] by the label rule, moves int64 [n]) of sound questions.

    Where no path leads from S to G the label is the question and moves is -1.
    """
    labels = inputs.copy()
    moves = np.full(len(inputs), -1, np.int64)
    for start in range(0, len(inputs), _BLOCK):
        part = slice(start, start + _BLOCK)
        moves[part] = _draw(labels[part], side)
    return labels, moves


def follows_rule(inputs: np.ndarray, labels: np.ndarray, side: int) -> np.ndarray:
    """bool [n]: is the label the one of the label rule?"""
    return (rule_labels(inputs, side)[0] == labels).all(axis=1)


def _draw(boards: np.ndarray, side: int) -> np.ndarray:
    """Draw the rule's path into boards [n, cells], in place; the moves it has, or -1."""
    goal = pack(boards == GOAL, side)
    fronts = [goal, *waves(pack(boards != WALL, side), goal)]
    row, column = np.divmod((boards == START).argmax(axis=1), side)
    moves = np.full(len(boards), -1, np.int64)
    here = single(row, column, goal)
    for distance, front in enumerate(fronts):
        moves[((front & here) != 0).any(axis=0)] = distance
    one = goal.dtype.type(1)
    levels = np.zeros((len(fronts), side + 2, len(boards)), goal.dtype)
    levels[:, 1:-1] = np.stack(fronts)
    for step in range(1, int(moves.max(initial=0))):
        active = np.flatnonzero(moves > step)
        level = moves[active] - step
        found = np.zeros(len(active), bool)
        for down, right in _STEPS:
            r, c = row[active] + down, column[active] + right
            # Outside on the left or right there is no bit; above and below lies an empty row.
            words = levels[level, r + 1, active]
            inside = (c >= 0) & (c < side)
            bits = np.right_shift(words, np.where(inside, c, 0).astype(words.dtype)) & one
            take = ~found & inside & (bits != 0)
            row[active[take]], column[active[take]] = r[take], c[take]
            found |= take
        assert found.all()
        boards[active, row[active] * side + column[active]] = PATH
    return moves


def _cell(cell: int, side: int) -> str:
    return f"row {cell // side + 1}, column {cell % side + 1}"
