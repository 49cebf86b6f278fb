"""Puzzles of every kind as people write, read and check them. Nothing here needs torch.

Imports: base, data, evaluation.
"""

from __future__ import annotations

from hrm_scale.base.errors import ConfigError
from hrm_scale.boards.arc import ArcBoard
from hrm_scale.boards.board import Board, Puzzle, Verdict
from hrm_scale.boards.maze import MazeBoard
from hrm_scale.boards.sudoku import SudokuBoard
from hrm_scale.data.augment.arc_grid import CELLS, SIDE, VOCABULARY
from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.data.maze_wave import MAX_SIDE

__all__ = ["ArcBoard", "Board", "MazeBoard", "Puzzle", "SudokuBoard", "Verdict", "board_of"]


def board_of(meta: DatasetMeta, checkpoint: str) -> Board:
    """The board that a model trained on data of `meta` answers.

    ConfigError naming `checkpoint` when its puzzles are of no kind that is read here.
    """
    names = ("height", "width", "box_height", "box_width")
    height, width, box_height, box_width = (meta.board.get(name, 0) for name in names)
    square = 0 < height == width and height * width == meta.seq_len
    if meta.kind == "sudoku" and square and height == box_height * box_width <= 9:
        return SudokuBoard(height, box_height, box_width)
    if meta.kind == "maze" and square and height <= MAX_SIDE:
        return MazeBoard(height)
    if meta.kind == "arc" and (meta.seq_len, meta.vocab_size) == (CELLS, VOCABULARY):
        return ArcBoard(SIDE)
    raise ConfigError(
        f"checkpoint={checkpoint} was trained on {meta.kind} puzzles of {meta.seq_len} cells and"
        f" {meta.vocab_size} tokens; allowed are Sudokus up to 9x9, square mazes up to"
        f" {MAX_SIDE}x{MAX_SIDE}, and ARC"
    )
