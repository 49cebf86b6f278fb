"""Build a data set of any kind that has a generator: python -m shards.generate KIND ..."""

from __future__ import annotations

import argparse
from pathlib import Path

from hrm_scale.base.command_line import Parser, natural, positive

_EXAMPLES = """\
examples:
  python -m shards.generate queens --puzzle examples/my_puzzle.py --size 6 --output-dir data/queens

KIND is defined in the file that --puzzle names, or in an installed package. Before anything is
written, its rules are checked on what its generator makes.

exit codes: 0 built, 2 wrong arguments, 3 rules and generator contradict each other,
5 no disk space; after an error nothing is left half-written
"""


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    from hrm_scale.base.progress import say

    from .build import Request, build

    request = Request(**vars(arguments))
    counts = build(request)
    directory = request.output_dir
    kind = f"{request.num_aug} of each ({request.storage})" if request.num_aug else "none"
    say(
        f"built {directory}: {counts['train']} train and {counts.get('test', 0)} test puzzles,"
        f" augmentations of train: {kind} · next: `python -m tools.shards info {directory}`, then"
        f" `python -m hrm_scale.train data_path={directory}`"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m shards.generate",
        description="Build a data set of a kind that has a generator. Same arguments, same bytes.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("kind", metavar="KIND", help="the kind of puzzle, such as queens")
    add("--output-dir", type=Path, required=True, metavar="DIR", help="folder to make")
    add("--size", type=positive, required=True, metavar="N", help="size of the boards")
    add("--count", type=positive, default=1000, metavar="N", help="training puzzles (default 1000)")
    add(
        "--test-size",
        type=natural,
        metavar="N",
        help="test puzzles (default: a quarter of --count, at most 1000)",
    )
    add(
        "--num-aug",
        type=natural,
        default=0,
        metavar="N",
        help="augmentations of each training puzzle beside itself (default 0)",
    )
    add("--seed", type=natural, default=0, metavar="S", help="of all random choices (default 0)")
    add(
        "--storage",
        choices=["online", "dense"],
        default="online",
        help="online: store originals, augment while training (default); dense: store every "
        "augmentation",
    )
    add("--overwrite", action="store_true", help="replace an existing data set in --output-dir")
    return parser
