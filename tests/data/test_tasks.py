"""Tasks of an ARC data set: their identifiers, variants and pairs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hrm_scale.base.errors import DataError
from hrm_scale.data.read.tasks import DatasetTasks, colours_of
from hrm_scale.puzzles.arc.grid import encode, parse_name, places
from tests.support.viewer_sets import arc_set


@pytest.mark.parametrize("storage", ["online", "dense"])
def test_arc_tasks_are_those_of_the_source(tmp_path: Path, storage: str) -> None:
    tasks = DatasetTasks(arc_set(tmp_path, storage))
    assert tasks.names == ["aa11", "bb22", "cc33", "dd44", "ee55"]
    for name in tasks.names:
        (file,) = (tmp_path / "tasks").rglob(f"{name}.json")
        source, shown = json.loads(file.read_text()), tasks.task(name)
        assert shown["trained"] == (file.parent.name == "training")
        assert shown["demonstrations"] == source["train"]
        assert shown["tests"] == source["test"]
    with pytest.raises(DataError, match=r"has no task 'aa1'.*Did you mean"):
        tasks.task("aa1")


def test_a_moved_grid_is_found() -> None:
    grid = np.array([[0, 3], [0, 0], [9, 0]], np.uint8)
    for row, column in ((0, 0), (4, 7), (27, 28)):
        assert colours_of(encode(grid, row, column)).tolist() == grid.tolist()
    assert colours_of(np.zeros(900, np.uint8)).tolist() == [[0]]


def test_every_identifier_is_a_variant_of_its_task(tmp_path: Path) -> None:
    dataset = arc_set(tmp_path)
    tasks, names = DatasetTasks(dataset), dataset.identifiers()
    assert [name for name, _, _ in tasks.tasks] == [n for n in names[1:] if "|||" not in n]
    for identifier in range(1, len(names)):
        name, first, count = tasks.of(identifier)
        assert first <= identifier < first + count
        assert tasks.identifier(name) == first
        assert tasks.variant_name(identifier) == names[identifier]
        assert tasks.variants[identifier].tolist() == parse_name(names[identifier])[1].tolist()
    assert tasks.of(len(names)) == (f"identifier {len(names)}", len(names), 1)


def test_places_of_pairs_that_do_not_say_them() -> None:
    grids = np.zeros((2, 3), np.uint8), np.zeros((4, 1), np.uint8)
    pairs = [np.stack([encode(grid, *at) for at in ((0, 0), (5, 7))]) for grid in grids]
    shapes, corners = places(*pairs)
    assert shapes.tolist() == [[2, 3, 4, 1]] * 2
    assert corners.tolist() == [[0, 0], [5, 7]]
    assert [array.shape for array in places(pairs[0][:0], pairs[1][:0])] == [(0, 4), (0, 2)]
