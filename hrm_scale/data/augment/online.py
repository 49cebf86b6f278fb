"""Augmentation while training: the rows of a window, each as it is drawn for its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.data.augment.arc import ArcFrames, draw_offsets, draw_variants, turned_shapes
from hrm_scale.data.augment.sudoku import augment_packed, draw_augmentations, pack_sudoku
from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.data.order.order import Piece
from hrm_scale.data.read.window import Window

ONLINE_COLUMNS = {
    "sudoku": ("inputs", "labels", "groups"),
    "arc": ("inputs", "labels", "groups", "puzzle_identifiers", "variants", "shapes"),
}
"""Columns that the augmentation of each kind needs."""


class OnlineRows(Protocol):
    """The originals of a window, prepared to be augmented."""

    def take(
        self,
        chosen: np.ndarray,
        pieces: Sequence[Piece],
        seed: int,
        out: tuple[np.ndarray, np.ndarray, np.ndarray],
    ) -> None:
        """Rows `chosen` (those of `pieces`, joined) augmented by the draws of a run's seed.

        out: (inputs uint8 [n, S], labels uint8 [n, S], puzzle_identifiers int32 [n]).
        """
        ...


class SudokuRows:
    """Every row gets one of its `count` symmetries, drawn for its place in the epoch."""

    def __init__(self, window: Window, meta: DatasetMeta) -> None:
        self._spec, self._board = meta.augmentation, meta.board
        self._window = window
        self._groups = window.column("groups")
        self._packed: np.ndarray | None = None
        if window.in_memory:
            self._packed = pack_sudoku(window.column("inputs"), window.column("labels"))

    def take(
        self,
        chosen: np.ndarray,
        pieces: Sequence[Piece],
        seed: int,
        out: tuple[np.ndarray, np.ndarray, np.ndarray],
    ) -> None:
        count = self._spec["count"]
        drawn = [draw_augmentations(count, seed, p.epoch, p.offset, len(p.rows)) for p in pieces]
        table, rows = self._boards(chosen)
        augment_packed(
            table,
            rows,
            self._groups[chosen],
            np.concatenate(drawn),
            self._spec["seed"],
            self._board,
            (out[0], out[1]),
        )

    def _boards(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A table of packed Sudokus, and which rows of it are these rows."""
        if self._packed is not None:
            return self._packed, rows
        width = self._board["height"] * self._board["width"]
        inputs, labels = np.empty((2, len(rows), width), np.uint8)
        self._window.take("inputs", rows, inputs)
        self._window.take("labels", rows, labels)
        return pack_sudoku(inputs, labels), np.arange(len(rows))


class ArcRows:
    """All rows of a puzzle get one variant of their task, and each a translation of its own."""

    def __init__(self, window: Window, variants: np.ndarray, name: str) -> None:
        self._variants = variants
        self._groups = window.column("groups")
        self._first = window.column("puzzle_identifiers")
        self._counts = window.column("variants")
        self._shapes = window.column("shapes")
        last = self._first.astype(np.int64) + self._counts
        if int(last.max()) > len(variants):
            raise DataError(
                f"{name}: has variants up to identifier {int(last.max()) - 1}, but there are"
                f" {len(variants)}: type `python -m tools.shards lint {name}`"
            )
        grids = window.column("inputs"), window.column("labels")
        self._frames = ArcFrames(*grids, self._shapes, self._groups)
        starts = np.flatnonzero(np.append(True, self._groups[1:] != self._groups[:-1]))
        sizes = np.diff(np.append(starts, len(self._groups)))
        self._sizes = np.repeat(sizes, sizes)
        self._inside = np.arange(len(self._groups)) - np.repeat(starts, sizes)

    def take(
        self,
        chosen: np.ndarray,
        pieces: Sequence[Piece],
        seed: int,
        out: tuple[np.ndarray, np.ndarray, np.ndarray],
    ) -> None:
        at = 0
        for piece in pieces:
            part = slice(at, at + len(piece.rows))
            rows, identifiers = chosen[part], out[2][part]
            groups = self._groups[rows]
            drawn = draw_variants(seed, piece.epoch, groups, self._counts[rows])
            np.add(self._first[rows], drawn, out=identifiers, casting="unsafe")
            variants = self._variants[identifiers]
            shapes = turned_shapes(self._shapes[rows], variants)
            inside, sizes = self._inside[rows], self._sizes[rows]
            offsets = draw_offsets(seed, piece.epoch, groups, inside, sizes, shapes)
            self._frames.augment(rows, variants, offsets, (out[0][part], out[1][part]))
            at = part.stop
