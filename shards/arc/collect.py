"""Which of the tasks read are the same, what each is called, and which answers leak into train."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from hrm_scale.base.errors import DataError

from .task import Task, pair_key


@dataclass
class Collection:
    """Tasks of a data set, sorted by name, each name once.

    merged: names that came several times with the same content, and how often. renamed: new name
    of a task whose name another one has with other content -> that name. leaks: evaluation task
    -> tasks whose training pairs hold one of its test pairs. excluded: tasks dropped for that.
    """

    tasks: list[Task]
    merged: dict[str, int] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    leaks: dict[str, list[str]] = field(default_factory=dict)
    excluded: list[str] = field(default_factory=list)


def collect(tasks: Sequence[Task], *, exclude_leaks: bool, test_set_name: str) -> Collection:
    """One task per content and name; a result that does not depend on the order of `tasks`.

    Of several tasks of one name, the first keeps it: those of the evaluation come first, then the
    content's hash decides. The others get the first 8 digits of their hash: `name@0a1b2c3d`.
    With exclude_leaks, training tasks that hold a test pair of an evaluation task are dropped.
    """
    if not any(task.evaluation for task in tasks):
        subsets = sorted({task.subset for task in tasks})
        raise DataError(
            f"no evaluation task: no subset is called {test_set_name!r}, only "
            f"{', '.join(subsets[:8])}{' ...' if len(subsets) > 8 else ''}: name one with "
            "--test-set-name"
        )
    collection = Collection([])
    named: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        named[task.name].append(task)
    for name in sorted(named):
        copies = named[name]
        # Copies of one content may list their pairs in different orders: one is taken, always it.
        copies.sort(key=lambda task: (not task.evaluation, task.digest, task.ordered_digest))
        distinct = [
            task
            for number, task in enumerate(copies)
            if number == 0 or task.digest != copies[number - 1].digest
        ]
        if len(distinct) < len(copies):
            collection.merged[name] = len(copies)
        for number, task in enumerate(distinct):
            if number:
                task = task.renamed(f"{name}@{task.digest[:8]}")
                collection.renamed[task.name] = name
            collection.tasks.append(task)
    collection.tasks.sort(key=lambda task: task.name)
    _check_unique(collection.tasks)
    collection.leaks = find_leaks(collection.tasks)
    if exclude_leaks:
        _exclude(collection)
    return collection


def find_leaks(tasks: Sequence[Task]) -> dict[str, list[str]]:
    """Evaluation tasks one of whose test pairs another task trains on, and those tasks; sorted."""
    holders: dict[bytes, set[str]] = defaultdict(set)
    for task in tasks:
        for pair in task.train_pairs:
            holders[pair_key(pair)].add(task.name)
    leaks: dict[str, list[str]] = {}
    for task in tasks:
        if task.evaluation and not task.unsolved:
            others = set().union(*(holders.get(pair_key(pair), set()) for pair in task.tests))
            if others := others - {task.name}:
                leaks[task.name] = sorted(others)
    return leaks


def _exclude(collection: Collection) -> None:
    """Drop training tasks that leak. Evaluation tasks stay: they are asked themselves."""
    leaking = {other for others in collection.leaks.values() for other in others}
    dropped = {task.name for task in collection.tasks if task.name in leaking} - {
        task.name for task in collection.tasks if task.evaluation
    }
    collection.excluded = sorted(dropped)
    collection.tasks = [task for task in collection.tasks if task.name not in dropped]
    collection.renamed = {new: old for new, old in collection.renamed.items() if new not in dropped}


def _check_unique(tasks: Sequence[Task]) -> None:
    for before, task in itertools.pairwise(tasks):
        if before.name == task.name:
            raise DataError(
                f"task {task.name!r}: a file has the name that another task gets to tell it apart: "
                "rename the file"
            )
