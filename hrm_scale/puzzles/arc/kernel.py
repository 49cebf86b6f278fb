"""The ARC augmentation compiled by numba where that is installed: same bytes, but faster.

It is compiled in the background (a second or two, once per machine: numba keeps the result); until
then, and without numba, `ArcFrames` works in numpy. It lets go of the interpreter, so that a
loading thread does not slow the training thread down.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import threading
from collections.abc import Callable

import numpy as np

from hrm_scale.puzzles.arc.grid import CELLS, EOS, FIRST_COLOUR, PAD, SIDE

_LOG = logging.getLogger("hrm_scale.data")
Kernel = Callable[..., None]
_compiled: list[Kernel] = []


def kernel() -> Kernel | None:
    """The compiled kernel; None while there is none, or for good."""
    start_compiling()
    return _compiled[0] if _compiled else None


@functools.cache
def start_compiling() -> threading.Thread:
    """Compile in a thread of its own, which is returned; once."""
    thread = threading.Thread(target=_compile, name="hrm-data-kernel", daemon=True)
    thread.start()
    return thread


def _compile() -> None:
    if importlib.util.find_spec("numba") is None:
        return
    try:
        import numba

        turned = numba.njit(nogil=True, cache=True)(augment_pairs)
        tokens = np.zeros((1, CELLS), np.uint8)
        shapes, variants = np.ones((1, 4), np.uint8), np.zeros((1, 11), np.uint8)
        one, place = np.zeros(1, np.int64), np.zeros((1, 2), np.int64)
        turned(tokens, tokens, shapes, one, variants, place, tokens.copy(), tokens.copy())
    except Exception as error:  # what a run can do without must not stop it
        _LOG.warning("numba does not work here (%s): ARC is augmented in numpy", error)
        return
    _compiled.append(turned)


def augment_pairs(
    inputs: np.ndarray,
    labels: np.ndarray,
    shapes: np.ndarray,
    rows: np.ndarray,
    variants: np.ndarray,
    offsets: np.ndarray,
    new_inputs: np.ndarray,
    new_labels: np.ndarray,
) -> None:
    """`ArcFrames.augment` one cell at a time: C-contiguous arrays as described there."""
    colours = np.empty(256, np.uint8)
    for n in range(len(rows)):
        row, turn = rows[n], variants[n, 0]
        for token in range(FIRST_COLOUR):
            colours[token] = token
        for colour in range(10):
            colours[FIRST_COLOUR + colour] = FIRST_COLOUR + variants[n, 1 + colour]
        for half in range(2):
            old = inputs[row] if half == 0 else labels[row]
            new = new_inputs[n] if half == 0 else new_labels[n]
            height, width = int(shapes[row, 2 * half]), int(shapes[row, 2 * half + 1])
            # Old cell of the new cell (r, c): start + r * down + c * right.
            start, down, right = 0, SIDE, 1
            if turn in (1, 3, 6, 7):
                down, right = 1, SIDE
                height, width = width, height
            if turn in (1, 2, 5, 7):
                start, down = start + (height - 1) * down, -down
            if turn in (2, 3, 4, 7):
                start, right = start + (width - 1) * right, -right
            top, left = offsets[n, 0], offsets[n, 1]
            new[:] = PAD
            for r in range(height):
                at, source = (top + r) * SIDE + left, start + r * down
                line = new[at : at + width]
                for c in range(width):
                    # Unsigned: no check whether it counts from the end.
                    line[c] = colours[old[np.uint64(source + c * right)]]
                if left + width < SIDE:
                    new[at + width] = EOS
            if top + height < SIDE:
                at = (top + height) * SIDE + left
                new[at : at + width] = EOS
