"""Make Sudoku puzzles with exactly one solution, no two of them equal up to symmetry."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hrm_scale.base.counter import below, draws, make_key, permutation
from hrm_scale.base.errors import ConfigError
from hrm_scale.puzzles.sudoku.board import BLANK_TOKEN, Geometry
from hrm_scale.puzzles.sudoku.classes import class_keys
from hrm_scale.puzzles.sudoku.puzzle import Sudoku
from hrm_scale.puzzles.sudoku.solver import candidates, propagate, search, solve, split_cell

from ..builder.boards import Boards, Distinct

SOURCE_NAME = "generated"
# Streams of the counter generator; those below 100 belong to hrm_scale.data.
_GENERATE, _DEAL = 101, 102
# Clue counts aimed at, fewest and most: each puzzle gets a target drawn uniformly between them, and
# stays above it where fewer clues would allow a second solution.
CLUE_TARGETS = {
    4: (4, 10),
    6: (8, 22),
    8: (16, 34),
    9: (22, 40),
    10: (28, 52),
    12: (44, 85),
    16: (96, 150),
}
# Above 9x9, a clue whose removal takes a longer search to justify stays.
_MOST_GUESSES = 500
_MOST_PER_ROUND = 4096
_FRUITLESS_ROUNDS = 6


class _Stream:
    """Draws of one counter stream, taken one after the other."""

    def __init__(self, *key: int) -> None:
        self._key = make_key(_GENERATE, *key)
        self._taken = 0

    def take(self, *shape: int) -> np.ndarray:
        count = int(np.prod(shape))
        values = draws(self._key, self._taken, count)
        self._taken += count
        return values.reshape(shape)


def generate(
    count: int,
    geometry: Geometry,
    *,
    seed: int,
    min_difficulty: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Boards:
    """`count` puzzles in random order; `ratings` holds the guesses our solver needs.

    Raises ConfigError when so many different puzzles are not to be found.
    """
    found = Distinct(count, progress)
    fruitless, round_number, useful = 0, 0, 0.8
    while found.missing:
        wanted = min(_MOST_PER_ROUND, max(64, int(found.missing / useful)))
        fresh, keys = _one_round(wanted, geometry, _Stream(seed, geometry.size, round_number))
        assert fresh.ratings is not None
        new = found.add(fresh, keys, usable=fresh.ratings >= min_difficulty)
        round_number += 1
        useful = max(0.8 * float(new.mean()), 0.01)
        fruitless = fruitless + 1 if new.sum() * 200 < wanted else 0
        if fruitless >= _FRUITLESS_ROUNDS:
            raise ConfigError(_too_many(count, found.found, geometry, min_difficulty))
    # The last ones found are the rare ones when puzzles run out: deal them to both splits.
    return found.boards().take(permutation(make_key(_DEAL, seed, geometry.size), count))


def _too_many(count: int, have: int, geometry: Geometry, min_difficulty: int) -> str:
    filtered = f" with --min-difficulty {min_difficulty}" if min_difficulty else ""
    board = f"{geometry.size}x{geometry.size}"
    return (
        f"{count} different {board} puzzles{filtered} were asked for (--count plus --test-size), "
        f"only {have} were found that are not equal up to symmetry: ask for fewer"
        + (", or a lower --min-difficulty" if min_difficulty else ", or a larger --size")
    )


def _one_round(count: int, geometry: Geometry, stream: _Stream) -> tuple[Boards, np.ndarray]:
    answers = full_boards(count, geometry, stream)
    low, high = CLUE_TARGETS[geometry.size]
    targets = low + below(stream.take(count), high - low + 1)
    questions = remove_clues(answers, targets, geometry, stream)
    result = solve(questions, geometry)
    assert (result.solutions == 1).all()
    offset = np.uint8(BLANK_TOKEN)
    boards = Boards(
        Sudoku.of_geometry(geometry),
        questions + offset,
        answers + offset,
        ratings=result.guesses.astype(np.int32),
        sources=np.zeros(count, np.uint8),
        source_names=[SOURCE_NAME],
    )
    return boards, class_keys(questions, answers, geometry)


def full_boards(count: int, geometry: Geometry, stream: _Stream) -> np.ndarray:
    """Random solved boards `uint8 [count, cells]`.

    Each is filled by random guesses with propagation and begun anew when it runs into a
    contradiction, which is rare. (Not exactly uniform over all boards; every board can occur.)
    """
    empty = candidates(np.zeros((1, geometry.cells), np.uint8), geometry)
    masks = np.repeat(empty, count, axis=1)
    boards = np.zeros((count, geometry.cells), np.uint8)
    owner = np.arange(count)
    while owner.size:
        before = masks
        masks, bad = propagate(masks, geometry)
        calm = ~bad & (masks == before).all(axis=0)
        done = calm & ((masks & (masks - np.uint16(1))) == 0).all(axis=0)
        if done.any():
            boards[owner[done]] = _digits(masks[:, done]).T
        masks[:, bad] = empty
        stuck = np.flatnonzero(calm & ~done)
        if stuck.size:
            cell = split_cell(masks[:, stuck], geometry)
            mask = masks[cell, stuck]
            masks[cell, stuck] = _random_bit(mask, stream.take(stuck.size), geometry)
        masks, owner = masks[:, ~done], owner[~done]
    return boards


def _digits(masks: np.ndarray) -> np.ndarray:
    return np.bitwise_count(masks - np.uint16(1)) + np.uint8(1)


def _random_bit(masks: np.ndarray, numbers: np.ndarray, geometry: Geometry) -> np.ndarray:
    """One set bit of each mask, chosen by a 64-bit number each."""
    rank = below(numbers, np.bitwise_count(masks).astype(np.int64))
    bits = (masks[:, None] >> np.arange(geometry.size, dtype=np.uint16)) & np.uint16(1)
    place = (bits.cumsum(axis=1) == rank[:, None] + 1).argmax(axis=1)
    return np.uint16(1) << place.astype(np.uint16)


def remove_clues(
    answers: np.ndarray, targets: np.ndarray, geometry: Geometry, stream: _Stream
) -> np.ndarray:
    """Questions `uint8 [n, cells]` with one solution and, where possible, `targets` [n] clues.

    Cells are tried in random order; a clue stays when the board without it, and with another digit
    there, can be completed.
    """
    count, cells = answers.shape
    order = stream.take(count, cells).argsort(axis=1, kind="stable")
    questions = answers.copy()
    everyone = np.arange(count)
    max_guesses = None if geometry.size <= 9 else _MOST_GUESSES
    # Most boards lose their first clues without harm: take them together, and put back the rest.
    together = np.minimum(cells * 2 // 5, cells - targets)
    early = np.arange(cells)[None, :] < together[:, None]
    kept = np.where(early, 0, np.take_along_axis(answers, order, axis=1))
    np.put_along_axis(questions, order, kept, axis=1)
    ambiguous = solve(questions, geometry).solutions != 1
    questions[ambiguous] = answers[ambiguous]
    begin = np.where(ambiguous, 0, together)
    clues = (questions != 0).sum(axis=1)
    for position in range(int(begin.min(initial=cells)), cells):
        active = everyone[(clues > targets) & (begin <= position)]
        if active.size == 0:
            continue
        cell = order[active, position]
        trial = questions[active]
        trial[np.arange(active.size), cell] = 0
        masks = candidates(trial, geometry)
        digit = answers[active, cell].astype(np.uint16) - np.uint16(1)
        masks[cell, np.arange(active.size)] &= ~(np.uint16(1) << digit)
        found = search(masks, geometry, limit=1, max_guesses=max_guesses)
        free = found.solutions == 0
        if max_guesses is not None:
            free &= found.guesses <= max_guesses
        questions[active[free], cell[free]] = 0
        clues[active[free]] -= 1
    return questions
