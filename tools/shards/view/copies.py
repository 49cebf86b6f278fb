"""The copies of a group: original, augmentations computed as the loader does, or stored ones."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.data.read.dataset import Dataset
from hrm_scale.puzzles.arc import grid as arc_grid
from hrm_scale.puzzles.sudoku.augment import augment_sudoku

from .copy import Copy
from .groups import GroupIndex, GroupRun
from .sudoku import Symmetries, number_of_copy
from .tasks import ArcTasks, is_arc, places_in_frames

_MOST_CACHED_GROUPS = 2_000_000  # over all stripes: about 20 MB


class SplitCopies:
    """Reads copies of the groups of one split."""

    def __init__(self, dataset: Dataset, split: str, tasks: ArcTasks) -> None:
        self._tasks = tasks
        self.meta, self.info = dataset.meta, dataset.split(split)
        self.reader = dataset.reader(split)
        ends = np.cumsum(self.info.stripe_records)
        self._bounds = np.append(0, ends).tolist()
        self.stripes = len(ends)
        self.arc = is_arc(self.meta)
        augmented = self.meta.augmentation.get("kind") == "sudoku" and split == "train"
        self._sudoku = self.meta.kind == "sudoku" and augmented
        self._online = self.meta.storage == "online"
        self._indexes: OrderedDict[int, GroupIndex] = OrderedDict()
        self._lock = threading.Lock()

    def index(self, stripe: int = 0) -> GroupIndex:
        """The groups of a stripe. Stripe 0 is kept, the others while they are few."""
        with self._lock:
            found = self._indexes.get(stripe)
            if found is None:
                records = range(self._bounds[stripe], self._bounds[stripe + 1])
                found = GroupIndex(self.reader, records, identifiers=self.arc)
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
        if self._online and self._sudoku:
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
        if self._online and self._sudoku:
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
        shapes = stored.shapes.copy()
        if arc_grid.dihedral(np.empty((1, 2)), int(stored.variant[0])).shape == (2, 1):
            shapes = shapes[:, [1, 0, 3, 2]]
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
        how = self._tasks.table[int(identifiers[0])]
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
        """A Sudoku under symmetry `number` of its group."""
        seed, board = int(self.meta.augmentation["seed"]), self.meta.board
        numbers = np.full(len(rows["groups"]), number)
        inputs, labels = augment_sudoku(
            rows["inputs"], rows["labels"], rows["groups"], numbers, seed, board
        )
        symmetry = Symmetries(rows["labels"][0], group, numbers[:1], seed, board)
        return Copy(
            number,
            count,
            number != 0,
            first,
            inputs,
            labels,
            rows["puzzle_identifiers"],
            _others(rows),
            symmetry=symmetry,
            augmentation=number,
        )

    def _stored(
        self, rows: dict[str, np.ndarray], first: int, run: GroupRun, number: int, count: int
    ) -> Copy:
        variant = shapes = symmetry = augmentation = turn = None
        identifiers = rows["puzzle_identifiers"]
        offsets = rows.get("offsets")
        if self.arc:
            variant = self._tasks.table[int(identifiers[0])]
            augmentation = int(identifiers[0]) - self._tasks.of(int(identifiers[0]))[1]
            shapes = rows.get("shapes")
            if shapes is None:
                shapes, offsets = places_in_frames(rows["inputs"], rows["labels"])
        elif "transformations" in rows:
            turn = augmentation = int(rows["transformations"][0])
        elif self._sudoku and count > 1 and self.stripes > 1:
            augmentation = self._number_of(rows, run, number)
            if augmentation is not None:
                seed, board = int(self.meta.augmentation["seed"]), self.meta.board
                numbers = np.array([augmentation])
                symmetry = Symmetries(rows["labels"][0], run.group, numbers, seed, board)
        return Copy(
            number,
            count,
            False,
            first,
            rows["inputs"],
            rows["labels"],
            identifiers,
            _others(rows),
            variant=variant,
            shapes=shapes,
            offsets=offsets,
            symmetry=symmetry,
            turn=turn,
            augmentation=augmentation,
        )

    def _number_of(self, rows: dict[str, np.ndarray], run: GroupRun, number: int) -> int | None:
        """The augmentation number of a stored Sudoku, which no column says."""
        neighbour = run if number else self.index(1).find(run.group)
        assert neighbour is not None
        other = self.rows(neighbour)["labels"][0]
        count, seed = int(self.meta.augmentation["count"]), int(self.meta.augmentation["seed"])
        return number_of_copy(rows["labels"][0], other, run.group, count, seed, self.meta.board)


def _puzzle_starts(rows: dict[str, np.ndarray]) -> np.ndarray:
    if "puzzles" not in rows:
        return np.arange(len(rows["groups"]))
    puzzles = rows["puzzles"]
    return np.flatnonzero(np.append(True, puzzles[1:] != puzzles[:-1]))


def _others(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns that a copy does not hold by name."""
    named = ("inputs", "labels", "puzzle_identifiers")
    return {name: array for name, array in rows.items() if name not in named}
