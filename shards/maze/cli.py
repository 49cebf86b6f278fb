"""Build a data set of mazes: python -m shards.maze [--output-dir DIR] [options]"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hrm_scale.base.command_line import Parser, natural, positive, workers

from ..source.options import add_amounts, check_source

if TYPE_CHECKING:
    from .build import Built, Request

_EXAMPLES = """\
examples:
  python -m shards.maze --output-dir data/maze-30x30-hard
  python -m shards.maze --output-dir data/mine --source csv --input mazes/
  python -m shards.maze --output-dir data/maze-made --source generate --size 30 --count 1000

exit codes: 0 built, 2 wrong arguments, 3 unusable data, 5 no network or no disk space;
after an error nothing is left half-written
"""
_ONLY_GENERATE = ("size", "count", "min_path", "jobs")
_SMALLEST, _LARGEST = 4, 64


def main(argv: list[str]) -> int:
    request = _request(_parser().parse_args(argv))
    from hrm_scale.base.progress import say

    from .build import build

    built = build(request)
    for line in _summary(built, request.aug):
        say(line)
    counts = " and ".join(f"{len(mazes)} {split}" for split, mazes in built.splits.items())
    directory = request.output_dir
    say(
        f"built {directory}: {counts} mazes, of train {8 if request.aug else 1} stored for each · "
        f"next: `python -m tools.shards info {directory}`, then "
        f"`python -m hrm_scale.train data_path={directory}`"
    )
    return 0


def _summary(built: Built, aug: str | None) -> list[str]:
    lines = []
    for split, mazes in built.splits.items():
        numbers = [
            f"{name} " + ", ".join(f"{key} {value:g}" for key, value in values.items())
            for name, values in mazes.statistics().items()
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
    parser = Parser(
        prog="python -m shards.maze",
        description="Build a data set of mazes in tar shards. Same arguments, same bytes.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--output-dir",
        type=Path,
        default=Path("data/maze-30x30-hard-1k"),
        metavar="DIR",
        help="folder to make (default data/maze-30x30-hard-1k)",
    )
    add(
        "--source",
        choices=["hf", "csv", "generate"],
        default="hf",
        help="hf: Maze-Hard 30x30 from the Hugging Face hub (default); csv: your files; "
        "generate: new mazes with the statistics of Maze-Hard",
    )
    add(
        "--input",
        type=Path,
        metavar="PATH",
        help="csv: a folder with train.csv and test.csv, or one file (train only, unless "
        "--test-size splits it); columns question,answer; .csv or .csv.gz",
    )
    add(
        "--size",
        type=_size,
        metavar="N",
        help=f"generate: cells per side, {_SMALLEST} to {_LARGEST} (default 30)",
    )
    add_amounts(add, "mazes")
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
    add("--seed", type=natural, default=0, metavar="S", help="of all random choices (default 0)")
    add("--overwrite", action="store_true", help="replace an existing data set in --output-dir")
    return parser


def _request(arguments: argparse.Namespace) -> Request:
    """Check what belongs together. Raises ConfigError."""
    from .build import Request
    from .generate import default_min_path

    check_source(arguments, _ONLY_GENERATE)
    size = arguments.size or 30
    return Request(
        output_dir=arguments.output_dir,
        source=arguments.source,
        input=arguments.input,
        size=size,
        count=arguments.count or 1000,
        min_path=arguments.min_path or default_min_path(size),
        subsample_size=arguments.subsample_size,
        test_size=arguments.test_size,
        aug=arguments.aug,
        seed=arguments.seed,
        jobs=arguments.jobs or 1,
        overwrite=arguments.overwrite,
    )


def _size(text: str) -> int:
    value = int(text)
    if not _SMALLEST <= value <= _LARGEST:
        raise argparse.ArgumentTypeError(f"{text} is not in {_SMALLEST} to {_LARGEST}")
    return value


_size.__name__ = "whole number"
