"""What a maze record is: tokens, the rule of its label, and what can be wrong with one.

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

from shards.maze_wave import pack, single, waves

PAD, WALL, FREE, START, GOAL, PATH = range(6)
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
    bad = _malformed(inputs) | _not_a_drawing(inputs, labels)
    sound = np.flatnonzero(~bad)
    bad[sound] = ~valid_paths(inputs[sound], labels[sound], side)
    return bad


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
    if not valid_paths(inputs[None], labels[None], side)[0]:
        return "the cells 'o' of the answer are not one path from S to G"
    return None


def valid_paths(inputs: np.ndarray, answers: np.ndarray, side: int) -> np.ndarray:
    """bool [n]: do the 'o' of the answer mark a shortest path from S to G of the question?

    uint8 [n, side * side]; the questions are sound, the answers may hold anything: an answer that
    is not the question with some free cells turned into 'o' is not valid. This is the looser
    measure of an answer; the strict one compares it with the label token by token.
    """
    valid = ~_not_a_drawing(inputs, answers)
    for start in range(0, len(inputs), _BLOCK):
        part = slice(start, start + _BLOCK)
        on_path = answers[part] == PATH
        moves = shortest_moves(inputs[part], side)
        # Of a shortest path no two cells touch but neighbours along it. So S and G have one
        # neighbour on it and all others two; that holds for a path and separate rings as well, but
        # a path alone has at least as many cells as there may be.
        ends = (inputs[part] == START) | (inputs[part] == GOAL)
        degrees = _neighbours(on_path | ends, side)
        wanted = np.where(ends, 1, 2)
        regular = ((degrees == wanted) | ~(on_path | ends)).all(axis=1)
        valid[part] &= regular & (on_path.sum(axis=1) == moves - 1)
    return valid


def shortest_moves(inputs: np.ndarray, side: int) -> np.ndarray:
    """Moves of a shortest path from S to G, int64 [n]; -1 where there is none."""
    moves = np.full(len(inputs), -1, np.int64)
    for start in range(0, len(inputs), _BLOCK):
        part = slice(start, start + _BLOCK)
        goal = pack(inputs[part] == GOAL, side)
        moves_here = moves[part]
        start_cell = pack(inputs[part] == START, side)
        for distance, front in enumerate(waves(_open_cells(inputs[part], side), start_cell), 1):
            moves_here[((front & goal) != 0).any(axis=0)] = distance
            if (moves_here >= 0).all():
                break
    return moves


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
    fronts = [goal, *waves(_open_cells(boards, side), goal)]
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


def _open_cells(inputs: np.ndarray, side: int) -> np.ndarray:
    return pack(inputs != WALL, side)


def _malformed(inputs: np.ndarray) -> np.ndarray:
    strange = ((inputs < WALL) | (inputs > GOAL)).any(axis=1)
    counts = [(inputs == token).sum(axis=1) for token in (START, GOAL)]
    return strange | (counts[0] != 1) | (counts[1] != 1)


def _not_a_drawing(inputs: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """bool [n]: does the answer change anything but free cells into 'o'?"""
    return ((inputs != answers) & ~((inputs == FREE) & (answers == PATH))).any(axis=1)


def _neighbours(marked: np.ndarray, side: int) -> np.ndarray:
    """How many of the four neighbours of each cell are marked: int8 of bool [n, side * side]."""
    board = marked.reshape(-1, side, side).view(np.int8)
    total = np.zeros_like(board)
    total[:, 1:] += board[:, :-1]
    total[:, :-1] += board[:, 1:]
    total[:, :, 1:] += board[:, :, :-1]
    total[:, :, :-1] += board[:, :, 1:]
    return total.reshape(marked.shape)


def _cell(cell: int, side: int) -> str:
    return f"row {cell // side + 1}, column {cell % side + 1}"
