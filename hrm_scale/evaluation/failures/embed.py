"""The failing puzzles as text inside the page: JSON with one compressed block of bytes."""

from __future__ import annotations

import base64
import json
import math
import zlib
from typing import Any

import numpy as np

from hrm_scale.evaluation.failures.facts import KINDS
from hrm_scale.evaluation.failures.records import FailedPuzzle, FailureReport


def embedded(report: FailureReport) -> str:
    """JSON that can stand in a script element. `bytes` is base64 of zlib of, for each puzzle, its
    question, label, labelled (1 or 0) and answers after all steps, one byte a cell."""
    puzzle = report.meta.puzzle
    blocks = [_block(kept) for kept in report.kept]
    document = {
        "drawing": puzzle.drawing.as_json(),
        "rating": puzzle.rating.capitalize(),
        "cells": report.meta.seq_len,
        "steps": report.steps,
        "kinds": {kind.key: kind.name for kind in KINDS},
        "puzzles": [_facts(kept, report.meta.extra.get("sources")) for kept in report.kept],
        "bytes": base64.b64encode(zlib.compress(b"".join(blocks), 9)).decode(),
    }
    # Otherwise `</script>` inside a name would end the element.
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _block(puzzle: FailedPuzzle) -> bytes:
    rows = (puzzle.question, puzzle.label, puzzle.labelled, *puzzle.trace)
    return np.stack([row.astype(np.uint8) for row in rows]).tobytes()


def _facts(puzzle: FailedPuzzle, names: Any) -> dict[str, Any]:
    return {
        "row": puzzle.row,
        "wrong": puzzle.wrong,
        "rating": puzzle.rating,
        "source": None if puzzle.source is None else source_name(puzzle.source, names),
        "broken": puzzle.broken,
        "returns": puzzle.returns,
        "moving": puzzle.moving,
        "kinds": puzzle.kinds,
        # JSON has no infinities, and half a percent of certainty is not seen.
        "halt": [round(v, 2) if math.isfinite(v) else None for v in puzzle.q_halt.tolist()],
    }


def source_name(number: int, names: Any) -> str:
    """The name of a source where the data set has one, else its number."""
    known = isinstance(names, list) and 0 <= number < len(names)
    return str(names[number]) if known else f"source {number}"
