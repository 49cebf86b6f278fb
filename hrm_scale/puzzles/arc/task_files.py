"""ARC's JSON: one task (`{"train": ..., "test": ...}`) or several by name (`{id: task, ...}`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.base.untrusted import parse_json
from hrm_scale.puzzles.arc.puzzle import grid_of
from hrm_scale.puzzles.base import Problem

_MOST_NAME = 200


@dataclass(frozen=True)
class ArcTest:
    """A test input, and its output where the file has one: grids of tokens."""

    question: np.ndarray
    answer: np.ndarray | None


@dataclass(frozen=True)
class ArcTasks:
    """The tests of the tasks of a file, by the tasks' names. single: the file is of one task."""

    tests: dict[str, list[ArcTest]]
    single: bool

    def puzzles(self) -> list[Problem]:
        """Every test input of every task, in order."""
        return [
            Problem(f"{task} test {number}", test.question, test.answer, task)
            for task, tests in self.tests.items()
            for number, test in enumerate(tests, start=1)
        ]


def is_json(text: str) -> bool:
    return text.lstrip()[:1] in ("{", "[")


def tasks_of_json(text: str, name: str, where: str) -> ArcTasks:
    """The tasks in a text; `name` is that of a single one, which does not name itself.

    A bare grid (a list of rows) is a task with one test. What a model is not shown, the
    demonstrations, is not looked at. DataError, one line that begins with `where`.
    """
    try:
        content = parse_json(text.encode())
    except ValueError as error:
        raise DataError(f"{where}: not valid JSON: {error}") from None
    if isinstance(content, list):
        return ArcTasks({name: [ArcTest(grid_of(content, where), None)]}, single=True)
    if isinstance(content.get("test"), list):
        return ArcTasks({_named(name, where): _tests(content, where)}, single=True)
    if not content:
        raise DataError(f"{where} holds no task")
    tasks = {
        _named(task, where): _tests(inner, f"{where}, task {task}")
        for task, inner in content.items()
    }
    return ArcTasks(tasks, single=False)


def demonstrations_of_json(text: str, where: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Inputs and outputs of the demonstrations of one task, to be shown to people; none where the
    text is no such JSON. DataError, one line that begins with `where`."""
    try:
        content = parse_json(text.encode())
    except ValueError:
        return []
    pairs = content.get("train") if isinstance(content, dict) else None
    if not isinstance(pairs, list):
        return []
    return [
        (
            grid_of(pair.get("input"), f"{where}, demonstration {number}, input"),
            grid_of(pair.get("output"), f"{where}, demonstration {number}, output"),
        )
        for number, pair in enumerate(pairs, start=1)
        if isinstance(pair, dict)
    ]


def _named(name: str, where: str) -> str:
    if not (0 < len(name) <= _MOST_NAME and name.isprintable()):
        raise DataError(
            f"{where}: {name[:60]!r} cannot name a task; allowed are 1 to {_MOST_NAME} characters"
            " that can be printed"
        )
    return name


def _tests(content: Any, where: str) -> list[ArcTest]:
    tests = content.get("test") if isinstance(content, dict) else None
    if not isinstance(tests, list) or not tests:
        raise DataError(
            f'{where}: no ARC task; expected {{"train": [...], "test": [{{"input": [[...]]}}]}}, or'
            " an object of such tasks by name"
        )
    found = []
    for number, test in enumerate(tests, start=1):
        place = f"{where}, test {number}"
        if not isinstance(test, dict):
            raise DataError(f"{place}: expected an object with an input")
        answer = test.get("output")
        found.append(
            ArcTest(
                grid_of(test.get("input"), f"{place}, input"),
                None if answer is None else grid_of(answer, f"{place}, output"),
            )
        )
    return found
