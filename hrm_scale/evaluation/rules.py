"""Does an answer obey the rules of its puzzle? Asked without knowing the right answer."""

from __future__ import annotations

import functools

import numpy as np

from hrm_scale.data import maze_paths
from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.data.maze_wave import MAX_SIDE
from hrm_scale.evaluation.sudoku import BLANK_TOKEN


def has_rules(meta: DatasetMeta) -> bool:
    """Can answers be checked? For Sudokus of any size and square mazes of up to 64x64, not ARC."""
    names = ("height", "width", "box_height", "box_width")
    height, width, box_height, box_width = (meta.board.get(name, 0) for name in names)
    square = 0 < height == width and height * width == meta.seq_len
    if meta.kind == "sudoku":
        return square and height == box_height * box_width
    return meta.kind == "maze" and square and height <= MAX_SIDE


def obeys(meta: DatasetMeta, inputs: np.ndarray, predictions: np.ndarray) -> np.ndarray | None:
    """bool [n]: a Sudoku that is solved, a maze with a shortest path, whatever the label is.

    inputs, predictions: tokens [n, S], any integers. None without `has_rules`.
    """
    if not has_rules(meta):
        return None
    check = is_solved_sudoku if meta.kind == "sudoku" else is_shortest_path
    return check(meta, inputs, predictions)


def is_solved_sudoku(meta: DatasetMeta, inputs: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """bool [n]: are all clues kept, and has every row, column and box each digit once?"""
    board = meta.board
    units = _units(board["height"], board["box_height"], board["box_width"])
    solved = ((inputs <= BLANK_TOKEN) | (inputs == predictions)).all(axis=1)
    digits = np.sort(predictions[solved][:, units], axis=2)
    every = BLANK_TOKEN + 1 + np.arange(board["height"])
    solved[solved] = (digits == every).all(axis=(1, 2))
    return solved


def is_path(meta: DatasetMeta, inputs: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """bool [n]: is one path drawn into the maze, from S to G, and nothing else? It may be longer
    than needed, but not run along itself: then the drawing would not say where it goes."""
    return maze_paths.is_path(inputs, predictions, meta.board["height"])


def is_shortest_path(meta: DatasetMeta, inputs: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """bool [n]: is one of the shortest paths drawn into the maze, and nothing else?"""
    return maze_paths.is_shortest_path(inputs, predictions, meta.board["height"])


@functools.cache
def _units(size: int, box_height: int, box_width: int) -> np.ndarray:
    """The cells of each row, column and box, int64 [3 * size, size]."""
    cells = np.arange(size * size).reshape(size, size)
    boxes = cells.reshape(size // box_height, box_height, size // box_width, box_width)
    return np.concatenate([cells, cells.T, boxes.transpose(0, 2, 1, 3).reshape(size, size)])
