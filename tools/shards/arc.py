"""ARC rows in bulk: the frame a row must have, and the original pair it was made from."""

from __future__ import annotations

import numpy as np
import xxhash

from hrm_scale.puzzles.arc.grid import (
    CELLS,
    COLOURS,
    DIHEDRAL_INVERSE,
    EOS,
    FIRST_COLOUR,
    IDENTITY,
    SIDE,
    dihedral,
)

BLOCK = 512  # rows worked on at a time, so that they stay in the cache
CONTENT = 2
_SWAPPING = np.array([0, 1, 0, 1, 0, 0, 1, 1], np.bool_)


def frames(sides: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """What each cell must be: CONTENT, EOS or 0 for PAD, uint8 [n, 30, 30].

    sides: [n, 2] height and width; corners: [n, 2] row and column of the top left cell.
    """
    lines = np.arange(SIDE)
    start, stop = corners.astype(np.int64), corners.astype(np.int64) + sides
    inside = (start[..., None] <= lines) & (lines < stop[..., None])
    after = lines == stop[..., None]
    rows, columns = inside[:, 0].view(np.uint8), inside[:, 1].view(np.uint8)
    found = (CONTENT * rows + EOS * after[:, 0])[:, :, None] * columns[:, None, :]
    found += rows[:, :, None] * (EOS * after[:, 1].view(np.uint8))[:, None, :]
    return found


def classes(tokens: np.ndarray) -> np.ndarray:
    """What each cell of tokens [n, 900] is, as in `frames`."""
    return np.minimum(tokens, FIRST_COLOUR).reshape(-1, SIDE, SIDE)


def originals(
    tokens: np.ndarray, sides: np.ndarray, variants: np.ndarray, corners: np.ndarray
) -> np.ndarray:
    """Tokens [n, 900] with augmentation and translation undone: top left, with their EOS.

    sides: [n, 2] of the grids as they are; variants: uint8 [n, 11]; corners: [n, 2].
    """
    made = np.empty_like(tokens)
    for start in range(0, len(tokens), BLOCK):
        part = slice(start, start + BLOCK)
        made[part] = _originals(tokens[part], sides[part], variants[part], corners[part])
    return made


def original_sides(sides: np.ndarray, variants: np.ndarray) -> np.ndarray:
    """Height and width before the variant turned the grid; `sides` is [n, 2] or [n, 2, ...]."""
    swapped = _SWAPPING[variants[:, 0]]
    return np.where(swapped[:, None], sides[:, ::-1], sides)


def _originals(
    tokens: np.ndarray, sides: np.ndarray, variants: np.ndarray, corners: np.ndarray
) -> np.ndarray:
    cells = tokens.reshape(-1, SIDE, SIDE)
    turned = np.empty_like(cells)
    top, left = corners.T.astype(np.int64)
    below, right = SIDE - top - sides[:, 0], SIDE - left - sides[:, 1]
    corner = np.empty(len(tokens), np.int64)
    # Where the top left cell lies once the whole frame is turned back.
    places = [
        (top, left), (right, top), (below, right), (left, below),
        (top, right), (below, left), (left, top), (right, below),
    ]  # fmt: skip
    for number in np.unique(variants[:, 0]).tolist():
        rows = np.flatnonzero(variants[:, 0] == number)
        back = DIHEDRAL_INVERSE[number]
        turned[rows] = dihedral(cells[rows], back)
        row, column = places[back]
        corner[rows] = row[rows] * SIDE + column[rows]
    names = np.zeros((len(tokens), 16), np.uint8)
    names[:, FIRST_COLOUR : FIRST_COLOUR + COLOURS] = FIRST_COLOUR + np.argsort(variants[:, 1:])
    number = np.arange(len(tokens))[:, None]
    where = number * CELLS + corner[:, None] + np.arange(CELLS)
    moved = turned.reshape(-1).take(where, mode="clip")
    moved = names.reshape(-1).take(number * 16 + np.minimum(moved, 15), mode="clip")
    expected = frames(original_sides(sides, variants), np.zeros_like(corners))
    expected = expected.reshape(-1, CELLS)
    return np.where(expected == CONTENT, moved, expected)


def pair_hashes(inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """xxh3 of each pair of rows, uint64 [n]."""
    joined = np.concatenate([inputs, labels], axis=1)
    return np.array([xxhash.xxh3_64_intdigest(row) for row in joined], np.uint64)


def symmetry_invariants(inputs: np.ndarray, labels: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """A number for each original pair that `symmetry_keys` never tells apart, far quicker: from the
    sides and from how often each colour occurs. uint64 [n]."""
    colours = range(FIRST_COLOUR, FIRST_COLOUR + COLOURS)
    counts = [
        (inputs == colour).sum(axis=1) * 1000 + (labels == colour).sum(axis=1) for colour in colours
    ]
    others = np.sort(np.stack(counts[1:], axis=1), axis=1)
    sides = np.sort(shapes.reshape(-1, 2, 2).astype(np.int64), axis=2).reshape(-1, 4)
    rows = np.concatenate([counts[0][:, None], others, sides], axis=1)
    return np.array([xxhash.xxh3_64_intdigest(row) for row in rows], np.uint64)


def symmetry_keys(inputs: np.ndarray, labels: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """A key for each original pair, equal for pairs that are variants of each other: uint64 [n].

    The smallest hash of the eight turned pairs, their colours 1 ... 9 renamed in the order in which
    they occur; colour 0 keeps its name, as in the augmentations. shapes: [n, 4].
    """
    keys = np.full(len(inputs), np.iinfo(np.uint64).max, np.uint64)
    corners = np.zeros((len(inputs), 2), np.int64)
    variants = np.repeat(IDENTITY[None], len(inputs), axis=0)
    for number in range(8):
        variants[:, 0] = number
        pair = [
            originals(tokens, shapes[:, at : at + 2], variants, corners)
            for tokens, at in ((inputs, 0), (labels, 2))
        ]
        keys = np.minimum(keys, _renamed_hashes(np.concatenate(pair, axis=1)))
    return keys


def _renamed_hashes(tokens: np.ndarray) -> np.ndarray:
    names = np.tile(np.arange(16, dtype=np.uint8), (len(tokens), 1))
    first = np.stack(
        [
            np.where((hit := tokens == colour).any(axis=1), hit.argmax(axis=1), tokens.shape[1])
            for colour in range(FIRST_COLOUR + 1, FIRST_COLOUR + COLOURS)
        ],
        axis=1,
    )
    names[:, FIRST_COLOUR + 1 : FIRST_COLOUR + COLOURS] = (
        FIRST_COLOUR + 1 + np.argsort(np.argsort(first, axis=1, kind="stable"), axis=1)
    )
    renamed = np.take_along_axis(names, tokens.astype(np.int64), axis=1)
    return np.array([xxhash.xxh3_64_intdigest(row) for row in renamed], np.uint64)
