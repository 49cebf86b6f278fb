"""Grids as short texts, to be compared, counted and written: `b"012/345"`, nothing for 0x0."""

from __future__ import annotations

import re

import numpy as np

from hrm_scale.puzzles.arc.grid import (
    CELLS,
    COLOURS,
    DIHEDRAL_INVERSE,
    FIRST_COLOUR,
    SIDE,
    crop_sizes,
    dihedral,
)

_TEXT = re.compile(rb"[0-9]{1,%d}(?:/[0-9]{1,%d}){0,%d}" % (SIDE, SIDE, SIDE - 1))
_ZERO, _BREAK = np.uint8(ord("0")), ord("/")


def to_rows(text: bytes) -> list[list[int]]:
    """The grid of a text as lists, one a row; of 0x0 an empty list."""
    return [[cell - ord("0") for cell in line] for line in text.split(b"/")] if text else []


def is_grid_text(text: bytes) -> bool:
    """Does a text stand for a grid, 0x0 included?"""
    if not text:
        return True
    lines = text.split(b"/")
    return bool(_TEXT.fullmatch(text)) and all(len(line) == len(lines[0]) for line in lines)


def read_tokens(tokens: np.ndarray, variants: np.ndarray) -> list[bytes]:
    """Texts of the grids in tokens [n, 900], each turned back from its variant, uint8 [n, 11]."""
    frames = np.asarray(tokens).reshape(-1, SIDE, SIDE)
    heights, widths = crop_sizes(frames)
    # Digits of the colours before the variant; what is no colour lies outside of the grids.
    digits = np.full((len(frames), FIRST_COLOUR + COLOURS), _ZERO, np.uint8)
    digits[:, FIRST_COLOUR:] += np.argsort(variants[:, 1:], axis=1).astype(np.uint8)
    known = np.clip(frames, 0, FIRST_COLOUR + COLOURS - 1).reshape(-1, CELLS)
    plain = np.take_along_axis(digits, known.astype(np.intp), axis=1).reshape(-1, SIDE, SIDE)
    back = [DIHEDRAL_INVERSE[number] for number in variants[:, 0].tolist()]
    sizes = zip(heights.tolist(), widths.tolist(), strict=True)
    return [
        _joined(dihedral(plain[at, :height, :width], back[at]))
        for at, (height, width) in enumerate(sizes)
    ]


def _joined(digits: np.ndarray) -> bytes:
    """Digits uint8 [h, w], one text."""
    height, width = digits.shape
    lines = np.empty((height, width + 1), np.uint8)
    lines[:, :width] = digits
    lines[:, width] = _BREAK
    return lines.tobytes()[:-1]
