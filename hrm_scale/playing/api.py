"""What the page asks for, as JSON types.

A question goes as text (`Puzzle.parse`); a grid comes as {"shape": [rows, columns], "tokens": ...},
row after row, to be drawn with the drawing of the puzzle.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np

from hrm_scale.base.errors import ConfigError, DataError
from hrm_scale.data import Dataset
from hrm_scale.data.read.tasks import DatasetTasks
from hrm_scale.evaluation.restore import Restored
from hrm_scale.playing.solver import Solver, Step
from hrm_scale.puzzles import Problem, Puzzle
from hrm_scale.puzzles.arc.task_files import demonstrations_of_json
from hrm_scale.puzzles.reading import read_typed
from hrm_scale.puzzles.registry import require_known

Json = dict[str, Any]
TIMES_TRAINED = 4
"""How far beyond the trained number of ACT steps the page goes unless told."""
_MOST_PATH = 1 << 31
_MOST_TEXT = 1 << 13
_MOST_READ = 1 << 17
"""Characters of a question, and of a text to read one from: a task as JSON."""
_FIELDS = {"puzzle", "answer", "task", "steps", "path"}


class PlayApi:
    """Answers of the page about one model. Thread safe."""

    def __init__(
        self, restored: Restored, dataset: Dataset | None, most_steps: int | None = None
    ) -> None:
        """ConfigError when the model's puzzles are of no kind that can be drawn."""
        self._restored, self._dataset = restored, dataset
        self._board = require_known(
            restored.meta.puzzle, restored.meta.kind, str(restored.checkpoint.path)
        )
        self._trained = restored.run.arch.halt_max_steps
        self._most = most_steps or TIMES_TRAINED * self._trained
        self._solver = Solver(restored)
        self._tasks: DatasetTasks | None = None
        if dataset is not None and self._board.has_tasks:
            self._tasks = DatasetTasks(dataset)
        self._same_data = (
            dataset is not None and dataset.meta.fingerprint == restored.meta.fingerprint
        )

    def about(self) -> Json:
        """The model, its puzzles, and what there is to choose from."""
        restored, board = self._restored, self._board
        table = restored.table
        return {
            "title": board.title,
            "drawing": board.drawing.as_json(),
            "editable": list(board.question_tokens),
            "start": _grid(board.start()),
            "format": _format(board),
            "has_tasks": board.has_tasks,
            "run": restored.run.run_name or restored.checkpoint.path.parent.parent.name,
            "step": restored.checkpoint.step,
            "averaged": restored.averaged,
            "arch": restored.run.arch.name,
            "parameters": sum(p.numel() for p in restored.model.parameters()),
            "table": 0 if table is None else table.num_identifiers * table.width,
            "device": restored.device.type,
            "trained": self._trained,
            "most": self._most,
            "examples": 0 if self._tasks else self._example_count(),
            "tasks": [] if self._tasks is None else self._tasks.names,
        }

    def example(self, number: int) -> Json:
        """Problem `number` (modulo their count) of the test split, or a sample of the kind where
        no data set is there, with the known answer: as text, and as the one pair in `tests`."""
        count = self._example_count()
        if not count:
            raise DataError("no example: the data set is not there; start with data_path=DIR")
        at = number % count
        question, answer = self._example(at)
        texts = {"puzzle": self._board.text(question), "answer": self._board.text(answer)}
        return {"number": at, **texts, "tests": [_pair(question, answer)]}

    def task(self, name: str) -> Json:
        """An ARC task of the data set; `known`: was the model trained on its identifier?"""
        if self._tasks is None:
            raise DataError("no tasks: no ARC data set is there; start with data_path=DIR")
        task = self._tasks.task(name)
        for part in ("demonstrations", "tests"):
            task[part] = [
                _pair(self._rows(pair["input"]), pair["output"] and self._rows(pair["output"]))
                for pair in task[part]
            ]
        return {**task, "known": self._same_data}

    def read(self, asked: object) -> Iterator[Json]:
        """One line: {"demonstrations", "tests"}, the puzzles of `text` with their known answers.
        DataError at once where it holds none."""
        text = _text(_fields(asked, {"text"}), "text", _MOST_READ) or ""
        shown = demonstrations_of_json(text, "text") if self._board.has_tasks else []
        found = {
            "demonstrations": [_pair(*pair) for pair in shown],
            "tests": [_pair(one.question, one.answer) for one in self._problems(text)],
        }
        return iter([found])

    def check(self, asked: object) -> Iterator[Json]:
        """One line: {"wrong"}, cells of `puzzle`, a list of tokens that may be unfinished, which
        contradict each other. ConfigError at once."""
        tokens = _fields(asked, {"puzzle"}).get("puzzle")
        allowed = self._board.question_tokens
        if (
            not isinstance(tokens, list)
            or len(tokens) != self._board.cells
            or not all(type(token) is int and token in allowed for token in tokens)
        ):
            raise ConfigError(f"puzzle is not a list of {self._board.cells} tokens of questions")
        row = np.array([tokens], np.uint8)
        wrong = np.zeros(row.shape, bool)
        for fault in self._board.faults(row, row):
            if not fault.open:
                wrong |= fault.cells
        return iter([{"wrong": np.flatnonzero(wrong).tolist()}])

    def solve(self, asked: object) -> Iterator[Json]:
        """The steps of an answer, then {"end": "done"}, or "replaced" when another question came.

        asked: `puzzle` (text), and perhaps `answer` (the known one), `task` (name of an ARC task),
        `steps`, `path` (0 as trained, else a random start of that number). DataError or ConfigError
        at once.
        """
        asked = _fields(asked, _FIELDS)
        text, answer, task = (_text(asked, name) for name in ("puzzle", "answer", "task"))
        steps = _whole(asked, "steps", self._trained, 1, self._most)
        path = _whole(asked, "path", 0, 0, _MOST_PATH)
        puzzle = Problem(
            "puzzle",
            self._board.parse(text or "", "puzzle"),
            None if answer is None else self._board.parse(answer, "answer", answer=True),
        )
        identifier = self._restored.meta.blank_identifier_id
        if task is not None and self._tasks is not None and self._same_data:
            identifier = self._tasks.identifier(task)
        tokens = self._board.encode(puzzle.question)
        (solutions,) = self._board.count_solutions([puzzle.question])
        about = {"solutions": solutions, "note": self._board.note(solutions)}
        found = self._solver.solve(tokens, identifier, steps, path)
        return self._lines(puzzle, about, found, steps)

    def close(self) -> None:
        """End what is being solved."""
        self._solver.close()

    def _lines(
        self, puzzle: Problem, about: Json, found: Iterator[Step], steps: int
    ) -> Iterator[Json]:
        """The lines of `solve`; `about` is what each says of the puzzle itself."""
        done = 0
        for step in found:
            done = step.number
            yield {
                "step": done,
                "halt_probability": round(step.sure, 4),
                "halts": step.halts,
                **self._shown(puzzle, step),
                **about,
            }
        yield {"end": "done" if done == steps else "replaced"}

    def _shown(self, puzzle: Problem, step: Step) -> Json:
        """The answer as the page draws it: tokens row by row, how sure the model is of each in
        percent, numbers of those that are wrong, and the verdict."""
        grid = self._board.grid(step.tokens)
        height, width = grid.shape
        verdict = self._board.judge(puzzle, [grid])
        probability = step.probability.reshape(self._board.height, -1)[:height, :width]
        return {
            "height": height,
            "width": width,
            "cells": grid.ravel().tolist(),
            "sure": np.floor(100 * probability).astype(int).ravel().tolist(),
            "wrong": np.flatnonzero(verdict.wrong).tolist(),
            "verdict": verdict.words,
            "solved": verdict.solved,
        }

    def _problems(self, text: str) -> list[Problem]:
        """The puzzles in a text: one, those of a task, or one in a field of a line of a table."""
        try:
            return read_typed(text, self._board)[0]
        except DataError:
            for field in re.split(r"[,;\t]", text):
                with suppress(DataError):
                    return read_typed(field, self._board)[0]
            raise

    def _rows(self, rows: list[list[int]]) -> np.ndarray:
        """The grid of rows of digits."""
        return self._board.parse("\n".join("".join(map(str, row)) for row in rows), "task")

    def _example(self, at: int) -> tuple[np.ndarray, np.ndarray]:
        """Question and answer of the data set, or of the kind's own samples."""
        if not self._stored_examples():
            sample = self._samples[at]
            assert sample.answer is not None
            return sample.question, sample.answer
        assert self._dataset is not None
        columns = self._dataset.read("test", ["inputs", "labels"], at, at + 1)
        return self._board.grid(columns["inputs"][0]), self._board.grid(columns["labels"][0])

    def _example_count(self) -> int:
        return self._stored_examples() or len(self._samples)

    def _stored_examples(self) -> int:
        info = self._dataset.meta.splits.get("test") if self._dataset is not None else None
        return 0 if info is None else info.examples

    @cached_property
    def _samples(self) -> list[Problem]:
        return self._board.samples()


