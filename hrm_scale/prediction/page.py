"""An animated page of predictions in one file that needs no network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from hrm_scale.prediction.prediction import Prediction
from hrm_scale.prediction.text import summary
from hrm_scale.puzzles import Puzzle
from hrm_scale.web.assets import single_page

_LEGEND = (
    "Bold: given. Blue: changed by this step. Red: against the rules, or not the known answer. The"
    " curve is the halt head, from 0 to 100 %; a dashed line: the model would halt there."
)


class Page:
    """Collects predictions; `pieces` is the file."""

    def __init__(self, board: Puzzle, about: str) -> None:
        self._board = board
        self._about = about
        self._puzzles: list[dict[str, Any]] = []
        self._solutions: list[str | None] = []

    def add(self, prediction: Prediction) -> None:
        puzzle, verdict = prediction.puzzle, prediction.verdict
        attempts = prediction.attempts if prediction.asked > 1 else ()
        self._solutions.append(prediction.solutions)
        self._puzzles.append(
            {
                "name": puzzle.name,
                "question": _grid(puzzle.question),
                "known": None if puzzle.answer is None else _grid(puzzle.answer),
                "verdict": verdict.words,
                "solved": verdict.solved,
                "note": prediction.note,
                "asked": prediction.asked,
                "attempts": [{**_grid(one.grid), "votes": one.votes} for one in attempts],
                "steps": [
                    {
                        **_grid(step.grid),
                        "wrong": np.flatnonzero(step.wrong).tolist(),
                        "sure": round(float(np.nan_to_num(step.sure)), 4),
                        "halts": step.halts,
                    }
                    for step in prediction.steps()
                ],
            }
        )

    def pieces(self) -> Iterator[bytes]:
        board = self._board
        total = summary([one["solved"] for one in self._puzzles], self._solutions)
        document = {
            "drawing": board.drawing.as_json(),
            "steps": max((len(puzzle["steps"]) for puzzle in self._puzzles), default=1),
            "about": f"{self._about} · {total}",
            "legend": _LEGEND,
            "puzzles": self._puzzles,
        }
        # Names come from files: nothing in them may end the script.
        data = json.dumps(document, separators=(",", ":")).replace("<", "\\u003c")
        yield single_page("predict", data).encode()


def _grid(grid: np.ndarray) -> dict[str, Any]:
    """A grid of tokens for the page: character 48 + token for each cell."""
    cells = "".join(chr(48 + token) for token in grid.reshape(-1).tolist())
    return {"h": grid.shape[0], "w": grid.shape[1], "cells": cells}
