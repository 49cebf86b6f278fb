"""Build a Sudoku data set: python -m shards.sudoku [--output-dir DIR] [options]"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hrm_scale.base.command_line import Parser, natural
from hrm_scale.puzzles.sudoku.board import GEOMETRIES

from ..source.options import add_amounts, check_source

if TYPE_CHECKING:
    from .build import Request

_EXAMPLES = """\
examples:
  python -m shards.sudoku --output-dir data/sudoku-1k --subsample-size 1000 --num-aug 1000
  python -m shards.sudoku --output-dir data/mine --source csv --input puzzles/ --num-aug 1000
  python -m shards.sudoku --output-dir data/six --source generate --size 6 --count 2000
  python -m shards.sudoku --output-dir data/hexadecimal --source generate --size 16 --count 500

exit codes: 0 built, 2 wrong arguments, 3 unusable data, 5 no network or no disk space;
after an error nothing is left half-written
"""
_ONLY_GENERATE = ("size", "count")


def main(argv: list[str]) -> int:
    request = _request(_parser().parse_args(argv))
    from hrm_scale.base.progress import say

    from .build import build

    splits = build(request)
    counts = " and ".join(f"{len(puzzles)} {split}" for split, puzzles in splits.items())
    kind = f"{request.num_aug} of each ({request.storage})" if request.num_aug else "none"
    directory = request.output_dir
    say(
        f"built {directory}: {counts} puzzles, augmentations of train: {kind} · next: "
        f"`python -m tools.shards info {directory}`, then "
        f"`python -m hrm_scale.train data_path={directory}`"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m shards.sudoku",
        description="Build a Sudoku data set of tar shards. Same arguments, same bytes.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--output-dir",
        type=Path,
        default=Path("data/sudoku-extreme-full"),
        metavar="DIR",
        help="folder to make (default data/sudoku-extreme-full)",
    )
    add(
        "--source",
        choices=["hf", "csv", "generate"],
        default="hf",
        help="hf: Sudoku-Extreme from the Hugging Face hub (default); csv: your files; "
        "generate: new puzzles with one solution each",
    )
    add(
        "--input",
        type=Path,
        metavar="PATH",
        help="csv: a folder with train.csv and test.csv, or one file (train only, unless "
        "--test-size splits it); columns source,question,answer,rating; .csv or .csv.gz; "
        "digits above 9 are A-G",
    )
    add("--size", type=int, choices=list(GEOMETRIES), help="generate: cells per side (default 9)")
    add_amounts(add, "puzzles")
    add(
        "--num-aug",
        type=natural,
        default=0,
        metavar="N",
        help="augmentations of each training puzzle beside itself (default 0)",
    )
    add(
        "--min-difficulty",
        type=natural,
        default=0,
        metavar="R",
        help="only puzzles with at least this rating, in train and test (default 0)",
    )
    add("--seed", type=natural, default=0, metavar="S", help="of all random choices (default 0)")
    add(
        "--storage",
        choices=["online", "dense"],
        default="online",
        help="online: store originals, augment while training (default, small); "
        "dense: store every augmentation",
    )
    add(
        "--no-unique-check",
        action="store_true",
        help="do not search for second solutions (the search takes about 1 ms per 9x9 puzzle)",
    )
    add("--overwrite", action="store_true", help="replace an existing data set in --output-dir")
    return parser


def _request(arguments: argparse.Namespace) -> Request:
    """Check what belongs together. Raises ConfigError."""
    from .build import Request

    check_source(arguments, _ONLY_GENERATE)
    return Request(
        output_dir=arguments.output_dir,
        source=arguments.source,
        input=arguments.input,
        size=arguments.size or 9,
        count=arguments.count or 1000,
        subsample_size=arguments.subsample_size,
        test_size=arguments.test_size,
        num_aug=arguments.num_aug,
        min_difficulty=arguments.min_difficulty,
        seed=arguments.seed,
        storage=arguments.storage,
        unique_check=not arguments.no_unique_check,
        overwrite=arguments.overwrite,
    )
