"""Finding a group by the number or name of a puzzle identifier, its own number, or an example."""

from __future__ import annotations

from typing import Any

import numpy as np

from hrm_scale.puzzles.arc import grid as arc_grid

from .api import ViewerApi

_MOST_HITS = 12


class Search:
    """Answers searches in a data set. A hit is {title, note, split, group, copy or variant}."""

    def __init__(self, api: ViewerApi) -> None:
        self._api = api
        self._has_tasks = api.puzzle.has_tasks

    def hits(self, split: str, text: str) -> list[dict[str, Any]]:
        """What `text` may mean, the split on the screen first. At most a dozen hits."""
        text = text.strip()
        others = [name for name in self._api.splits if name != split]
        splits = [split, *others] if split in self._api.splits else others
        hits: list[dict[str, Any]] = []
        if text.isascii() and text.isdigit() and len(text) < 16:
            number = int(text)
            hits += self._identifier(splits, number)
            for name in splits:
                hits += self._group(name, number)
            for name in splits:
                hits += self._example(name, number)
        if text:
            hits += self._task(splits, text) if self._has_tasks else self._named(splits, text)
        return hits[:_MOST_HITS]

    def _identifier(self, splits: list[str], identifier: int) -> list[dict[str, Any]]:
        meta = self._api.meta
        if not 0 <= identifier < meta.num_puzzle_identifiers or meta.num_puzzle_identifiers == 1:
            return []
        if not self._has_tasks:
            return self._first_row(splits, identifier)
        if identifier == meta.blank_identifier_id:
            return []
        task, first, count = self._api.tasks.of(identifier)
        return self._places(splits, task, first, count, identifier - first)

    def _task(self, splits: list[str], text: str) -> list[dict[str, Any]]:
        """Tasks whose name begins with the text, then those that contain it; or a full name."""
        api = self._api
        wanted, how = arc_grid.parse_name(text)
        lower = wanted.lower()
        found = [task for task in api.tasks.tasks if lower in task[0].lower()]
        found.sort(key=lambda task: not task[0].lower().startswith(lower))
        hits: list[dict[str, Any]] = []
        for task, first, count in found[:_MOST_HITS]:
            variant = 0
            if not np.array_equal(how, arc_grid.IDENTITY):
                table = api.tasks.variants[first : first + count]
                same = np.flatnonzero((table == how).all(axis=1))
                if len(same) == 0:
                    continue
                variant = int(same[0])
            hits += self._places(splits, task, first, count, variant)
        return hits

    def _places(
        self, splits: list[str], task: str, first: int, count: int, variant: int
    ) -> list[dict[str, Any]]:
        """The task in the first split that has it."""
        for split in splits:
            run = self._api.splits[split].index().find_identifier(first, first + count)
            if run is not None:
                what = f"variant {variant}" if variant else "original"
                note = f"{what} · identifier {first + variant} · {split} group {run.group}"
                # Online, the copies are the variants; else it may be stored anywhere, or nowhere.
                how = "copy" if self._api.meta.storage == "online" else "variant"
                place = {"split": split, "group": run.group, how: variant}
                return [{"title": task, "note": note, **place}]
        return []

    def _named(self, splits: list[str], text: str) -> list[dict[str, Any]]:
        """Identifiers of sets other than ARC by name."""
        api = self._api
        if api.meta.num_puzzle_identifiers == 1:
            return []
        found = [i for i, name in enumerate(api.dataset.identifiers()) if text in name]
        return [hit for i in found[:_MOST_HITS] for hit in self._first_row(splits, i)]

    def _first_row(self, splits: list[str], identifier: int) -> list[dict[str, Any]]:
        """The first row with an identifier, in sets other than ARC: reads that column."""
        for split in splits:
            copies = self._api.splits[split]
            for record in range(copies.reader.index.records):
                column = copies.reader.columns(record, ["puzzle_identifiers"])
                rows = np.flatnonzero(column["puzzle_identifiers"] == identifier)
                if len(rows):
                    hit = self._at(split, record, int(rows[0]))
                    return [{**hit, "title": self._api.name(identifier)}]
        return []

    def _group(self, split: str, group: int) -> list[dict[str, Any]]:
        run = self._api.splits[split].index().find(group)
        if run is None:
            return []
        return [{"title": f"Group {group}", "note": split, "split": split, "group": group}]

    def _example(self, split: str, example: int) -> list[dict[str, Any]]:
        first = self._api.splits[split].reader.index.first
        if not 0 <= example < int(first[-1]):
            return []
        record = int(np.searchsorted(first, example, side="right")) - 1
        hit = self._at(split, record, example - int(first[record]))
        return [{**hit, "title": f"Example {example}"}]

    def _at(self, split: str, record: int, row: int) -> dict[str, Any]:
        """The group, and the stored copy of it, that a row belongs to."""
        copies = self._api.splits[split]
        stripe = copies.stripe_of(record)
        run = copies.index(stripe).at_row(record, row)
        assert run is not None
        number = stripe
        if copies.stripes == 1 and copies.meta.storage == "dense":
            puzzles = copies.rows(run).get("puzzles", np.arange(run.stop - run.start))
            inside = row - run.start
            number = int((puzzles[1 : inside + 1] != puzzles[:inside]).sum())
        note = f"{split} group {run.group}" + (f", copy {number}" if number else "")
        return {"note": note, "split": split, "group": run.group, "copy": number}
