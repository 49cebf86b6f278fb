"""ARC grids: tokens, symmetries, names of augmented puzzles.

A grid is uint8 [h, w] of colours 0 ... 9, at most 30x30. As tokens it lies in a frame of 30x30: PAD
around it, a row of EOS under it and a column of EOS right of it (none on a side that touches the
frame's edge; the corner stays PAD), as in the published HRM data sets.

A *variant* is uint8 [11]: the number of a dihedral transformation and the new colours of 0 ... 9.
Colours are mapped first, then the grid is turned.
"""

from __future__ import annotations

import re

import numpy as np

from hrm_scale.puzzles.symmetry import dihedral

SIDE = 30
CELLS = SIDE * SIDE
PAD, EOS, FIRST_COLOUR = 0, 1, 2
COLOURS = 10
VOCABULARY = FIRST_COLOUR + COLOURS
VARIANT_BYTES = 1 + COLOURS
IDENTITY = np.arange(-1, COLOURS).clip(0).astype(np.uint8)
"""The variant that changes nothing: transformation 0, every colour itself."""
DIHEDRAL_INVERSE = (0, 3, 2, 1, 4, 5, 6, 7)

_NAME = re.compile(r"(?P<task>.*)\|\|\|t(?P<number>[0-7])\|\|\|(?P<colours>[0-9]{10})", re.DOTALL)


def augment(grid: np.ndarray, variant: np.ndarray) -> np.ndarray:
    """The grid under a variant: colours first, then the transformation."""
    return dihedral(variant[1:][grid], int(variant[0]))


def undo(grid: np.ndarray, variant: np.ndarray) -> np.ndarray:
    """The grid that `augment` made this one from."""
    colours = np.argsort(variant[1:]).astype(np.uint8)
    return colours[dihedral(grid, DIHEDRAL_INVERSE[int(variant[0])])]


def encode(grid: np.ndarray, row: int = 0, column: int = 0) -> np.ndarray:
    """Tokens uint8 [900] of a grid whose top left cell lies at (row, column) of the frame.

    ValueError when it does not fit there.
    """
    height, width = grid.shape
    bottom, right = row + height, column + width
    if min(row, column, height - 1, width - 1) < 0 or max(bottom, right) > SIDE:
        raise ValueError(f"a grid of {height}x{width} does not fit at ({row}, {column})")
    frame = np.full((SIDE, SIDE), PAD, np.uint8)
    frame[row:bottom, column:right] = grid + np.uint8(FIRST_COLOUR)
    if bottom < SIDE:
        frame[bottom, column:right] = EOS
    if right < SIDE:
        frame[row:bottom, right] = EOS
    return frame.ravel()


def crop_sizes(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Height and width of the grid at the top left of each frame of tokens [n, h, w], int64 [n].

    The largest rectangle of colours: over its first r rows the shortest run of colours counts; of
    equally large ones the first wins. Anything but a colour in the corner gives 0x0. (The
    published evaluation.)
    """
    blocked = (frames < FIRST_COLOUR) | (frames >= VOCABULARY)
    runs = np.where(blocked.any(axis=2), blocked.argmax(axis=2), frames.shape[2])
    widths = np.minimum.accumulate(runs, axis=1)
    heights = (widths * np.arange(1, frames.shape[1] + 1)).argmax(axis=1) + 1
    widths = widths[np.arange(len(frames)), heights - 1]
    return np.where(widths > 0, heights, 0), widths


def crop(tokens: np.ndarray, row: int = 0, column: int = 0) -> np.ndarray:
    """The grid in tokens [900], right or not, whose corner lies at (row, column): `crop_sizes`."""
    frame = np.asarray(tokens).reshape(SIDE, SIDE)[row:, column:]
    (height,), (width,) = crop_sizes(frame[None])
    return (frame[:height, :width] - FIRST_COLOUR).astype(np.uint8)


def colour_box(tokens: np.ndarray) -> tuple[int, int, int, int]:
    """Top, left, height and width of the rectangle that all colours of a frame [900] lie in; of a
    frame without colours zeros."""
    colours = np.asarray(tokens).reshape(SIDE, SIDE) >= FIRST_COLOUR
    rows, columns = (np.flatnonzero(colours.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(rows[0]), int(columns[0]), int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


def places(inputs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sides [n, 4] and top left corners [n, 2], uint8, of the grids of pairs [n, 900] that do not
    say them. Both grids of a pair were moved together: the corner is the input's."""
    boxes = [(colour_box(a), colour_box(b)) for a, b in zip(inputs, labels, strict=True)]
    shapes = np.array([[*one[2:], *other[2:]] for one, other in boxes], np.uint8)
    corners = np.array([one[:2] for one, _ in boxes], np.uint8)
    return shapes.reshape(-1, 4), corners.reshape(-1, 2)


def cut(tokens: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """A part (top, left, height, width) of a frame [900]: tokens [height, width]."""
    top, left, height, width = box
    return tokens.reshape(SIDE, SIDE)[top : top + height, left : left + width]


def undo_tokens(tokens: np.ndarray, variant: np.ndarray) -> np.ndarray:
    """`undo` on tokens [h, w], PAD and EOS among them: those of a wrong answer."""
    inverse = np.arange(256, dtype=np.uint8)
    inverse[variant[1:] + np.uint8(FIRST_COLOUR)] = np.arange(FIRST_COLOUR, VOCABULARY)
    return inverse[dihedral(tokens, DIHEDRAL_INVERSE[int(variant[0])])]


def variant_name(task: str, variant: np.ndarray) -> str:
    """`task` itself for the identity, else `task|||t3|||0312456789`."""
    if np.array_equal(variant, IDENTITY):
        return task
    return f"{task}|||t{int(variant[0])}|||{''.join(map(str, variant[1:].tolist()))}"


def parse_name(name: str) -> tuple[str, np.ndarray]:
    """(task, variant) of a name that `variant_name` made; any other name is a task itself."""
    match = _NAME.fullmatch(name)
    if match is None:
        return name, IDENTITY.copy()
    digits = [int(match["number"]), *map(int, match["colours"])]
    return match["task"], np.array(digits, np.uint8)
