"""Tasks and variants of an ARC data set, read once."""

from __future__ import annotations

import bisect
import functools

import numpy as np

from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.data.read.dataset import Dataset
from hrm_scale.puzzles.arc import grid as arc_grid


def is_arc(meta: DatasetMeta) -> bool:
    """Are the rows frames of ARC grids, whatever the data set calls itself?"""
    return (meta.kind, meta.seq_len, meta.vocab_size) == (
        "arc",
        arc_grid.CELLS,
        arc_grid.VOCABULARY,
    )


class ArcTasks:
    """Which task and variant a puzzle identifier stands for. The files are read at first use."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    @functools.cached_property
    def tasks(self) -> list[tuple[str, int, int]]:
        """(name, first identifier, how many) of every task, without the blank one."""
        blank = self._dataset.meta.blank_identifier_id
        return [task for task in self._dataset.tasks() if task[1] != blank or task[2] > 1]

    @functools.cached_property
    def table(self) -> np.ndarray:
        """Variant of every identifier, uint8 [identifiers, 11]."""
        return self._dataset.augmentations()

    @functools.cached_property
    def _firsts(self) -> list[int]:
        return [first for _, first, _ in self.tasks]

    def of(self, identifier: int) -> tuple[str, int, int]:
        """The task that an identifier belongs to; one of its own where no task has it."""
        at = bisect.bisect_right(self._firsts, identifier) - 1
        if at >= 0:
            name, first, count = self.tasks[at]
            if identifier < first + count:
                return name, first, count
        return f"identifier {identifier}", identifier, 1

    def name(self, identifier: int) -> str:
        """The full name of an identifier."""
        return arc_grid.variant_name(self.of(identifier)[0], self.table[identifier])


def places_in_frames(inputs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(shapes [n, 4], offsets [n, 2]) of ARC rows that do not say them.

    Grids are rectangles of colours, so the colours' bounding box is the grid. Both grids of a row
    were moved together, so the input's corner counts for both.
    """
    shapes, offsets = np.zeros((len(inputs), 4), np.uint8), np.zeros((len(inputs), 2), np.uint8)
    for row, pair in enumerate(zip(inputs, labels, strict=True)):
        for side, tokens in enumerate(pair):
            colours = tokens.reshape(arc_grid.SIDE, arc_grid.SIDE) >= arc_grid.FIRST_COLOUR
            lines, columns = (np.flatnonzero(colours.any(axis=axis)) for axis in (1, 0))
            if len(lines) == 0:
                continue
            shapes[row, 2 * side : 2 * side + 2] = np.ptp(lines) + 1, np.ptp(columns) + 1
            if side == 0:
                offsets[row] = lines[0], columns[0]
    return shapes, offsets
