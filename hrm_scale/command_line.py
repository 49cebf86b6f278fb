"""Command lines of builders and tools: mistakes are one line, as everywhere."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from hrm_scale.errors import ConfigError, nearest


class Parser(argparse.ArgumentParser):
    """argparse that raises a ConfigError of one line, with the nearest option that does exist."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **settings})

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


def natural(text: str) -> int:
    """A whole number from 0 on, as the `type` of an argument."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative, expected 0 or more")
    return value


def positive(text: str) -> int:
    """A whole number from 1 on, as the `type` of an argument."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is too small, expected 1 or more")
    return value


# argparse names the type in its message: "invalid whole number value: 'x'".
natural.__name__, positive.__name__ = "whole number", "whole number"
