"""Which ARC tasks are one, how the others are told apart, which answers leak."""

from __future__ import annotations

import random

import numpy as np
import pytest

from hrm_scale.base.errors import DataError
from shards.arc.collect import Collection, collect
from shards.arc.task import Pair, Task


def pair(number: int) -> Pair:
    return np.full((1, 1), number, np.uint8), np.full((1, 2), number, np.uint8)


def task(name: str, shown: list[int], asked: list[int], *, evaluation: bool = False) -> Task:
    subset = "evaluation" if evaluation else "training"
    return Task(name, subset, tuple(map(pair, shown)), tuple(map(pair, asked)), evaluation)


def collected(tasks: list[Task], exclude_leaks: bool = False) -> Collection:
    return collect(tasks, exclude_leaks=exclude_leaks, test_set_name="evaluation")


ASKED = task("e", [0], [9], evaluation=True)


def test_training_copies_are_one_whatever_the_roles_of_their_pairs() -> None:
    result = collected([task("a", [1, 2], [3]), ASKED, task("a", [3, 1], [2])])
    assert [t.name for t in result.tasks] == ["a", "e"]
    assert result.merged == {"a": 2}
    assert result.renamed == {}


def test_other_content_under_one_name_is_kept_under_another() -> None:
    result = collected([task("a", [1], [2]), ASKED, task("a", [1], [3])])
    assert len(result.tasks) == 3
    (new, old), *_ = result.renamed.items()
    assert old == "a"
    assert new.startswith("a@")
    assert len(new) == len("a@01234567")


def test_evaluation_keeps_the_name_and_its_copy_in_training_leaks() -> None:
    asked = task("a", [1, 2], [3], evaluation=True)
    result = collected([task("a", [1, 3], [2]), asked])
    assert next(t for t in result.tasks if t.name == "a").evaluation
    (copy,) = result.renamed
    assert result.leaks == {"a": [copy]}
    clean = collected([task("a", [1, 3], [2]), asked], exclude_leaks=True)
    assert [t.name for t in clean.tasks] == ["a"]
    assert clean.excluded == [copy]
    assert clean.leaks == {"a": [copy]}


def test_evaluation_tasks_that_ask_differently_are_two() -> None:
    tasks = [task("a", [1, 2], [3], evaluation=True), task("a", [1, 3], [2], evaluation=True)]
    result = collected(tasks, exclude_leaks=True)
    # Each shows the other's answer; as both are asked, both stay, and are named.
    assert len(result.tasks) == 2
    assert len(result.leaks) == 2
    assert result.excluded == []


def test_one_shared_pair_is_a_leak_too() -> None:
    result = collected([task("b", [9, 1], [2]), task("c", [1], [2]), ASKED], exclude_leaks=True)
    assert result.leaks == {"e": ["b"]}
    assert [t.name for t in result.tasks] == ["c", "e"]


def test_the_order_of_the_tasks_does_not_matter() -> None:
    tasks = [
        ASKED,
        task("a", [1, 2], [3]),
        task("a", [3, 2], [1]),
        task("a", [4], [5]),
        task("a", [1, 4], [5], evaluation=True),
        task("b", [9], [2]),
    ]
    first = collected(tasks)
    for seed in range(10):
        shuffled = random.Random(seed).sample(tasks, len(tasks))
        again = collected(shuffled)
        assert [t.ordered_digest for t in again.tasks] == [t.ordered_digest for t in first.tasks]
        assert (again.merged, again.renamed, again.leaks) == (
            first.merged,
            first.renamed,
            first.leaks,
        )


def test_without_evaluation_tasks_the_subsets_are_named() -> None:
    with pytest.raises(DataError, match=r"no evaluation task: .*'evaluation', only training"):
        collected([task("a", [1], [2])])


def test_an_unsolved_task_leaks_nothing() -> None:
    asked = Task("u", "test", (pair(1),), (pair(2),), True, unsolved=True)
    assert collected([asked, task("a", [2], [3])]).leaks == {}
