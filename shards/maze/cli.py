"""Build a data set of mazes: python -m shards.maze [--output-dir DIR] [options]"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from hrm_scale.base.command_line import positive, whole_number, workers

from ..builder import command

if TYPE_CHECKING:
    from .build import Built

_EXAMPLES = """\
examples:
  python -m shards.maze --output-dir data/maze-30x30-hard
  python -m shards.maze --output-dir data/mine --source csv --input mazes/
  python -m shards.maze --output-dir data/maze-made --source generate --size 30 --count 1000
"""
_SMALLEST, _LARGEST = 4, 64


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    from hrm_scale.base.progress import say

    from .build import Request, build, statistics

    command.check_source(arguments, (*Request.only_generate, "jobs"))
    request = Request(**command.given(arguments))
    built = build(request)
    for line in _summary(built, {s: statistics(m) for s, m in built.splits.items()}, request.aug):
        say(line)
    kept = f"of train {8 if request.aug else 1} stored for each"
    say(command.built(request.output_dir, built.splits, "mazes", kept))
    return 0


def _summary(built: Built, statistics: dict[str, Any], aug: str | None) -> list[str]:
    lines = []
    for split, mazes in built.splits.items():
        numbers = [
            f"{name} " + ", ".join(f"{key} {value:g}" for key, value in values.items())
            for name, values in statistics[split].items()
        ]
        following = round(built.following[split] * len(mazes))
        lines.append(
            f"{split}: {following} of {len(mazes)} labels follow the label rule (breadth-first "
            f"from S: down, left, right, up); {'; '.join(numbers)}"
        )
    if built.broken is not None and aug == "turn":
        lines.append(
            f"note: --aug turns labels with their mazes: {built.broken:.1%} of the turned labels "
            "break the label rule that test labels follow, so the model is trained on paths it is "
            "then scored against; `--aug relabel` labels the turned mazes by the rule"
        )
    elif built.broken is not None:
        lines.append(
            f"note: --aug relabel: turned mazes were labelled anew, {built.broken:.1%} of these "
            "labels break the label rule; the published set has no augmentation"
        )
    return lines


def _parser() -> argparse.ArgumentParser:
    parser = command.builder_parser(
        "maze", "Build a data set of mazes in tar shards.", _EXAMPLES, "data/maze-30x30-hard-1k"
    )
    add = parser.add_argument
    command.add_source(
        add,
        "Maze-Hard 30x30",
        "new mazes with the statistics of Maze-Hard",
        "question,answer",
    )
    add(
        "--size",
        type=whole_number(_SMALLEST, _LARGEST),
        metavar="N",
        help=f"generate: cells per side, {_SMALLEST} to {_LARGEST} (default 30)",
    )
    command.add_count(add, "mazes")
    command.add_subsample(add, "mazes")
    add(
        "--min-path",
        type=positive,
        metavar="N",
        help="generate: fewest moves of a shortest path (default: 109 for 30x30, else 2 x size)",
    )
    add(
        "--jobs",
        type=workers,
        metavar="N",
        help="generate: so many processes; the mazes are the same (default 1)",
    )
    add(
        "--aug",
        nargs="?",
        const="turn",
        choices=["turn", "relabel"],
        help="store each training maze in its eight rotations and reflections; turn (default): "
        "labels are turned too, which breaks the rule that test labels follow; "
        "relabel: turned mazes are labelled anew by the rule",
    )
    command.add_seed(add)
    return parser
