"""Command lines of builders and tools: mistakes are one line, as everywhere."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from hrm_scale.base.errors import ConfigError, nearest

_MOST = 1 << 53
_MOST_WORKERS = 1024


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
    value = _whole(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative, expected 0 or more")
    return value


def positive(text: str) -> int:
    """A whole number from 1 on, as the `type` of an argument."""
    value = _whole(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is too small, expected 1 or more")
    return value


def workers(text: str) -> int:
    """A number of processes or threads, as the `type` of an argument."""
    value = positive(text)
    if value > _MOST_WORKERS:
        raise argparse.ArgumentTypeError(f"{text} is too large, expected 1 to {_MOST_WORKERS}")
    return value


def _whole(text: str) -> int:
    value = int(text)
    if value > _MOST:
        raise argparse.ArgumentTypeError(f"{text[:40]} is larger than any count can be")
    return value


# argparse names the type in its message: "invalid whole number value: 'x'".
for _kind in (natural, positive, workers):
    _kind.__name__ = "whole number"
