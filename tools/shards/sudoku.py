"""Sudoku boards of a data set: their geometry, and how they look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.base.programs import load
from hrm_scale.data.format.meta import DatasetMeta

if TYPE_CHECKING:
    from shards.sudoku import board
else:
    board = load("shards.sudoku.board")


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
    left = board.draw(inputs.astype(np.int64) - board.TOKEN_OFFSET, geometry)
    right = board.draw(labels.astype(np.int64) - board.TOKEN_OFFSET, geometry)
    return [f"{question}   {answer}" for question, answer in zip(left, right, strict=True)]
