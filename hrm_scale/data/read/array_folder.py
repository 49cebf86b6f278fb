"""Published HRM and TRM data folders, `DIR/{train,test}/SET__inputs.npy` ..., read as they stand.

What such a folder is made of, and what its fingerprint covers: docs/conversion.md.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.data.format.identifier_table import Task
from hrm_scale.data.format.index import SplitIndex
from hrm_scale.data.format.meta import (
    DATASET_FILE,
    IDENTIFIERS_FILE,
    DatasetMeta,
    SplitInfo,
    fingerprint,
    read_json,
)
from hrm_scale.data.format.meta_check import check_values
from hrm_scale.data.read.array_reader import ArrayReader, virtual_index
from hrm_scale.data.read.array_set import ArraySet, open_set
from hrm_scale.data.read.dataset import Dataset
from hrm_scale.puzzles.arc.grid import (
    COLOURS,
    DIHEDRAL_INVERSE,
    IDENTITY,
    VARIANT_BYTES,
)
from hrm_scale.puzzles.registry import recognise

SPLITS = ("train", "test")
_MAX_SETS = 1024
_ROWS_SEEN = 256
"""Inputs that are looked at to recognise the kind."""
_FIELDS = (
    "vocab_size",
    "seq_len",
    "pad_id",
    "ignore_label_id",
    "blank_identifier_id",
    "num_puzzle_identifiers",
)
_SET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")
_ORIGINAL = "00123456789"


def is_array_folder(path: str | Path) -> bool:
    """Does this folder have the published layout (`train/dataset.json`, none of its own)?"""
    folder = Path(path)
    if (folder / DATASET_FILE).exists():
        return False
    return any((folder / split / DATASET_FILE).is_file() for split in SPLITS)


class ArrayFolder(Dataset):
    """A published data folder as a data set: dense, not augmented while training.

    Several sets of a split are one after the other; their groups and puzzles are numbered through.
    DataError, one line, when something is missing, damaged or contradicts the rest.
    """

    def _read_meta(self) -> DatasetMeta:
        described = {
            split: read_json(self.path / split / DATASET_FILE)
            for split in SPLITS
            if (self.path / split / DATASET_FILE).exists()
        }
        meta, self._sets = _open(self.path, described)
        return meta

    def _read_index(self, split: str, info: SplitInfo) -> SplitIndex:
        return virtual_index(self._sets[split], self.meta.seq_len)

    def reader(self, split: str, *, verify: bool = True) -> ArrayReader:  # type: ignore[override]
        """A new reader of a split, with its own record of what has been verified."""
        self.split(split)
        return ArrayReader(self._sets[split], self.index(split), self.meta, verify=verify)

    def _identifier_entries(self) -> list[str] | list[Task]:
        if self.meta.num_puzzle_identifiers == 1 and not (self.path / IDENTIFIERS_FILE).exists():
            return ["<blank>"]
        return super()._identifier_entries()

    def augmentations(self) -> np.ndarray:
        """uint8 [N, 11], the variant of each identifier, as its name tells."""
        return parse_published(self.identifiers())[1]

    def tasks(self) -> list[Task]:
        """(name, first identifier, how many) of every task, its original first, in order.

        DataError when the identifiers of a task do not lie together (a task that occurs twice).
        """
        tasks, table = parse_published(self.identifiers())
        starts = [n for n, task in enumerate(tasks) if n == 0 or task != tasks[n - 1]]
        original = (table == IDENTITY).all(axis=1)
        seen: set[str] = set()
        for number in starts:
            task = tasks[number]
            if task in seen or not original[number]:
                raise DataError(
                    f"{self.path / IDENTIFIERS_FILE}: the variants of task {task[:60]!r} do not lie"
                    f" together behind the original (identifier {number}): build the set again"
                    " with `python -m shards.arc`"
                )
            seen.add(task)
        ends = [*starts[1:], len(tasks)]
        return [(tasks[n], n, end - n) for n, end in zip(starts, ends, strict=True)]


def parse_published(names: list[str]) -> tuple[list[str], np.ndarray]:
    """Tasks, and variants uint8 [n, 11], of names as the published builders make them.

    `task_t3_0312456789` (HRM) and `task|||t3|||0312456789` (TRM); any other name is a task itself.
    """
    tasks, digits = [], []
    for name in names:
        task, variant = name, ""
        if name[-14:-12] == "_t" and name[-11:-10] == "_":
            task, variant = name[:-14], name[-12] + name[-10:]
        elif name[-18:-14] == "|||t" and name[-13:-10] == "|||":
            task, variant = name[:-18], name[-14] + name[-10:]
        if not (variant.isascii() and variant.isdigit()):
            task, variant = name, _ORIGINAL
        tasks.append(task)
        digits.append(variant)
    table = np.frombuffer("".join(digits).encode("ascii"), np.uint8) - np.uint8(ord("0"))
    table = table.reshape(len(names), VARIANT_BYTES)
    permuted = (np.sort(table[:, 1:], axis=1) == np.arange(COLOURS)).all(axis=1)
    # Digits that are no transformation and permutation of colours are part of somebody's own name.
    for own in np.flatnonzero(~permuted | (table[:, 0] >= len(DIHEDRAL_INVERSE))).tolist():
        tasks[own], table[own] = names[own], IDENTITY
    return tasks, table


def _open(
    path: Path, described: dict[str, dict[str, Any]]
) -> tuple[DatasetMeta, dict[str, list[ArraySet]]]:
    fields: dict[str, Any] = {}
    for split, content in described.items():
        file = path / split / DATASET_FILE
        if missing := [name for name in (*_FIELDS, "sets") if name not in content]:
            raise DataError(
                f"{file}: says nothing of {', '.join(missing)}: neither a data set of this "
                "program nor a published HRM or TRM folder"
            )
        for name in _FIELDS:
            if fields.setdefault(name, content[name]) != content[name]:
                raise DataError(
                    f"{file}: {name} is {str(content[name])[:40]}, the other split has "
                    f"{str(fields[name])[:40]}: the folder is a mix of two data sets"
                )
    meta = DatasetMeta(kind="other", storage="dense", **fields)
    try:
        check_values(meta)
    except ValueError as error:
        first = path / next(iter(described)) / DATASET_FILE
        raise DataError(f"{first}: damaged or foreign ({error}): restore it") from error
    sets: dict[str, list[ArraySet]] = {}
    for split, content in described.items():
        sets[split] = [
            open_set(path / split, name, meta.seq_len, meta.num_puzzle_identifiers)
            for name in _set_names(path / split / DATASET_FILE, content["sets"])
        ]
        groups = sum(len(part.puzzles) - 1 for part in sets[split])
        if content.get("total_groups", groups) != groups:
            raise DataError(
                f"{path / split / DATASET_FILE}: total_groups is "
                f"{str(content['total_groups'])[:40]}, the arrays hold {groups} groups: the folder "
                "is a mix of two data sets"
            )
    boards = next(iter(sets.values()))[0].inputs[:_ROWS_SEEN]
    kind, board = recognise(meta.seq_len, meta.vocab_size, boards)
    splits = {split: _split_info(parts) for split, parts in sets.items()}
    meta = dataclasses.replace(
        meta,
        kind=kind,
        board=board,
        builder={"name": "published arrays"},
        extra={"sets": {split: content["sets"] for split, content in described.items()}},
        splits=splits,
    )
    return dataclasses.replace(meta, fingerprint=fingerprint(meta)), sets


def _set_names(file: Path, names: Any) -> list[str]:
    good = isinstance(names, list) and 0 < len(names) <= _MAX_SETS
    if not good or not all(isinstance(n, str) and _SET_NAME.fullmatch(n) for n in names):
        raise DataError(f"{file}: sets is {str(names)[:60]}, a list of plain names is expected")
    if len(set(names)) != len(names):
        raise DataError(f"{file}: sets names {names} hold one twice")
    return names


def _split_info(parts: list[ArraySet]) -> SplitInfo:
    records = sum(len(part.records) - 1 for part in parts)
    return SplitInfo(
        groups=sum(len(part.puzzles) - 1 for part in parts),
        puzzles=sum(len(part.identifiers) for part in parts),
        examples=sum(len(part.inputs) for part in parts),
        records=records,
        shards=len(parts),
        stripes=[[1, records]],
        sha256=[part.sha256 for part in parts],
    )
