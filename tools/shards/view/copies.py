"""The copies of a group: original, augmentations computed as the loader does, or stored ones."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.data.read.dataset import Dataset
from hrm_scale.data.read.tasks import DatasetTasks
from hrm_scale.puzzles.arc import grid as arc_grid
from hrm_scale.puzzles.arc.augment import turned_shapes
from hrm_scale.puzzles.symmetry import BoardSymmetry, Maps

from .copy import TURNS, Copy, maps_of_copy, turn_maps
from .groups import GroupIndex, GroupRun

_MOST_CACHED_GROUPS = 2_000_000  # over all stripes: about 20 MB
_MOST_COMPARED = 8  # copies that are read to find which symmetry made one


class SplitCopies:
    """Reads copies of the groups of one split."""

    def __init__(self, dataset: Dataset, split: str, tasks: DatasetTasks) -> None:
        self._tasks = tasks
        self.meta, self.info = dataset.meta, dataset.split(split)
        self.reader = dataset.reader(split)
        ends = np.cumsum(self.info.stripe_records)
        self._bounds = np.append(0, ends).tolist()
        self.stripes = len(ends)
        puzzle = self.meta.puzzle
        self._sides = (puzzle.height, puzzle.width)
        self._square = puzzle.height == puzzle.width and puzzle.cells == self.meta.seq_len
        self._has_tasks = puzzle.has_tasks
        augmented = self.meta.augmentation.get("kind") == self.meta.kind and split == "train"
        self._symmetry: BoardSymmetry | None = None
        if augmented and isinstance(puzzle.symmetry, BoardSymmetry):
            self._symmetry = puzzle.symmetry
        self._online = self.meta.storage == "online"
        self._indexes: OrderedDict[int, GroupIndex] = OrderedDict()
        self._lock = threading.Lock()

    def index(self, stripe: int = 0) -> GroupIndex:
        """The groups of a stripe. Stripe 0 is kept, the others while they are few."""
        with self._lock:
            found = self._indexes.get(stripe)
            if found is None:
                records = range(self._bounds[stripe], self._bounds[stripe + 1])
                found = GroupIndex(self.reader, records, identifiers=self._has_tasks)
                self._indexes[stripe] = found
            self._indexes.move_to_end(stripe)
            self._indexes.move_to_end(0)
            if len(self._indexes) > max(2, _MOST_CACHED_GROUPS // self.info.groups):
                self._indexes.popitem(last=False)
            return found

    def stripe_of(self, record: int) -> int:
        return int(np.searchsorted(self._bounds, record, side="right")) - 1

    def rows(self, run: GroupRun) -> dict[str, np.ndarray]:
        """All columns of the rows of a run; copies."""
        columns = self.reader.columns(run.record, self.reader.index.columns)
        return {name: array[run.start : run.stop].copy() for name, array in columns.items()}

    def count(self, rows: dict[str, np.ndarray]) -> int:
        """How many copies a group has, given its rows in stripe 0."""
        if self.stripes > 1:
            return self.stripes
        if self._online and "variants" in rows:
            return int(rows["variants"][0])
        if self._online and self._symmetry is not None:
            return int(self.meta.augmentation["count"]) + 1
        return len(_puzzle_starts(rows))

    def copy(self, run: GroupRun, number: int) -> Copy:
        """Copy `number` (taken modulo their count) of the group at `run` of stripe 0."""
        rows = self.rows(run)
        count = self.count(rows)
        number %= count
        first = int(self.reader.index.first[run.record]) + run.start
        if self._online and "variants" in rows:
            return self._variant(rows, first, number, number, count)
        if self._online and self._symmetry is not None:
            return self._augmented(rows, first, run.group, number, count)
        if self.stripes > 1 and number:
            stored = self.index(number).find(run.group)
            assert stored is not None, "every stripe holds every group"
            rows = self.rows(stored)
            first = int(self.reader.index.first[stored.record]) + stored.start
        elif self.stripes == 1:
            starts = [*_puzzle_starts(rows).tolist(), len(rows["groups"])]
            part = slice(starts[number], starts[number + 1])
            rows = {name: array[part] for name, array in rows.items()}
            first += starts[number]
        return self._stored(rows, first, run, number, count)

    def variant(self, run: GroupRun, variant: int) -> Copy:
        """Variant `variant` of an ARC task, whether it is stored or not, untranslated."""
        stored = self.copy(run, 0)
        rows = {**stored.columns, "puzzle_identifiers": stored.identifiers}
        if stored.shapes is None or stored.variant is None:
            raise DataError(f"group {run.group}: only ARC tasks have variants")
        shapes = turned_shapes(stored.shapes, np.tile(stored.variant, (len(stored.shapes), 1)))
        for side, name in enumerate(("inputs", "labels")):
            grids = [
                stored.undo(tokens, row, side) - np.uint8(arc_grid.FIRST_COLOUR)
                for row, tokens in enumerate((stored.inputs, stored.labels)[side])
            ]
            rows[name] = np.stack([arc_grid.encode(grid) for grid in grids])
        rows["shapes"] = shapes
        rows.pop("offsets", None)
        _, first, count = self._tasks.of(int(stored.identifiers[0]))
        rows["puzzle_identifiers"] = np.full(len(shapes), first, np.int32)
        return self._variant(rows, stored.first_example, min(variant, count - 1), 0, stored.count)

    def _variant(
        self, rows: dict[str, np.ndarray], first: int, variant: int, number: int, count: int
    ) -> Copy:
        """A variant of originals that lie in the top left corner."""
        identifiers = rows["puzzle_identifiers"] + np.int32(variant)
        how = self._tasks.variants[int(identifiers[0])]
        shapes = rows["shapes"].copy()
        made: dict[str, np.ndarray] = {}
        for side, name in enumerate(("inputs", "labels")):
            frames = np.empty_like(rows[name])
            for row, tokens in enumerate(rows[name]):
                height, width = rows["shapes"][row, 2 * side : 2 * side + 2].tolist()
                frame = tokens.reshape(arc_grid.SIDE, arc_grid.SIDE)[:height, :width]
                grid = arc_grid.augment(frame - np.uint8(arc_grid.FIRST_COLOUR), how)
                shapes[row, 2 * side : 2 * side + 2] = grid.shape
                frames[row] = arc_grid.encode(grid)
            made[name] = frames
        return Copy(
            self._sides,
            number,
            count,
            variant != 0,
            first,
            made["inputs"],
            made["labels"],
            identifiers,
            _others(rows),
            variant=how,
            shapes=shapes,
            augmentation=variant,
        )

    def _augmented(
        self, rows: dict[str, np.ndarray], first: int, group: int, number: int, count: int
    ) -> Copy:
        """Boards under symmetry `number` of their group, as while training."""
        assert self._symmetry is not None
        seed = int(self.meta.augmentation["seed"])
        numbers = np.full(len(rows["groups"]), number)
        inputs, labels = self._symmetry.augment(
            rows["inputs"], rows["labels"], rows["groups"], numbers, seed
        )
        return Copy(
            self._sides,
            number,
            count,
            number != 0,
            first,
            inputs,
            labels,
            rows["puzzle_identifiers"],
            _others(rows),
            augmentation=number,
            maps=self._symmetry.maps(rows["groups"][:1], numbers[:1], seed),
        )

    def _stored(
        self, rows: dict[str, np.ndarray], first: int, run: GroupRun, number: int, count: int
    ) -> Copy:
        known: dict[str, Any] = {}
        turn = int(rows["transformations"][0]) if "transformations" in rows else len(TURNS)
        if self._has_tasks:
            shapes, offsets = rows.get("shapes"), rows.get("offsets")
            if shapes is None:
                shapes, offsets = arc_grid.places(rows["inputs"], rows["labels"])
            identifier = int(rows["puzzle_identifiers"][0])
            known = {
                "variant": self._tasks.variants[identifier],
                "augmentation": identifier - self._tasks.of(identifier)[1],
                "shapes": shapes,
                "offsets": offsets,
            }
        elif self._square and turn < len(TURNS):
            maps = turn_maps(turn, self._sides, self.meta.vocab_size)
            known = {"turn": turn, "augmentation": turn, "maps": maps}
        elif self._symmetry is not None and self.stripes > 1:
            found = self._maps_of(self._symmetry, rows, run, number)
            if found is not None:
                known = {"augmentation": found[0], "maps": found[1]}
        return Copy(
            self._sides,
            number,
            count,
            False,
            first,
            rows["inputs"],
            rows["labels"],
            rows["puzzle_identifiers"],
            _others(rows),
            **known,
        )

    def _maps_of(
        self, symmetry: BoardSymmetry, rows: dict[str, np.ndarray], run: GroupRun, number: int
    ) -> tuple[int, Maps] | None:
        """The augmentation of a stored copy, whose number no column says."""
        pair = np.stack([rows["inputs"][0], rows["labels"][0]])
        count, seed = int(self.meta.augmentation["count"]), int(self.meta.augmentation["seed"])
        others = self._other_copies(run, number)
        return maps_of_copy(symmetry, pair, others, run.group, count, seed)

    def _other_copies(self, run: GroupRun, number: int) -> Iterator[np.ndarray]:
        """The first pair, [2, S], of a few other stripes' copies of a group."""
        for stripe in range(min(self.stripes, _MOST_COMPARED)):
            found = self.index(stripe).find(run.group) if stripe != number else None
            if found is not None:
                rows = self.rows(found)
                yield np.stack([rows["inputs"][0], rows["labels"][0]])


def _puzzle_starts(rows: dict[str, np.ndarray]) -> np.ndarray:
    if "puzzles" not in rows:
        return np.arange(len(rows["groups"]))
    puzzles = rows["puzzles"]
    return np.flatnonzero(np.append(True, puzzles[1:] != puzzles[:-1]))


def _others(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns that a copy does not hold by name."""
    named = ("inputs", "labels", "puzzle_identifiers")
    return {name: array for name, array in rows.items() if name not in named}
