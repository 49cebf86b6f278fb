"""Dense storage of an online Sudoku set: the bytes that its builder would have written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.base.programs import load
from hrm_scale.data import Dataset, DatasetWriter

from ..sudoku import geometry_of

if TYPE_CHECKING:
    from shards.sudoku import board, build
    from shards.sudoku import puzzles as puzzle_sets
else:
    board, build = load("shards.sudoku.board"), load("shards.sudoku.build")
    puzzle_sets = load("shards.sudoku.puzzles")


def to_dense(dataset: Dataset, writer: DatasetWriter) -> None:
    """Write all splits: train in stripes. DataError for rows of another builder."""
    spec = dataset.meta.augmentation
    request = build.Request(Path(), num_aug=spec["count"], seed=spec["seed"], storage="dense")
    for split in dataset.meta.splits:
        puzzles = _puzzles(dataset, split)
        if split == "train":
            build.write_stripes(writer, puzzles, request)
        else:
            writer.write_split(split, [puzzles.columns(0, len(puzzles))])


def _puzzles(dataset: Dataset, split: str) -> puzzle_sets.Puzzles:
    names = list(dataset.index(split).columns)
    columns = dataset.read(split, names, 0, dataset.split(split).examples)
    count = len(columns["inputs"])
    ours = {"inputs", "labels", "puzzle_identifiers", "groups", "ratings", "sources"}
    if set(names) != ours or not np.array_equal(columns["groups"], np.arange(count)):
        raise DataError(
            f"{dataset.name}: split {split} has columns or groups other than those of "
            "`python -m shards.sudoku`, which alone can be laid out: build it with --storage dense"
        )
    offset = np.uint8(board.TOKEN_OFFSET)
    return puzzle_sets.Puzzles(
        geometry=geometry_of(dataset.meta),
        questions=columns["inputs"] - offset,
        answers=columns["labels"] - offset,
        ratings=columns["ratings"],
        sources=columns["sources"],
        rows=np.arange(1, count + 1),
        source_names=list(dataset.meta.extra.get("sources", [])),
    )
