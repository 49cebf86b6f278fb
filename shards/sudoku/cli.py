"""Build a Sudoku data set: python -m shards.sudoku [--output-dir DIR] [options]"""

from __future__ import annotations

import argparse

from hrm_scale.base.command_line import natural
from hrm_scale.puzzles.sudoku.board import GEOMETRIES

from ..builder import command

_EXAMPLES = """\
examples:
  python -m shards.sudoku --output-dir data/sudoku-1k --subsample-size 1000 --num-aug 1000
  python -m shards.sudoku --output-dir data/mine --source csv --input puzzles/ --num-aug 1000
  python -m shards.sudoku --output-dir data/six --source generate --size 6 --count 2000
  python -m shards.sudoku --output-dir data/hexadecimal --source generate --size 16 --count 500
"""


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    from hrm_scale.base.progress import say

    from .build import Request, build

    command.check_source(arguments, Request.only_generate)
    request = Request(**command.given(arguments))
    kept = command.augmented(request.num_aug, request.storage)
    say(command.built(request.output_dir, build(request), "puzzles", kept))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = command.builder_parser(
        "sudoku", "Build a Sudoku data set of tar shards.", _EXAMPLES, "data/sudoku-extreme-full"
    )
    add = parser.add_argument
    command.add_source(
        add,
        "Sudoku-Extreme",
        "new puzzles with one solution each",
        "source,question,answer,rating (digits above 9 are A-G)",
    )
    add("--size", type=int, choices=list(GEOMETRIES), help="generate: cells per side (default 9)")
    command.add_count(add, "puzzles")
    command.add_subsample(add, "puzzles")
    command.add_augmentation(add, "augmentations of each training puzzle")
    add(
        "--min-difficulty",
        type=natural,
        default=0,
        metavar="R",
        help="only puzzles with at least this rating, in train and test (default 0)",
    )
    command.add_seed(add)
    add(
        "--no-unique-check",
        dest="unique_check",
        action="store_false",
        help="do not search for second solutions (the search takes about 1 ms per 9x9 puzzle)",
    )
    return parser
