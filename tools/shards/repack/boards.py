"""Dense storage of an online set of single boards: the same bytes that its builder writes."""

from __future__ import annotations

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.base.progress import Progress
from hrm_scale.data import Dataset, DatasetWriter
from hrm_scale.data.format.dense import write_dense
from hrm_scale.puzzles import BoardSymmetry

# Whatever else a row says might change with its symmetry.
_KEPT = {"inputs", "labels", "puzzle_identifiers", "groups", "ratings", "sources"}


def to_dense(dataset: Dataset, writer: DatasetWriter) -> None:
    """Write all splits: train in stripes. DataError for rows that are not one board per group."""
    spec, symmetry = dataset.meta.augmentation, dataset.meta.puzzle.symmetry
    if not isinstance(symmetry, BoardSymmetry):
        raise DataError(f"{dataset.name}: no symmetries of kind {dataset.meta.kind!r} are known")
    for split in dataset.meta.splits:
        names = list(dataset.index(split).columns)
        if other := set(names) - _KEPT:
            raise DataError(
                f"{dataset.name}: split {split} has the columns {', '.join(sorted(other))}, of"
                " which nobody knows how a symmetry changes them: build it with --storage dense"
            )
        columns = dataset.read(split, names, 0, dataset.split(split).examples)
        if split == "train":
            groups = columns["groups"]
            if len(np.unique(groups)) < len(groups):
                raise DataError(
                    f"{dataset.name}: groups of several rows cannot be laid out: build it with"
                    " --storage dense"
                )
            progress = Progress("stripes written:", spec["count"] + 1).advance
            write_dense(writer, columns, symmetry.augment, spec["count"], spec["seed"], progress)
        else:
            writer.write_split(split, [columns])
