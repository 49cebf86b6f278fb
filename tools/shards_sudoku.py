"""Sudoku boards of a data set: their geometry, and how they look."""

from __future__ import annotations

import numpy as np

from hrm_scale.data.format import DatasetMeta
from hrm_scale.errors import DataError
from shards.sudoku_board import TOKEN_OFFSET, Geometry, draw


def geometry_of(meta: DatasetMeta) -> Geometry:
    """The board of a Sudoku data set. DataError when dataset.json describes no such board."""
    try:
        geometry = Geometry(meta.board["height"], meta.board["box_height"], meta.board["box_width"])
        sound = (
            geometry.box_height * geometry.box_width == geometry.size == meta.board["width"]
            and 1 < geometry.size <= 9
            and meta.seq_len == geometry.cells
            and meta.vocab_size == geometry.vocab_size
        )
    except (KeyError, TypeError) as error:
        raise DataError(f"dataset.json: the board lacks or spoils {error}: not a Sudoku") from error
    if not sound:
        raise DataError(
            f"dataset.json: board {meta.board} with seq_len {meta.seq_len} and vocab_size "
            f"{meta.vocab_size} is not a Sudoku up to 9x9: build the data set again"
        )
    return geometry


def side_by_side(inputs: np.ndarray, labels: np.ndarray, geometry: Geometry) -> list[str]:
    """Question and solution of one example (tokens `[cells]` each) as lines of text."""
    left = draw(inputs.astype(np.int64) - TOKEN_OFFSET, geometry)
    right = draw(labels.astype(np.int64) - TOKEN_OFFSET, geometry)
    return [f"{question}   {answer}" for question, answer in zip(left, right, strict=True)]
