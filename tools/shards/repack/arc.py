"""ARC sets from online to dense storage and back: the same bytes that their builder writes."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.base.programs import load
from hrm_scale.data import Dataset, DatasetWriter

from ..arc import original_sides, originals

if TYPE_CHECKING:
    from shards.arc import task, variants, write
else:
    task, variants = load("shards.arc.task"), load("shards.arc.variants")
    write = load("shards.arc.write")

Columns = dict[str, np.ndarray]


def to_dense(dataset: Dataset, writer: DatasetWriter) -> None:
    """Every variant laid out, the train split in stripes."""
    spec, tasks = dataset.meta.augmentation, dataset.tasks()[1:]
    rows = {}
    for split in ("train", "test"):
        wanted = ["inputs", "labels", "shapes", "groups"]
        columns = dataset.read(split, wanted, 0, dataset.split(split).examples)
        rows[split] = _rows(columns)
    counts = np.array([count for _, _, count in tasks], np.int64)
    first = np.array([number for _, number, _ in tasks], np.int64)
    # Only the names are asked for: they decide which stripe holds which variant.
    named = [task.Task(name, "", (), (), evaluation=False) for name, _, _ in tasks]
    held = variants.Variants(dataset.augmentations(), first, counts, counts)
    write.write_dense(writer, rows, named, held, stripes=spec["count"] + 1, seed=spec["seed"])


def to_online(dataset: Dataset, writer: DatasetWriter) -> None:
    """Originals only: one copy of every puzzle, its variant and translation undone."""
    tasks, table = dataset.tasks(), dataset.augmentations()
    first = np.array([number for _, number, _ in tasks])
    counts = np.array([count for _, _, count in tasks])
    for split in sorted(dataset.meta.splits, key=lambda name: (name != "train", name)):
        rows = _one_copy(dataset, split)
        variants = table[rows["puzzle_identifiers"]]
        corners, shapes = rows["offsets"].astype(np.int64), rows["shapes"].astype(np.int64)
        task = np.searchsorted(first, rows["puzzle_identifiers"], side="right") - 1
        made = {
            name: originals(rows[name], shapes[:, at : at + 2], variants, corners)
            for name, at in (("inputs", 0), ("labels", 2))
        }
        sides = [original_sides(shapes[:, at : at + 2], variants) for at in (0, 2)]
        _, places = np.unique(rows["groups"], return_inverse=True)
        writer.write_split(
            split,
            [
                {
                    **made,
                    "shapes": np.concatenate(sides, axis=1).astype(np.uint8),
                    "puzzle_identifiers": first[task].astype("<i4"),
                    "variants": counts[task].astype("<i4"),
                    "groups": rows["groups"],
                    "puzzles": places.astype("<i4"),
                }
            ],
        )


def _one_copy(dataset: Dataset, split: str) -> Columns:
    """The first copy of each group, in the order of the groups."""
    reader = dataset.reader(split)
    names = ["inputs", "labels", "shapes", "offsets", "groups", "puzzles", "puzzle_identifiers"]
    parts: list[Columns] = []
    met: set[int] = set()
    for record in range(reader.index.records):
        columns = reader.columns(record, names)
        starts = np.append(True, columns["puzzles"][1:] != columns["puzzles"][:-1])
        bounds = np.append(np.flatnonzero(starts), len(starts)).tolist()
        for begin, end in itertools.pairwise(bounds):
            group = int(columns["groups"][begin])
            if group not in met:
                met.add(group)
                parts.append({name: array[begin:end].copy() for name, array in columns.items()})
        if len(met) == dataset.split(split).groups:
            break
    if not parts:
        raise DataError(f"{dataset.name}: split {split} has no puzzles")
    parts.sort(key=lambda part: int(part["groups"][0]))
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def _rows(columns: Columns) -> write.Rows:
    task = columns["groups"].astype(np.int64)
    numbers, starts, sizes = np.unique(task, return_index=True, return_counts=True)
    place = np.searchsorted(numbers, task)
    return write.Rows(
        columns["inputs"],
        columns["labels"],
        columns["shapes"],
        task,
        np.arange(len(task)) - starts[place],
        sizes[place],
        numbers,
    )