def _grid(grid: np.ndarray) -> Json:
    return {"shape": list(grid.shape), "tokens": grid.ravel().tolist()}


def _pair(question: np.ndarray, answer: np.ndarray | None) -> Json:
    return {"input": _grid(question), "output": None if answer is None else _grid(answer)}


def _format(board: Puzzle) -> str:
    """How a question is written, in words."""
    tokens = [board.tokens[number] for number in board.question_tokens]
    cells = [
        glyph if token.name == glyph else f"{glyph} {token.name}"
        for token in tokens
        for glyph in [token.glyph.strip() or "."]
    ]
    json = ', or a task as JSON, {"train": […], "test": […]}' if board.has_tasks else ""
    return f"A line for every row, a character for every cell: {', '.join(cells)}{json}"


def _fields(asked: object, names: set[str]) -> Json:
    """A question as an object of no other fields than `names`."""
    if not isinstance(asked, dict) or set(asked) - names:
        raise ConfigError(f"a question has no fields but {', '.join(sorted(names))}")
    return asked


def _text(asked: Json, name: str, most: int = _MOST_TEXT) -> str | None:
    value = asked.get(name)
    if not isinstance(value, str | None) or len(value or "") > most:
        raise ConfigError(f"{name} is not a text of at most {most} characters")
    return value


def _whole(asked: Json, name: str, default: int, least: int, most: int) -> int:
    value = asked.get(name, default)
    if type(value) is not int or not least <= value <= most:
        raise ConfigError(f"{name}={str(value)[:40]} is not a whole number from {least} to {most}")
    return value
