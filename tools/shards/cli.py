"""Look into a data set of shards: python -m tools.shards COMMAND DIR"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

from hrm_scale.base.command_line import Parser, natural, positive

_EPILOG = """\
examples:
  python -m tools.shards info data/arc-aug-1000
  python -m tools.shards preview data/arc-aug-1000 --id 007bbfb7 --aug 3
  python -m tools.shards order data/sudoku --epoch 2 --at 0 --world 8 --rank 3 --batch 768
  python -m tools.shards repack data/sudoku data/sudoku-zst --compression zst

exit codes: 0 sound, 2 wrong arguments, 3 not a data set, or damaged
"""


def main(argv: list[str]) -> int:
    arguments = _parser(argv).parse_args(argv)
    command = arguments.command
    if command == "info":
        from .info import show_info

        show_info(
            arguments.directory,
            as_json=arguments.json,
            boards=arguments.boards,
            full=arguments.full,
        )
    elif command == "preview":
        from .preview import preview

        preview(arguments)
    elif command == "verify":
        from .verify import verify

        verify(arguments.directory, as_json=arguments.json, strict=arguments.strict)
    elif command == "lint":
        from .lint.lint import lint

        lint(
            arguments.directory,
            unique=arguments.unique,
            as_json=arguments.json,
            strict=arguments.strict,
        )
    elif command == "order":
        from .order import show_order

        show_order(arguments)
    elif command == "repack":
        from .repack.repack import repack

        repack(arguments)
    else:
        from .view.command import view

        view(arguments)
    return 0


def _parser(argv: list[str]) -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m tools.shards",
        description="Look into a data set of tar shards.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_reading(commands)
    _add_checking(commands)
    _add_order(commands)
    _add_repack(commands)
    show = commands.add_parser("view", help="a local page, or one file, with everything drawn")
    _directory(show)
    if argv[:1] == ["view"]:
        from .view.command import add_arguments

        add_arguments(show)
    return parser


_Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def _add_reading(commands: _Commands) -> None:
    info = commands.add_parser(
        "info", help="what is inside: counts, fields, tokens, shards, origin"
    )
    _directory(info, address=True)
    info.add_argument("--json", action="store_true", help="the same as one JSON object")
    info.add_argument("--full", action="store_true", help="statistics of all records, not a sample")
    info.add_argument(
        "--boards", type=natural, default=2, metavar="N", help="examples to draw (default 2)"
    )
    preview = commands.add_parser("preview", help="draw an example, its augmentation undone or not")
    _directory(preview, address=True)
    preview.add_argument("--split", default="train", help="default train")
    which = preview.add_mutually_exclusive_group()
    which.add_argument("--index", type=natural, metavar="N", help="example number of the split")
    which.add_argument("--id", metavar="NAME", help="puzzle identifier: its name, number, or task")
    how = preview.add_mutually_exclusive_group()
    how.add_argument("--original", action="store_true", help="undo augmentation and translation")
    how.add_argument("--aug", type=natural, metavar="K", help="online sets: variant K of it")
    preview.add_argument("--json", action="store_true", help="grids and numbers as JSON")
    preview.add_argument(
        "--color",
        choices=["auto", "always", "never"],
        default="auto",
        help="auto: where the output is a terminal (default)",
    )


def _add_checking(commands: _Commands) -> None:
    verify = commands.add_parser(
        "verify",
        help="every byte and the index: hashes, tar, counts; writes a missing index.json again",
    )
    lint = commands.add_parser(
        "lint", help="verify, and what the rows mean: rules, groups, identifiers, repeats, leaks"
    )
    lint.add_argument(
        "--unique",
        action="store_true",
        help="also search every Sudoku for a second solution",
    )
    for command in (verify, lint):
        _directory(command)
        command.add_argument("--json", action="store_true", help="findings as one JSON object")
        command.add_argument("--strict", action="store_true", help="warnings are faults")


def _add_order(commands: _Commands) -> None:
    order = commands.add_parser("order", help="who reads what, at a position of the training order")
    _directory(order, address=True)
    add = order.add_argument
    add("--split", default="train", help="default train")
    add("--epoch", type=natural, default=0, metavar="E", help="default 0")
    add("--at", type=natural, default=0, metavar="POSITION", help="position in the epoch")
    add("--count", type=positive, metavar="N", help="positions (default: the rank's micro-batch)")
    add("--batch", type=positive, default=768, metavar="G", help="global batch (default 768)")
    add("--world", type=positive, default=1, metavar="R", help="processes (default 1)")
    add("--rank", type=natural, default=0, metavar="r", help="default 0")
    add("--accumulation", type=positive, default=1, metavar="K", help="default 1")
    add("--seed", type=natural, default=0, metavar="S", help="the run's seed (default 0)")
    add("--window", type=_window, default=16, metavar="W", help="records, or all (default 16)")
    add("--state", type=Path, metavar="FILE", help="a checkpoint, or its data state: start there")
    add("--json", action="store_true", help="the same as one JSON object")


def _add_repack(commands: _Commands) -> None:
    repack = commands.add_parser("repack", help="the same rows in other records, shards or storage")
    _directory(repack, address=True)
    add = repack.add_argument
    add("out", type=Path, metavar="OUT", help="folder to make")
    add("--chunk-examples", type=positive, metavar="N", help="examples in a record (default 1024)")
    add("--shard-bytes", type=_size, metavar="M", help="of a shard, like 64m (default 64m)")
    add("--compression", choices=["none", "zst"], help="default: as it is")
    add("--storage", choices=["online", "dense"], help="default: as it is")
    add("--overwrite", action="store_true", help="replace a data set in OUT")


def _directory(parser: argparse.ArgumentParser, *, address: bool = False) -> None:
    text = "folder or address of the data set" if address else "folder of the data set"
    parser.add_argument("directory", metavar="DIR", help=text)


def _window(text: str) -> int | None:
    return None if text == "all" else positive(text)


def _size(text: str) -> int:
    units = {"k": 10, "m": 20, "g": 30}
    shift = units.get(text[-1:].lower(), 0)
    return positive(text[:-1] if shift else text) << shift


for _kind in (_window, _size):
    _kind.__name__ = "number"
