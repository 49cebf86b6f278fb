"""Look into a data set of shards: python -m tools.shards info|verify DIR"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

from hrm_scale.errors import ConfigError, run_cli


class _Parser(argparse.ArgumentParser):
    """argparse whose mistakes are one line like all others."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}. Type `{self.prog} --help` for what is allowed")


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    if arguments.command == "info":
        from tools.shards_info import show_info

        show_info(arguments.directory, as_json=arguments.json, boards=arguments.boards)
    else:
        from tools.shards_verify import verify

        verify(arguments.directory, unique=arguments.unique)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m tools.shards",
        description="Look into a data set of tar shards.",
        epilog="exit codes: 0 sound, 2 wrong arguments, 3 not a data set, or damaged",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="info|verify")
    info = commands.add_parser("info", help="what is inside: counts, tokens, ratings, first boards")
    info.add_argument("--json", action="store_true", help="the same as one JSON object")
    info.add_argument(
        "--boards",
        type=int,
        default=2,
        metavar="N",
        help="boards to draw of each split (default 2)",
    )
    check = commands.add_parser(
        "verify",
        help="check every byte and every puzzle; a missing index.json is written again",
    )
    check.add_argument(
        "--unique", action="store_true", help="also search every Sudoku for a second solution"
    )
    for command in (info, check):
        command.add_argument("directory", type=Path, metavar="DIR", help="folder of the data set")
    return parser


if __name__ == "__main__":
    run_cli(main)
