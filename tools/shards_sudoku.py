"""Sudoku rows of a data set: what is wrong with them, and how they look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from hrm_scale.data.format import DatasetMeta
from hrm_scale.errors import DataError
from shards.sudoku_board import (
    TOKEN_OFFSET,
    Geometry,
    contradicted_cells,
    draw,
    faulty_units,
    puzzle_problem,
)
from shards.sudoku_solver import solve


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


class SudokuCheck:
    """Checks the rows of records: tokens, clues kept, solved board, optionally one solution."""

    def __init__(self, meta: DatasetMeta, *, unique: bool) -> None:
        self._geometry = geometry_of(meta)
        self._unique = unique
        self._rows = 0
        self._searched = 0

    def problems(
        self, columns: Mapping[str, np.ndarray], *, search: bool
    ) -> Iterator[tuple[int, str]]:
        """(row, what is wrong) for every bad row of a record. `search`: for second solutions."""
        geometry = self._geometry
        inputs, labels = columns["inputs"], columns["labels"]
        self._rows += len(inputs)
        padded = (inputs == 0).any(axis=1) | (labels <= TOKEN_OFFSET).any(axis=1)
        questions = np.maximum(inputs, TOKEN_OFFSET) - np.uint8(TOKEN_OFFSET)
        answers = np.maximum(labels, TOKEN_OFFSET) - np.uint8(TOKEN_OFFSET)
        bad = padded | faulty_units(answers, geometry).any(axis=1)
        bad |= contradicted_cells(questions, answers).any(axis=1)
        for row in np.flatnonzero(bad).tolist():
            text = puzzle_problem(questions[row], answers[row], geometry)
            yield row, text or "the question holds padding"
        if self._unique and search:
            good = np.flatnonzero(~bad)
            found = solve(questions[good], geometry).solutions
            self._searched += len(good)
            for row in good[found != 1].tolist():
                yield row, "the question has a second solution"

    def summary(self, stripes: int) -> str:
        text = f"{self._rows} solved boards that keep their clues"
        if self._unique:
            which = "" if stripes == 1 else " (the first stripe)"
            text += f", {self._searched} searched for a second solution{which}"
        return text


def side_by_side(inputs: np.ndarray, labels: np.ndarray, geometry: Geometry) -> list[str]:
    """Question and solution of one example (tokens `[cells]` each) as lines of text."""
    left = draw(inputs.astype(np.int64) - TOKEN_OFFSET, geometry)
    right = draw(labels.astype(np.int64) - TOKEN_OFFSET, geometry)
    return [f"{question}   {answer}" for question, answer in zip(left, right, strict=True)]
