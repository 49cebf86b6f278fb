"""What the viewer's page asks for, as JSON types. The page over HTTP and the file use the same."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.data.read.dataset import Dataset
from hrm_scale.data.read.tasks import DatasetTasks
from hrm_scale.puzzles.arc import grid as arc_grid

from .copies import SplitCopies
from .copy import Copy
from .groups import GroupRun

if TYPE_CHECKING:
    from .predict import Predictor

Json = dict[str, Any]
MOST_ROWS = 64  # of a copy that are sent at once
MOST_LISTED = 200


class ViewerApi:
    """Answers of the viewer about one data set. Reads what an answer needs, nothing ahead.

    Raises DataError for what does not exist, or is damaged where it is read.
    """

    def __init__(self, dataset: Dataset, predictor: Predictor | None = None) -> None:
        self.dataset, self.predictor = dataset, predictor
        self.meta = dataset.meta
        self.puzzle = dataset.meta.puzzle
        names = sorted(self.meta.splits, key=lambda name: (name != "train", name))
        self.tasks = DatasetTasks(dataset)
        self.splits = {name: SplitCopies(dataset, name, self.tasks) for name in names}
        self._names: list[str] | None = None

    def about(self) -> Json:
        """The data set and, with a checkpoint, the model."""
        meta = self.meta
        return {
            "name": self.dataset.path.resolve().name,
            "kind": meta.kind,
            "drawing": self.puzzle.drawing.as_json(),
            "tasks": self.puzzle.has_tasks,
            "storage": meta.storage,
            "vocab": meta.vocab_size,
            "ignore": meta.ignore_label_id,
            "identifiers": meta.num_puzzle_identifiers,
            "fingerprint": meta.fingerprint,
            "splits": {
                name: {"groups": info.groups, "puzzles": info.puzzles, "examples": info.examples}
                for name, info in ((name, meta.splits[name]) for name in self.splits)
            },
            "model": None if self.predictor is None else self.predictor.about(self.dataset),
        }

    def groups(self, split: str, start: int, count: int) -> list[Json]:
        """Groups `start ...` of a split's list: number, title, and the first board, as it is."""
        copies = self.split(split)
        listed = []
        for ordinal in range(max(0, start), max(0, start) + min(count, MOST_LISTED)):
            run = copies.index().run(ordinal)
            if run is None:
                break
            listed.append(self._listed(copies, run))
        return listed

    def _listed(self, copies: SplitCopies, run: GroupRun) -> Json:
        """A line of the list, from one row of each column."""
        names = [name for name in copies.reader.index.columns if name != "labels"]
        columns = copies.reader.columns(run.record, names)
        row = {name: array[run.start] for name, array in columns.items()}
        board: Json = {"t": encode(row["inputs"])}
        if self.puzzle.has_tasks:
            shapes, offsets = row.get("shapes"), row.get("offsets", (0, 0))
            if shapes is None:
                board["c"] = arc_grid.colour_box(row["inputs"])
            else:
                board["c"] = [*map(int, offsets), *map(int, shapes[:2])]
        rows = run.stop - run.start
        title, notes = f"Group {run.group}", [f"{rows} rows" if rows > 1 else ""]
        if self.puzzle.has_tasks:
            title = self.tasks.of(int(row["puzzle_identifiers"]))[0]
            notes = [f"group {run.group}", plural(rows, "row")]
        notes.append(self.puzzle.remark(row["inputs"]))
        notes += [text for _, text in self._facts(row, short=True)]
        return {
            "o": run.ordinal,
            "group": run.group,
            "title": title,
            "note": " · ".join(note for note in notes if note),
            "thumb": board,
        }

    def group(self, split: str, group: int, number: int = 0, variant: int | None = None) -> Json:
        """One copy of a group with all its pairs; `variant` asks for an ARC variant instead."""
        copies = self.split(split)
        run = self._find(copies, split, group)
        copy = copies.copy(run, number) if variant is None else copies.variant(run, variant)
        before = copies.index().run(run.ordinal - 1) if run.ordinal else None
        after = copies.index().run(run.ordinal + 1)
        rows = min(len(copy.inputs), MOST_ROWS)
        return {
            "split": split,
            "group": run.group,
            "ordinal": run.ordinal,
            "previous": None if before is None else before.group,
            "next": None if after is None else after.group,
            **self._copy_facts(copy, split),
            "rows": len(copy.inputs),
            "pairs": [
                {
                    "example": copy.first_example + row,
                    "input": self._board(copy, row, 0),
                    "label": self._board(copy, row, 1),
                    "facts": self._facts({n: c[row] for n, c in copy.columns.items()}),
                }
                for row in range(rows)
            ],
            "related": self._related(split, copy) if variant is None else [],
        }

    def copies(self, split: str, group: int, start: int, count: int) -> list[Json]:
        """The first input board of several copies of a group, to be seen side by side."""
        copies = self.split(split)
        run = self._find(copies, split, group)
        total = copies.count(copies.rows(run))
        stop = min(total, start + min(count, MOST_LISTED))
        shown = [copies.copy(run, number) for number in range(max(0, start), stop)]
        return [
            {"copy": copy.number, "label": short_name(copy), "board": self._board(copy, 0, 0)}
            for copy in shown
        ]

    def predict(self, split: str, group: int, number: int, variant: int | None = None) -> Json:
        """What the model answers to every pair of a copy, after each of its steps."""
        if self.predictor is None:
            raise DataError("no model was given: start the viewer with --checkpoint RUN")
        copies = self.split(split)
        run = self._find(copies, split, group)
        copy = copies.copy(run, number) if variant is None else copies.variant(run, variant)
        return self.predict_copies([copy])[0]

    def predict_copies(self, copies: list[Copy]) -> list[Json]:
        """`predict` of several copies, in batches."""
        assert self.predictor is not None
        parts = [(copy, min(len(copy.inputs), MOST_ROWS)) for copy in copies]
        stack = [
            np.concatenate([getattr(copy, name)[:rows] for copy, rows in parts])
            for name in ("inputs", "labels", "identifiers")
        ]
        answers = iter(self.predictor.answer(*stack))
        result = []
        for copy, rows in parts:
            shown = []
            for row in range(rows):
                answer = next(answers)
                for step in answer["steps"]:
                    tokens = step.pop("tokens")
                    step["board"] = self._tokens(copy, tokens, row, 1)
                shown.append(answer)
            result.append({"rows": shown})
        return result

    def split(self, name: str) -> SplitCopies:
        self.dataset.split(name)
        return self.splits[name]

    def name(self, identifier: int) -> str:
        """The full name of a puzzle identifier; for ARC without making all names."""
        if not self.puzzle.has_tasks:
            if self._names is None:
                self._names = self.dataset.identifiers()
            return self._names[identifier]
        return self.tasks.variant_name(identifier)

    @staticmethod
    def _find(copies: SplitCopies, split: str, group: int) -> GroupRun:
        run = copies.index().find(group)
        if run is None:
            raise DataError(f"split {split} has no group {group}")
        return run

    def _copy_facts(self, copy: Copy, split: str) -> Json:
        identifier = int(copy.identifiers[0])
        name = self.name(identifier)
        return {
            "title": self.tasks.of(identifier)[0] if self.puzzle.has_tasks else "",
            "copy": copy.number,
            "copies": copy.count,
            "computed": copy.computed,
            "label": short_name(copy),
            "augmentation": copy.augmentation,
            "identifier": identifier,
            "name": name,
            "renamed": copy.renamed(self.puzzle.symbols),
            "turn": copy.turned,
            "undo": copy.can_undo,
        }

    def _related(self, split: str, copy: Copy) -> list[Json]:
        """Groups of the other splits that hold pairs of the same ARC task."""
        if copy.variant is None:
            return []
        _, first, count = self.tasks.of(int(copy.identifiers[0]))
        found = []
        for name, copies in self.splits.items():
            run = copies.index().find_identifier(first, first + count) if name != split else None
            if run is not None:
                found.append({"split": name, "group": run.group, "variant": copy.augmentation})
        return found

    def _board(self, copy: Copy, row: int, side: int) -> Json:
        tokens = (copy.inputs, copy.labels)[side][row]
        return self._tokens(copy, tokens, row, side)

    def _tokens(self, copy: Copy, tokens: np.ndarray, row: int, side: int) -> Json:
        """Tokens for the page: `t` all, `c` the true grid's place, `u` undone, [h, w, tokens]."""
        board: Json = {"t": encode(tokens)}
        if copy.shapes is not None:
            board["c"] = list(copy.place(row, side))
        if copy.can_undo:
            grid = copy.undo(tokens, row, side)
            board["u"] = [*grid.shape, encode(grid)]
        return board

    def _facts(self, row: Json, *, short: bool = False) -> list[list[str]]:
        """What further columns say of a row, as [name, text]."""
        facts = []
        if "ratings" in row:
            name, rating = self.puzzle.rating, str(row["ratings"])
            facts.append([name, f"{name} {rating}" if short else rating])
        if "sources" in row and not short:
            names = self.meta.extra.get("sources", [])
            number = int(row["sources"])
            facts.append(["source", str(names[number]) if number < len(names) else str(number)])
        if "offsets" in row and not short:
            facts.append(["moved to", "row {}, column {}".format(*row["offsets"].tolist())])
        return facts


def short_name(copy: Copy) -> str:
    """A copy in a few words."""
    if copy.augmentation == 0:
        return "original"
    if copy.augmentation is not None:
        if copy.turn is not None:
            return f"position {copy.augmentation}"
        noun = "variant" if copy.variant is not None else "augmentation"
        return f"{noun} {copy.augmentation}"
    return "stored" if copy.count == 1 else f"copy {copy.number}"


def plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def encode(tokens: np.ndarray | Iterable[int]) -> str:
    """Tokens as base64 of one byte each."""
    return base64.b64encode(np.ascontiguousarray(tokens, np.uint8).tobytes()).decode()
