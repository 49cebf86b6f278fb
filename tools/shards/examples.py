"""Single examples of a data set: found by number or identifier, augmented, or undone."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hrm_scale.base.errors import ConfigError, DataError, nearest
from hrm_scale.data import Dataset
from hrm_scale.puzzles.arc.grid import (
    FIRST_COLOUR,
    IDENTITY,
    augment,
    encode,
    parse_name,
    undo,
    variant_name,
)
from hrm_scale.puzzles.symmetry import BoardSymmetry

MOST_AT_ONCE = 16
"""Examples of one puzzle that are shown."""


@dataclass(frozen=True)
class Example:
    """One example: where it is, whose it is, and its boards.

    inputs, labels: uint8 [seq_len]. grids: of ARC, (input, output) of colours, uint8 [h, w].
    variant: of ARC, uint8 [11]. note: what was done to it.
    """

    split: str
    index: int
    shard: str
    record: int
    row: int
    group: int
    puzzle: int | None
    identifier: int
    name: str
    inputs: np.ndarray
    labels: np.ndarray
    grids: tuple[np.ndarray, np.ndarray] | None = None
    variant: np.ndarray | None = None
    offsets: tuple[int, int] = (0, 0)
    rating: int | None = None
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        result = {
            key: getattr(self, key)
            for key in ("split", "index", "shard", "record", "row", "group", "puzzle")
        }
        result |= {"identifier": self.identifier, "name": self.name, "note": self.note}
        if self.rating is not None:
            result["rating"] = self.rating
        if self.variant is not None:
            result |= {"variant": self.variant.tolist(), "offsets": list(self.offsets)}
        if self.grids is not None:
            result |= {"input": self.grids[0].tolist(), "output": self.grids[1].tolist()}
        return result | {"inputs": self.inputs.tolist(), "labels": self.labels.tolist()}


class Examples:
    """Examples of a split. DataError for a damaged record, ConfigError for what does not exist."""

    def __init__(self, dataset: Dataset, split: str) -> None:
        self._dataset, self._split = dataset, split
        self._meta = dataset.meta
        self._index = dataset.index(split)
        self._reader = dataset.reader(split)
        self._table: np.ndarray | None = None
        self._tasks: list[tuple[str, int, int]] = []
        self._names: list[str] = []
        if self._meta.has_variants:
            self._read_tables()
        elif self._meta.num_puzzle_identifiers > 1:
            self._names = dataset.identifiers()
            if self._meta.puzzle.has_tasks:
                # Published arrays have no table, but names that may tell the same.
                with contextlib.suppress(DataError):
                    self._read_tables()

    def _read_tables(self) -> None:
        self._tasks = self._dataset.tasks()
        self._table = self._dataset.augmentations()
        self._firsts = np.array([first for _, first, _ in self._tasks])

    def at(self, number: int) -> Example:
        """Example `number` of the split, as it is stored."""
        index, total = self._index, int(self._index.first[-1])
        if number >= total:
            raise ConfigError(
                f"--index {number}: split {self._split} has the examples 0 to {total - 1}"
            )
        record = int(np.searchsorted(index.first, number, side="right")) - 1
        row = number - int(index.first[record])
        columns = self._reader.columns(record, index.columns)
        identifier = int(columns["puzzle_identifiers"][row])
        example = Example(
            split=self._split,
            index=number,
            shard=index.shards[int(index.shard[record])].name,
            record=record,
            row=row,
            group=int(columns["groups"][row]),
            puzzle=int(columns["puzzles"][row]) if "puzzles" in columns else None,
            identifier=identifier,
            name=self._name(identifier),
            inputs=columns["inputs"][row].copy(),
            labels=columns["labels"][row].copy(),
            rating=int(columns["ratings"][row]) if "ratings" in columns else None,
        )
        if not self._meta.puzzle.has_tasks:
            return example
        drawn = self._meta.puzzle.drawing
        grids = (_grid(drawn.grid(example.inputs)), _grid(drawn.grid(example.labels)))
        variant = None if self._table is None else self._table[identifier]
        row, column = columns["offsets"][row].tolist() if "offsets" in columns else (0, 0)
        return replace(example, grids=grids, variant=variant, offsets=(row, column))

    def of(self, text: str) -> list[Example]:
        """Examples of a puzzle identifier, given as its name or number."""
        identifier = self._identifier(text)
        found, variant = self._numbers(identifier), 0
        if not len(found) and self._table is not None and self._meta.storage == "online":
            # Only originals are stored; this is a variant of one.
            first = int(self._firsts[np.searchsorted(self._firsts, identifier, side="right") - 1])
            found, variant = self._numbers(first), identifier - first
        if not len(found):
            others = ", ".join(name for name in self._meta.splits if name != self._split)
            raise ConfigError(
                f"--id {text}: identifier {identifier} has no example in split {self._split}: "
                f"add --split ({others})"
            )
        examples = [self.at(number) for number in found[:MOST_AT_ONCE].tolist()]
        return [self.variant(e, variant) for e in examples] if variant else examples

    def original(self, example: Example) -> Example:
        """The example with augmentation and translation undone. DataError where nobody can."""
        plain = not self._meta.is_augmented and example.variant is None
        if self._meta.storage == "online" or plain:
            return replace(example, note="stored as the original")
        if example.grids is None or example.variant is None:
            raise DataError(
                f"{self._dataset.name}: dense {self._meta.kind} sets hold augmented boards only, "
                "not by which symmetry: build it with --storage online to see originals"
            )
        made = tuple(undo(grid, example.variant) for grid in example.grids)
        place = int(np.searchsorted(self._firsts, example.identifier, side="right")) - 1
        task, first, _ = self._tasks[place]
        note = f"undone: {example.name}, moved to {example.offsets}"
        made_of = replace(example, identifier=first)
        return _with_grids(made_of, (made[0], made[1]), task, IDENTITY, note)

    def variant(self, example: Example, number: int) -> Example:
        """Variant `number` of an example of an online set (0 is the original)."""
        spec, symmetry = self._meta.augmentation, self._meta.puzzle.symmetry
        if self._meta.storage != "online" or not self._meta.is_augmented:
            kind = spec.get("kind", "none")
            raise ConfigError(
                f"--aug {number}: a {self._meta.storage} set with augmentation {kind!r} stores what"
                " there is: choose by --index or --id"
            )
        if isinstance(symmetry, BoardSymmetry):
            self._check_variant(number, spec["count"] + 1)
            made = symmetry.augment(
                example.inputs[None],
                example.labels[None],
                np.array([example.group]),
                np.array([number]),
                spec["seed"],
            )
            note = f"augmentation {number} of {spec['count']}"
            return replace(example, inputs=made[0][0], labels=made[1][0], note=note)
        if self._table is None or example.grids is None:
            kind = self._meta.kind
            raise DataError(f"{self._dataset.name}: no symmetries of kind {kind!r} are known")
        place = int(np.searchsorted(self._firsts, example.identifier, side="right")) - 1
        task, first, count = self._tasks[place]
        self._check_variant(number, count)
        row = self._table[first + number]
        grids = (augment(example.grids[0], row), augment(example.grids[1], row))
        note = f"variant {number} of {count - 1} of {task}"
        made_of = replace(example, identifier=first + number)
        return _with_grids(made_of, grids, self._name(first + number), row, note)

    @staticmethod
    def _check_variant(number: int, count: int) -> None:
        if number >= count:
            raise ConfigError(f"--aug {number}: this puzzle has the variants 0 to {count - 1}")

    def _numbers(self, identifier: int) -> np.ndarray:
        """Numbers of the split's examples with an identifier; of the first puzzle only."""
        for record in range(self._index.records):
            columns = self._reader.columns(record, ["puzzle_identifiers"])
            found = np.flatnonzero(columns["puzzle_identifiers"] == identifier)
            if len(found):
                first = int(self._index.first[record])
                if "puzzles" in self._index.columns:
                    puzzles = self._reader.columns(record, ["puzzles"])["puzzles"]
                    found = found[puzzles[found] == puzzles[found[0]]]
                return first + found
        return np.empty(0, np.int64)

    def _identifier(self, text: str) -> int:
        """Number of the identifier that a text names."""
        total = self._meta.num_puzzle_identifiers
        names = self._names
        if text in names:
            return names.index(text)
        if self._table is not None and not names:
            task, variant = parse_name(text)
            names = [name for name, _, _ in self._tasks]
            if task in names:
                _, first, count = self._tasks[names.index(task)]
                same = (self._table[first : first + count] == variant).all(axis=1)
                if same.any():
                    return first + int(same.argmax())
                raise ConfigError(f"--id {text}: task {task} has no such variant, only {count}")
        if text.isascii() and text.isdigit():
            if int(text) < total:
                return int(text)
            raise ConfigError(f"--id {text}: the identifiers are 0 to {total - 1}")
        raise ConfigError(f"--id {text}: no such name in the data set.{nearest(text, names)}")

    def _name(self, identifier: int) -> str:
        if self._names or self._table is None:
            return self._names[identifier] if self._names else ""
        task = self._tasks[int(np.searchsorted(self._firsts, identifier, side="right")) - 1][0]
        return variant_name(task, self._table[identifier])


def _grid(cells: np.ndarray) -> np.ndarray:
    """The colours of a drawn grid; other tokens in it, of damaged rows, become colour 0."""
    if not cells.size:
        return np.zeros((1, 1), np.uint8)
    return np.where(cells >= FIRST_COLOUR, cells - np.uint8(FIRST_COLOUR), 0).astype(np.uint8)


def _with_grids(
    example: Example,
    grids: tuple[np.ndarray, np.ndarray],
    name: str,
    variant: np.ndarray,
    note: str,
) -> Example:
    return replace(
        example,
        name=name,
        inputs=encode(grids[0]),
        labels=encode(grids[1]),
        grids=grids,
        variant=variant,
        offsets=(0, 0),
        note=note,
    )
