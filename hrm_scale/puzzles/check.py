"""Does a kind of puzzle agree with itself? Checked on a sample before a data set is written."""

from __future__ import annotations

import numpy as np

from hrm_scale.base.errors import DataError, HrmError
from hrm_scale.puzzles.base import Generated, Problem, Puzzle
from hrm_scale.puzzles.symmetry import BoardSymmetry

_SAMPLE = 64
_MOST_TOKENS = 256


def check_puzzle(puzzle: Puzzle, seed: int) -> None:
    """DataError, one line, for the first contradiction between vocabulary, generator, rules, text
    and symmetries of a kind."""
    where = f"kind {puzzle.kind!r}"
    _check_tokens(puzzle, where)
    try:
        made = puzzle.generate(_SAMPLE, seed)
        _check_boards(puzzle, made, where)
        _check_rules(puzzle, made, where)
        _check_text(puzzle, made, where)
        if isinstance(puzzle.symmetry, BoardSymmetry):
            _check_symmetry(puzzle, puzzle.symmetry, made, where)
    except HrmError:
        raise
    except Exception as error:
        raise DataError(f"{where}: {type(error).__name__}: {error}: correct its class") from error


def _check_tokens(puzzle: Puzzle, where: str) -> None:
    count = len(puzzle.tokens)
    if not 0 < count <= _MOST_TOKENS:
        raise DataError(f"{where} has {count} tokens; allowed are 1 to {_MOST_TOKENS}")
    glyphs = [token.glyph for token in puzzle.tokens if token.glyph]
    if long := [glyph for glyph in glyphs if len(glyph) != 1]:
        raise DataError(f"{where}: the glyph {long[0]!r} is not one character")
    if len(set(glyphs)) != len(glyphs):
        twice = next(glyph for glyph in glyphs if glyphs.count(glyph) > 1)
        raise DataError(f"{where}: two tokens have the glyph {twice!r}")
    names = [n for n in puzzle.symbols if n >= count or not puzzle.tokens[n].glyph]
    if names:
        raise DataError(
            f"{where}: {puzzle.title} is too large for its glyphs: token {names[0]} has none"
        )


def _check_boards(puzzle: Puzzle, made: Generated, where: str) -> None:
    for name, boards in (("inputs", made.inputs), ("labels", made.labels)):
        if boards.ndim != 2 or boards.shape[1] != puzzle.cells or boards.dtype != np.uint8:
            raise DataError(
                f"{where}: generate() gives {name} {boards.dtype} {boards.shape}, expected uint8"
                f" [n, {puzzle.cells}]"
            )
        if boards.size and int(boards.max()) >= len(puzzle.tokens):
            raise DataError(
                f"{where}: generate() gives the token {int(boards.max())} in {name}, there are"
                f" 0 to {len(puzzle.tokens) - 1}"
            )
    if not 0 < len(made.inputs) == len(made.labels):
        raise DataError(
            f"{where}: generate() gives {len(made.inputs)} inputs and {len(made.labels)} labels"
        )


def _check_rules(puzzle: Puzzle, made: Generated, where: str) -> None:
    if not puzzle.has_rules:
        return
    solved = puzzle.solved(made.inputs, made.labels)
    if not solved.all():
        row = int(np.flatnonzero(~solved)[0])
        question, answer = puzzle.grid(made.inputs[row]), puzzle.grid(made.labels[row])
        words = puzzle.judge(Problem("", question), [answer]).words
        raise DataError(
            f"{where}: its rules contradict its own generator: {puzzle.text(question)} with the"
            f" answer {puzzle.text(answer)} is {words}"
        )
    if puzzle.broken(made.inputs, made.labels).any():
        raise DataError(f"{where}: faults() of a right answer are not empty")


def _check_text(puzzle: Puzzle, made: Generated, where: str) -> None:
    for board in made.inputs[:8]:
        grid = puzzle.grid(board)
        again = puzzle.parse(puzzle.text(grid), where)
        if not np.array_equal(grid, again):
            raise DataError(f"{where}: the text {puzzle.text(grid)} is read as another board")


def _check_symmetry(puzzle: Puzzle, symmetry: BoardSymmetry, made: Generated, where: str) -> None:
    groups = index = np.arange(len(made.inputs))
    inputs, labels = symmetry.augment(made.inputs, made.labels, groups, index, seed=0)
    if puzzle.has_rules and not puzzle.solved(inputs, labels).all():
        row = int(np.flatnonzero(~puzzle.solved(inputs, labels))[0])
        raise DataError(
            f"{where}: its symmetries break its rules: {puzzle.text(puzzle.grid(inputs[row]))}"
        )
    maps = symmetry.maps(groups, index, 0)
    if not (maps.undo(inputs) == made.inputs).all():
        raise DataError(f"{where}: its symmetries cannot be undone")
    try:
        same = symmetry.keys(inputs, labels) == symmetry.keys(made.inputs, made.labels)
    except ValueError:
        return
    if not same.all():
        raise DataError(f"{where}: keys() of its symmetry tell equal puzzles apart")
