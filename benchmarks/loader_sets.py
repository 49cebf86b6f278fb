"""Make what the peers of `benchmarks.loader` read, out of one data set of ours."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from hrm_scale.data import Dataset, DatasetWriter, augment_sudoku, open_dataset
from hrm_scale.errors import DataError

COLUMNS = ("inputs", "labels", "puzzle_identifiers", "groups")


def dense_set(dataset: Dataset, scratch: Path, examples: int) -> Dataset:
    """The data set itself when it is dense, else a dense, striped one made from its originals."""
    if dataset.meta.storage == "dense":
        return dataset
    _needs_sudoku(dataset)
    info, meta = dataset.split("train"), dataset.meta
    columns = dataset.read("train", COLUMNS, 0, info.examples)
    seed = meta.augmentation["seed"]
    stripes = max(1, -(-examples // info.examples))
    meta = dataclasses.replace(
        meta, storage="dense", augmentation={**meta.augmentation, "count": stripes - 1}
    )
    with DatasetWriter(scratch / "dense", meta) as writer, writer.split("train") as split:
        for stripe in range(stripes):
            order = np.random.default_rng(stripe).permutation(info.examples)
            piece = {name: column[order] for name, column in columns.items()}
            index = (piece["groups"] + stripe) % stripes
            piece["inputs"], piece["labels"] = augment_sudoku(
                piece["inputs"], piece["labels"], piece["groups"], index, seed, meta.board
            )
            split.write(piece)
            split.end_stripe()
    return open_dataset(scratch / "dense")


def online_set(dataset: Dataset, scratch: Path) -> Dataset:
    """The data set itself when it augments while training, else one made from its first stripe."""
    if dataset.meta.storage == "online":
        return dataset
    _needs_sudoku(dataset)
    info = dataset.split("train")
    rows = int(dataset.index("train").first[info.stripe_records[0]])
    meta = dataclasses.replace(
        dataset.meta,
        storage="online",
        augmentation={"kind": "sudoku", "count": 1000, "seed": 0},
    )
    columns = dataset.read("train", COLUMNS, 0, rows)
    order = np.argsort(columns["groups"], kind="stable")
    with DatasetWriter(scratch / "online", meta) as writer:
        writer.write_split("train", [{name: column[order] for name, column in columns.items()}])
    return open_dataset(scratch / "online")


def write_arrays(dataset: Dataset, folder: Path) -> None:
    """Plain `.npy` arrays sorted by group, with the bounds of groups and puzzles."""
    folder.mkdir()
    columns = dataset.read("train", COLUMNS, 0, dataset.split("train").examples)
    order = np.argsort(columns["groups"], kind="stable")
    np.save(folder / "inputs.npy", columns["inputs"][order])
    np.save(folder / "labels.npy", columns["labels"][order])
    np.save(folder / "identifiers.npy", columns["puzzle_identifiers"][order])
    counts = np.unique(columns["groups"], return_counts=True)[1]
    np.save(folder / "group_bounds.npy", np.concatenate([[0], np.cumsum(counts)]))
    np.save(folder / "puzzle_bounds.npy", np.arange(len(order) + 1))


def stored_and_payload(dataset: Dataset) -> tuple[int, int]:
    """(bytes of the train split on disk, index included; bytes of its columns)."""
    folder = dataset.path / "train"
    index = dataset.index("train")
    stored = sum(file.stat().st_size for file in folder.iterdir())
    rows = int(index.first[-1])
    return stored, rows * sum(column.row_bytes for column in index.columns.values())


def _needs_sudoku(dataset: Dataset) -> None:
    if dataset.meta.kind != "sudoku":
        raise DataError(
            f"{dataset.path}: is a {dataset.meta.kind} set, this benchmark needs Sudoku"
        )
