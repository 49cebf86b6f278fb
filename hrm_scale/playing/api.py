"""What the page asks for, as JSON types. Grids go as texts (`Puzzle.text`) or lists of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from hrm_scale.base.errors import ConfigError, DataError
from hrm_scale.data import Dataset
from hrm_scale.evaluation.restore import Restored
from hrm_scale.playing.arc_tasks import ArcTasks
from hrm_scale.playing.solver import Solver, Step
from hrm_scale.puzzles import Problem
from hrm_scale.puzzles.registry import require_known

Json = dict[str, Any]
TIMES_TRAINED = 4
"""How far beyond the trained number of ACT steps the page goes unless told."""
_MOST_PATH = 1 << 31
_MOST_TEXT = 1 << 13
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
        self._tasks: ArcTasks | None = None
        if dataset is not None and self._board.has_tasks:
            self._tasks = ArcTasks(dataset)
        self._same_data = (
            dataset is not None and dataset.meta.fingerprint == restored.meta.fingerprint
        )

    def about(self) -> Json:
        """The model, its puzzles, and what there is to choose from."""
        restored, board = self._restored, self._restored.meta.board
        table = restored.table
        return {
            "kind": self._board.kind,
            "side": self._board.height,
            "symbols": "".join(map(self._board.glyph, range(len(self._board.tokens)))),
            "box": [board.get("box_height", 0), board.get("box_width", 0)],
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
        """Problem `number` (modulo their count) of the test split, with the known answer."""
        count = self._example_count()
        if self._dataset is None or not count:
            raise DataError("no example: the data set is not there; start with data_path=DIR")
        at = number % count
        columns = self._dataset.read("test", ["inputs", "labels"], at, at + 1)
        grids = (self._board.grid(columns[name][0]) for name in ("inputs", "labels"))
        puzzle, answer = map(self._board.text, grids)
        return {"number": at, "puzzle": puzzle, "answer": answer}

    def task(self, name: str) -> Json:
        """An ARC task of the data set; `known`: was the model trained on its identifier?"""
        if self._tasks is None:
            raise DataError("no tasks: no ARC data set is there; start with data_path=DIR")
        return {**self._tasks.task(name), "known": self._same_data}

    def solve(self, asked: object) -> Iterator[Json]:
        """The steps of an answer, then {"end": "done"}, or "replaced" when another question came.

        asked: `puzzle` (text), and perhaps `answer` (the known one), `task` (name of an ARC task),
        `steps`, `path` (0 as trained, else a random start of that number). DataError or ConfigError
        at once.
        """
        if not isinstance(asked, dict) or set(asked) - _FIELDS:
            raise ConfigError(f"a question has no fields but {', '.join(sorted(_FIELDS))}")
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

    def _example_count(self) -> int:
        info = self._dataset.meta.splits.get("test") if self._dataset is not None else None
        return 0 if info is None else info.examples


def _text(asked: Json, name: str) -> str | None:
    value = asked.get(name)
    if not isinstance(value, str | None) or len(value or "") > _MOST_TEXT:
        raise ConfigError(f"{name} is not a text of at most {_MOST_TEXT} characters")
    return value


def _whole(asked: Json, name: str, default: int, least: int, most: int) -> int:
    value = asked.get(name, default)
    if type(value) is not int or not least <= value <= most:
        raise ConfigError(f"{name}={str(value)[:40]} is not a whole number from {least} to {most}")
    return value
