"""ARC sets from online to dense storage and back: the same bytes that their builder writes."""

from __future__ import annotations

import itertools

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.base.progress import Progress
from hrm_scale.data import Dataset, DatasetWriter
from hrm_scale.data.format.dense import write_stripes
from hrm_scale.puzzles.arc.dense import PairRows, VariantTable, all_variants, train_stripes

from ..arc import original_sides, originals

Columns = dict[str, np.ndarray]


def to_dense(dataset: Dataset, writer: DatasetWriter) -> None:
    """Every variant laid out, the train split in stripes."""
    spec, tasks = dataset.meta.augmentation, dataset.tasks()[1:]
    names = [name for name, _, _ in tasks]
    counts = np.array([count for _, _, count in tasks], np.int64)
    first = np.array([number for _, number, _ in tasks], np.int64)
    variants = VariantTable(dataset.augmentations(), first, counts)
    stripes = spec["count"] + 1
    train = train_stripes(_rows(dataset, "train"), names, variants, stripes, spec["seed"])
    write_stripes(writer, train, Progress("stripes written:", stripes).advance)
    writer.write_split("test", all_variants(_rows(dataset, "test"), variants))


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


def _rows(dataset: Dataset, split: str) -> PairRows:
    wanted = ["inputs", "labels", "shapes", "groups"]
    columns = dataset.read(split, wanted, 0, dataset.split(split).examples)
    task = columns["groups"].astype(np.int64)
    return PairRows.of(columns["inputs"], columns["labels"], columns["shapes"], task)
