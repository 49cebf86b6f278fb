"""Command lines of all programs: the parser, and types of arguments. Mistakes are one line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

from hrm_scale.base.errors import ConfigError, nearest
from hrm_scale.base.programs import as_typed

PUZZLE_HELP = "every program: --puzzle FILE adds the kinds of puzzles that a Python file defines"


class Parser(argparse.ArgumentParser):
    """argparse that raises a ConfigError of one line, with the nearest option that does exist."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **settings})

    def format_help(self) -> str:
        return as_typed(f"{super().format_help()}\n{PUZZLE_HELP}\n")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse, but what a command does not know is an error of that command."""
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.chosen(options).error(f"unrecognized arguments: {' '.join(unknown)}")
        return options

    def chosen(self, options: argparse.Namespace) -> argparse.ArgumentParser:
        """The parser of the command in `options`; this one where there are no commands."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                return action.choices.get(getattr(options, action.dest), self)
        return self

    def error(self, message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ").split(" ")[0]
        hint = ""
        if unknown != message.split(" ")[0]:
            hint = nearest(unknown.split("=")[0], sorted(self._option_string_actions))
        raise ConfigError(f"{message}.{hint} Type `{self.prog} --help` for all options")


def whole_number(low: int, high: int = 1 << 53) -> Callable[[str], int]:
    """The `type` of an argument that is a whole number from `low` to `high`."""
    allowed = f"from {low} to {high}" if high < 1 << 53 else f"of at least {low}"

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value > 1 << 53:
            raise argparse.ArgumentTypeError(f"{text[:40]} is larger than any count can be")
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"'{text[:40]}' is not a whole number {allowed}")
        return value

    return convert


natural = whole_number(0)
positive = whole_number(1)
workers = whole_number(1, 1024)
"""A number of processes or threads."""
