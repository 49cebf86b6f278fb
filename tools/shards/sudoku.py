"""Sudoku boards of a data set: their geometry, and how they look."""

from __future__ import annotations

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.puzzles.sudoku import board


def geometry_of(meta: DatasetMeta) -> board.Geometry:
    """The board of a Sudoku data set. DataError when dataset.json describes no such board."""
    try:
        geometry = board.Geometry(
            meta.board["height"], meta.board["box_height"], meta.board["box_width"]
        )
        sound = (
            geometry.box_height * geometry.box_width == geometry.size == meta.board["width"]
            and 1 < geometry.size <= board.MAX_SIZE
            and meta.seq_len == geometry.cells
            and meta.vocab_size == geometry.vocab_size
        )
    except (KeyError, TypeError) as error:
        raise DataError(f"dataset.json: the board lacks or spoils {error}: not a Sudoku") from error
    if not sound:
        raise DataError(
            f"dataset.json: board {meta.board} with seq_len {meta.seq_len} and vocab_size "
            f"{meta.vocab_size} is not a Sudoku up to {board.MAX_SIZE}x{board.MAX_SIZE}: "
            "build the data set again"
        )
    return geometry


def side_by_side(inputs: np.ndarray, labels: np.ndarray, geometry: board.Geometry) -> list[str]:
    """Question and solution of one example (tokens `[cells]` each) as lines of text."""
    left, right = _lines(inputs, geometry), _lines(labels, geometry)
    return [f"{question}   {answer}" for question, answer in zip(left, right, strict=True)]


def _lines(tokens: np.ndarray, geometry: board.Geometry) -> list[str]:
    glyphs = np.array(["?", *board.GLYPHS])[tokens].reshape(geometry.size, -1)
    width = geometry.box_width
    rule = "+".join(["-" * (2 * width + 1)] * geometry.stacks)
    lines = [f"+{rule}+"]
    for index, row in enumerate(glyphs):
        parts = [" ".join(row[i : i + width]) for i in range(0, geometry.size, width)]
        lines.append("| " + " | ".join(parts) + " |")
        if (index + 1) % geometry.box_height == 0:
            lines.append(f"+{rule}+")
    return lines
