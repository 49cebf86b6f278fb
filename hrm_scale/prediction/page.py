"""An animated page of predictions in one file that needs no network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hrm_scale.prediction.prediction import Prediction
from hrm_scale.prediction.text import summary
from hrm_scale.puzzles import Puzzle

FOLDER = Path(__file__).parent / "assets"
_PIECES = ("page.css", "boards.js", "page.js")
_TITLE = '<meta charset="utf-8" />'
_POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'\" />"
)
_LEGENDS = {
    "sudoku": "Bold: clues. Framed: changed by this step. Red: against the rules or a clue, or not"
    " the known answer.",
    "maze": "Framed: changed by this step. Red: changed cells of the maze, and where the path"
    " breaks, forks or touches itself.",
    "arc": "Framed: changed by this step. Crossed: differs from the known answer.",
}
_BARS = " The bars are the halt head, from 0 to 100 %; a green top: the model would halt there."


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
            "kind": board.kind,
            "symbols": "".join(map(board.glyph, range(len(board.tokens)))),
            "boxes": board.boxes,
            "steps": max((len(puzzle["steps"]) for puzzle in self._puzzles), default=1),
            "about": f"{self._about} · {total}",
            "legend": _LEGENDS.get(board.kind, "") + _BARS,
            "puzzles": self._puzzles,
        }
        page = (FOLDER / "index.html").read_text(encoding="utf-8")
        page = page.replace(_TITLE, f"{_TITLE}\n    {_POLICY}", 1)
        for name in _PIECES:
            page = page.replace(f"/*{name}*/", (FOLDER / name).read_text(encoding="utf-8"), 1)
        before, after = page.split("/*data*/")
        yield before.encode()
        # Names come from files: nothing in them may end the script.
        yield json.dumps(document, separators=(",", ":")).replace("<", "\\u003c").encode()
        yield after.encode()


def _grid(grid: np.ndarray) -> dict[str, Any]:
    """A grid of tokens for the page: character 48 + token for each cell."""
    cells = "".join(chr(48 + token) for token in grid.reshape(-1).tolist())
    return {"h": grid.shape[0], "w": grid.shape[1], "cells": cells}
