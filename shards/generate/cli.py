"""Build a data set of any kind that has a generator: python -m shards.generate KIND ..."""

from __future__ import annotations

import argparse

from hrm_scale.base.command_line import positive

from ..builder import command

_EXAMPLES = """\
examples:
  python -m shards.generate queens --puzzle examples/my_puzzle.py --size 6 --output-dir data/queens

KIND is defined in the file that --puzzle names, or in an installed package. Before anything is
written, its rules are checked on what its generator makes: exit code 3 where they contradict.
"""


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    from hrm_scale.base.progress import say

    from .build import Request, build

    request = Request(**command.given(arguments))
    kept = command.augmented(request.num_aug, request.storage)
    say(command.built(request.output_dir, build(request), "puzzles", kept))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = command.builder_parser(
        "generate", "Build a data set of a kind that has a generator.", _EXAMPLES
    )
    add = parser.add_argument
    add("kind", metavar="KIND", help="the kind of puzzle, such as queens")
    add("--size", type=positive, required=True, metavar="N", help="size of the boards")
    command.add_count(add, "puzzles")
    command.add_augmentation(add, "augmentations of each training puzzle")
    command.add_seed(add)
    return parser
