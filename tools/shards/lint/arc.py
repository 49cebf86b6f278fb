"""ARC rows: frames, shapes, identifiers; every copy a variant of its group's puzzle; leaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.puzzles.arc.augment import turned_shapes
from hrm_scale.puzzles.arc.grid import CELLS, EOS, SIDE

from ..arc import CONTENT, classes, frames, original_sides, originals
from ..arc_originals import Original, Store, judge_originals
from ..report import Place, Report
from ..tables import ArcTables


class ArcCheck:
    """Judges records of any split; what concerns several records is said at the end."""

    def __init__(self, meta: DatasetMeta, tables: ArcTables, report: Report) -> None:
        self._meta, self._tables, self._report = meta, tables, report
        self._splits: dict[str, dict[int, Original]] = {}
        self._store = Store()
        self._task_of_group: dict[int, int] = {}
        self._augmented: dict[str, list[int]] = {}

    def begin(self, split: str, columns: Mapping[str, Any]) -> bool:
        """Whether the split has what is needed; called before its records."""
        needed = ["shapes", "variants"] if self._meta.storage == "online" else ["shapes", "offsets"]
        if missing := [name for name in (*needed, "puzzles") if name not in columns]:
            text = f"split {split} lacks column {', '.join(missing)}"
            self._report.found("E302", text, split)
            return False
        self._split, self._store = split, Store()
        self._splits[split] = {}
        self._task_of_group = {}
        self._rows = self._copies = 0
        self._augmented[split] = [0, 0]
        return True

    def record(
        self, place: Place, first: int, columns: Mapping[str, np.ndarray], *, first_stripe: bool
    ) -> None:
        rows = _Rows(place, first, columns, self._tables, self._meta.storage == "online")
        self._rows += len(rows.groups)
        usable = self._judge_identifiers(rows) & self._judge_shapes(rows)
        starts = np.append(True, rows.puzzles[1:] != rows.puzzles[:-1])
        runs = np.append(np.flatnonzero(starts), len(rows.puzzles))
        reference = np.full(len(rows.groups), -1)
        for begin, end in zip(runs[:-1].tolist(), runs[1:].tolist(), strict=True):
            part = slice(begin, end)
            group = int(rows.groups[begin])
            if not usable[part].all():
                continue
            if group not in self._store.bounds:
                if self._judge_frames(rows, np.arange(begin, end)):
                    self._remember(rows, group, part)
                continue
            base, count = self._store.bounds[group]
            if count != end - begin:
                text = f"the puzzle has {end - begin} examples, others of group {group} {count}"
                self._report.found("E424", text, rows.place_of(begin))
            else:
                reference[part] = np.arange(base, base + count)
        self._judge_copies(rows, reference)
        self._count(rows, runs)

    def finish(self) -> None:
        """Findings that need all splits: repeated puzzles, test pairs in train, counts."""
        judge_originals(self._splits, self._tables, self._report)
        self._judge_augmented()

    def summary(self) -> str:
        text = f"{self._rows} pairs of grids lie right in their frames"
        return f"{text}, {self._copies} are the variant they should be" if self._copies else text

    def _judge_identifiers(self, rows: _Rows) -> np.ndarray:
        report, tables = self._report, self._tables
        good = rows.tasks > 0
        if rows.online:
            first = rows.identifiers == tables.first[rows.tasks]
            for row in np.flatnonzero(good & ~first).tolist():
                text = (
                    f"identifier {rows.identifiers[row]} is a variant's, online sets hold originals"
                )
                report.found("E425", text, rows.place_of(row))
            wrong = good & first & (rows.counts != tables.count[rows.tasks])
            for row in np.flatnonzero(wrong).tolist():
                count = tables.count[rows.tasks[row]]
                text = f"variants is {rows.counts[row]}, {rows.name(row, tables)} has {count}"
                report.found("E425", text, rows.place_of(row))
            good &= first
        groups, at = np.unique(rows.groups, return_index=True)
        expected = np.empty(len(groups), np.int64)
        for number, (group, row) in enumerate(zip(groups.tolist(), at.tolist(), strict=True)):
            expected[number] = self._task_of_group.setdefault(group, int(rows.tasks[row]))
        strange = expected[np.searchsorted(groups, rows.groups)] != rows.tasks
        for row in np.flatnonzero(good & strange).tolist():
            task = tables.names[self._task_of_group[int(rows.groups[row])]]
            text = (
                f"identifier {rows.identifiers[row]} belongs to {rows.name(row, tables)}, "
                f"group {rows.groups[row]} is {task}"
            )
            report.found("E308", text, rows.place_of(row))
        return good & ~strange

    def _judge_shapes(self, rows: _Rows) -> np.ndarray:
        sides = rows.shapes.reshape(-1, 2, 2)
        small = (sides < 1).any(axis=(1, 2)) | (sides > SIDE).any(axis=(1, 2))
        outside = (rows.corners + sides.max(axis=1) > SIDE).any(axis=1) & ~small
        for row in np.flatnonzero(small).tolist():
            text = f"shapes {rows.shapes[row].tolist()}, sides are 1 to {SIDE}"
            self._report.found("E423", text, rows.place_of(row))
        for row in np.flatnonzero(outside).tolist():
            where = rows.corners[row].tolist()
            text = f"grids of {rows.shapes[row].tolist()} at {where} leave the frame"
            self._report.found("E423", text, rows.place_of(row))
        if self._split != "train":
            for row in np.flatnonzero(rows.corners.any(axis=1)).tolist():
                text = f"is moved to {rows.corners[row].tolist()}, only train rows may be"
                self._report.found("E423", text, rows.place_of(row))
        return ~small & ~outside

    def _judge_frames(self, rows: _Rows, chosen: np.ndarray) -> bool:
        """Whether cells are colours, EOS and PAD just where the shapes say."""
        sound = True
        for name, tokens, at in (("input", rows.inputs, 0), ("output", rows.labels, 2)):
            sides = rows.shapes[chosen, at : at + 2]
            expected = frames(sides, rows.corners[chosen])
            found = classes(tokens[chosen])
            for k in np.flatnonzero((found != expected).any(axis=(1, 2))).tolist():
                sound = False
                cell = int((found[k] != expected[k]).argmax())
                was, wanted = int(found[k].flat[cell]), int(expected[k].flat[cell])
                code = "E422" if CONTENT in (was, wanted) else "E421"
                words = {0: "PAD", EOS: "EOS", CONTENT: "a colour"}
                text = (
                    f"the {name} of {sides[k, 0]}x{sides[k, 1]} has {words[was]} at cell "
                    f"({cell // SIDE}, {cell % SIDE}), expected {words[wanted]}"
                )
                self._report.found(code, text, rows.place_of(int(chosen[k])))
        return sound

    def _remember(self, rows: _Rows, group: int, part: slice) -> None:
        variants, corners = rows.variants[part], rows.corners[part]
        shapes = rows.shapes[part]
        pair = [
            originals(tokens[part], shapes[:, at : at + 2], variants, corners)
            for tokens, at in ((rows.inputs, 0), (rows.labels, 2))
        ]
        sides = [original_sides(shapes[:, at : at + 2], variants) for at in (0, 2)]
        found = Original(
            int(rows.tasks[part.start]), rows.place_of(part.start),
            pair[0], pair[1], np.concatenate(sides, axis=1),
        )  # fmt: skip
        self._splits[self._split][group] = found
        self._store.add(group, found)

    def _judge_copies(self, rows: _Rows, reference: np.ndarray) -> None:
        """Copies must be, byte for byte, what augmenting the group's puzzle gives."""
        chosen = np.flatnonzero(reference >= 0)
        if not len(chosen):
            return
        self._copies += len(chosen)
        shapes = turned_shapes(self._store.shapes()[reference[chosen]], rows.variants[chosen])
        same = (shapes == rows.shapes[chosen]).all(axis=1)
        for row in chosen[~same].tolist():
            text = f"shapes {rows.shapes[row].tolist()} are not those of a variant of its puzzle"
            self._report.found("E423", text, rows.place_of(row))
        chosen = chosen[same]
        made = np.empty((2, len(chosen), CELLS), np.uint8)
        corners = rows.corners[chosen]
        self._store.frames().augment(
            reference[chosen], rows.variants[chosen], corners, (made[0], made[1])
        )
        other = (made[0] != rows.inputs[chosen]).any(axis=1)
        other |= (made[1] != rows.labels[chosen]).any(axis=1)
        for row in chosen[other].tolist():
            if self._judge_frames(rows, np.array([row])):
                group = int(rows.groups[row])
                origin = self._splits[self._split][group].place
                text = (
                    f"is not variant {rows.identifiers[row] - self._tables.first[rows.tasks[row]]} "
                    f"of the puzzle of group {group} (compared with example {origin.example})"
                )
                self._report.found("E424", text, rows.place_of(row))

    def _count(self, rows: _Rows, runs: np.ndarray) -> None:
        """Puzzles and examples with all variants laid out."""
        counts = self._tables.count[rows.tasks]
        total = self._augmented[self._split]
        if rows.online:
            total[0] += int(counts[runs[:-1]].sum())
            total[1] += int(counts.sum())

    def _judge_augmented(self) -> None:
        stated = self._meta.extra.get("augmented")
        if not isinstance(stated, dict) or self._meta.storage != "online":
            return
        for split, (puzzles, examples) in self._augmented.items():
            said = stated.get(split)
            if not isinstance(said, dict):
                continue
            if (said.get("puzzles"), said.get("examples")) != (puzzles, examples):
                text = (
                    f"extra.augmented says {said.get('puzzles')} puzzles, {said.get('examples')} "
                    f"examples of {split}, they are {puzzles} and {examples}"
                )
                self._report.found("E206", text, "dataset.json")


class _Rows:
    """The columns of a record, with what its identifiers mean."""

    def __init__(
        self, place: Place, first: int, columns: Mapping[str, np.ndarray], tables: ArcTables,
        online: bool,
    ) -> None:  # fmt: skip
        self.online, self._place, self._first = online, place, first
        self.inputs, self.labels = columns["inputs"], columns["labels"]
        self.groups, self.puzzles = columns["groups"], columns["puzzles"]
        self.identifiers = columns["puzzle_identifiers"]
        self.shapes = columns["shapes"].astype(np.int64)
        self.counts = columns.get("variants", self.groups)
        count = len(self.groups)
        offsets = columns.get("offsets", np.zeros((count, 2), np.uint8))
        self.corners = offsets.astype(np.int64)
        self.tasks = np.searchsorted(tables.first, self.identifiers, side="right") - 1
        self.variants = tables.variants[self.identifiers]

    def place_of(self, row: int) -> Place:
        return Place(self._place.path, self._place.record, row=row, example=self._first + row)

    def name(self, row: int, tables: ArcTables) -> str:
        return tables.names[int(self.tasks[row])]
