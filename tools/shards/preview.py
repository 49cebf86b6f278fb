"""`preview`: examples drawn in the terminal, or as JSON."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys

from hrm_scale.base.untrusted import printable
from hrm_scale.puzzles import Puzzle
from hrm_scale.puzzles.terminal import Marks, beside, draw

from .examples import Example, Examples
from .open_source import open_one

_UNLIMITED = 1 << 20
"""Columns of what is no terminal."""


def preview(arguments: argparse.Namespace) -> None:
    """Show the examples that were asked for. ConfigError or DataError when there are none."""
    dataset = open_one(arguments.directory)
    puzzle = dataset.meta.puzzle
    examples = Examples(dataset, arguments.split)
    if arguments.id is not None:
        chosen = examples.of(arguments.id)
    else:
        chosen = [examples.at(arguments.index or 0)]
    if arguments.original:
        chosen = [examples.original(example) for example in chosen]
    elif arguments.aug is not None:
        chosen = [examples.variant(example, arguments.aug) for example in chosen]
    if arguments.json:
        print(json.dumps([example.as_json() for example in chosen]))
        return
    colour = _colour(arguments.color)
    lines: list[str] = []
    for example in chosen:
        lines += map(printable, _title(example, puzzle))
        lines += [*draw_pair(example, puzzle, colour=colour), ""]
    print("\n".join(lines[:-1]))


def draw_pair(example: Example, puzzle: Puzzle, *, colour: bool) -> list[str]:
    """Question and answer as lines, side by side where the terminal is wide enough. colour: with
    the terminal's escape codes."""
    question, answer = map(puzzle.drawing.grid, (example.inputs, example.labels))
    given = None if puzzle.blank is None else question != puzzle.blank
    blocks = [
        draw(puzzle, question, Marks(given=given), color=colour),
        draw(puzzle, answer, Marks(given=given), color=colour, question=question),
    ]
    columns = shutil.get_terminal_size((_UNLIMITED, 24)).columns
    return beside(blocks, columns).splitlines()


def _title(example: Example, puzzle: Puzzle) -> list[str]:
    number = "" if example.puzzle is None else f", puzzle {example.puzzle}"
    rating = "" if example.rating is None else f", {puzzle.rating} {example.rating}"
    remark = f", {words}" if (words := puzzle.remark(example.inputs)) else ""
    name = f" {example.name}" if example.name else ""
    lines = [
        f"{example.split} {example.index}: {example.shard}, record {example.record}, row "
        f"{example.row} · group {example.group}{number}, identifier {example.identifier}"
        f"{name}{rating}{remark}"
    ]
    if example.grids is not None:
        sides = " -> ".join(f"{grid.shape[0]}x{grid.shape[1]}" for grid in example.grids)
        moved = f", moved to {example.offsets}" if any(example.offsets) else ""
        lines.append(f"  {sides}{moved}")
    return [*lines, f"  {example.note}"] if example.note else lines


def _colour(choice: str) -> bool:
    if choice != "auto":
        return choice == "always"
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb"
    return sys.stdout.isatty() and not plain
