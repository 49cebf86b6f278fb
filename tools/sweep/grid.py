"""The grid of a sweep: which arguments are axes, and the runs that they make together."""

from __future__ import annotations

import hashlib
import itertools
import re
from dataclasses import dataclass
from pathlib import Path

from hrm_scale.base.errors import ConfigError
from hrm_scale.config.identity import path_safe

SEED = "seed"
_SET_BY_THE_SWEEP = {
    "checkpoint_path": "each run has a folder of its own: give --output-dir DIR",
    "resume": "a sweep goes on by itself where it was: leave it out",
}
_OPEN, _CLOSE = "([{", ")]}"
_LONGEST_NAME = 100  # characters of a folder's name; file systems allow 255 bytes


@dataclass(frozen=True)
class Axis:
    """A setting with several values, as typed. `label` is its name in tables and folders."""

    key: str
    values: tuple[str, ...]
    label: str


@dataclass(frozen=True)
class Cell:
    """One run of the grid: its folder's name, its value on each axis, its whole command line."""

    name: str
    values: tuple[str, ...]
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """fixed: the settings that all runs share. axes: in the order typed, the seed's among them."""

    fixed: tuple[str, ...]
    axes: tuple[Axis, ...]
    cells: tuple[Cell, ...]

    @property
    def compared(self) -> tuple[Axis, ...]:
        """The axes that make a row each of the table: all but the seed."""
        return tuple(axis for axis in self.axes if axis.key != SEED)

    def combination(self, cell: Cell) -> tuple[str, ...]:
        """The cell's values on the compared axes."""
        pairs = zip(self.axes, cell.values, strict=True)
        return tuple(value for axis, value in pairs if axis.key != SEED)

    def combinations(self) -> list[tuple[str, ...]]:
        """Every combination of the compared axes, the last axis changing fastest."""
        return list(itertools.product(*(axis.values for axis in self.compared)))


def split_values(text: str) -> list[str]:
    """`text` at its commas, but for those inside brackets or quotes; blanks around are removed.

    A quote opens at the beginning of a value, or inside brackets, as in Hydra's grammar: an
    apostrophe within a path is a letter.
    """
    parts, start, depth, quote = [], 0, 0, ""
    skip = False
    for position, letter in enumerate(text):
        if skip:
            skip = False
        elif quote:
            skip = letter == "\\"
            quote = "" if letter == quote else quote
        elif letter in "'\"" and (depth or not text[start:position].strip()):
            quote = letter
        elif letter in _OPEN:
            depth += 1
        elif letter in _CLOSE:
            depth = max(depth - 1, 0)
        elif letter == "," and not depth:
            parts.append(text[start:position].strip())
            start = position + 1
    return [*parts, text[start:].strip()]


def make_grid(arguments: list[str]) -> Grid:
    """The grid that the settings of a command line span.

    The runs come with the seed changing slowest, so that a sweep that is stopped early has seen
    every combination equally often. Raises ConfigError.
    """
    fixed: list[str] = []
    axes: list[tuple[str, str, list[str]]] = []  # sign and key as typed, key, values
    for argument in arguments:
        typed, equals, text = argument.partition("=")
        key = typed.strip().lstrip("+")
        if key in _SET_BY_THE_SWEEP:
            raise ConfigError(f"{argument} (command line): {_SET_BY_THE_SWEEP[key]}")
        values = split_values(text) if equals else []
        if len(values) > 1 or (key == SEED and equals):
            if "" in values:
                raise ConfigError(
                    f"{argument} (command line) has an empty value between its commas: type for"
                    f" example {key}=1,2; text with a comma goes in quotes: {key}=\"'a,b'\""
                )
            axes.append((typed, key, values))
        else:
            fixed.append(argument)
    _refuse_twice([key for _, key, _ in axes], fixed)
    labels = _labels([key for _, key, _ in axes])
    named = tuple(
        Axis(key, tuple(values), label)
        for (_, key, values), label in zip(axes, labels, strict=True)
    )
    cells = []
    for chosen in itertools.product(*(axis.values for axis in named)):
        settings = [f"{typed}={value}" for (typed, _, _), value in zip(axes, chosen, strict=True)]
        cells.append(Cell(_cell_name(named, chosen), chosen, (*fixed, *settings)))
    at = next((index for index, axis in enumerate(named) if axis.key == SEED), None)
    if at is not None:
        order = {value: number for number, value in enumerate(named[at].values)}
        cells.sort(key=lambda cell: order[cell.values[at]])
    return Grid(tuple(fixed), named, tuple(cells))


def default_folder(grid: Grid) -> Path:
    """`sweeps/NAME`: the same for the same settings and the same axes, whatever values these have,
    so that seeds and values can be added to a sweep that has run."""
    chosen = [word.partition("=")[2] for word in grid.fixed if word.startswith("experiment=")]
    words = [*chosen[-1:], *(axis.label for axis in grid.axes)]
    text = "\n".join([*grid.fixed, *(axis.key for axis in grid.axes)])
    return Path("sweeps") / f"{path_safe('-'.join(words))[:_LONGEST_NAME]}-{_digest(text)}"


def _refuse_twice(keys: list[str], fixed: list[str]) -> None:
    others = [word.partition("=")[0].strip().lstrip("+~") for word in fixed]
    for key in keys:
        if (keys + others).count(key) > 1:
            raise ConfigError(f"{key} is given twice (command line): give all its values at once")


def _labels(keys: list[str]) -> list[str]:
    """The last part of each key, or the whole one where that would name two."""
    short = [key.rpartition(".")[2] for key in keys]
    return [key if short.count(last) > 1 else last for key, last in zip(keys, short, strict=True)]


def _cell_name(axes: tuple[Axis, ...], values: tuple[str, ...]) -> str:
    """`H_cycles-2_L_cycles-4_seed-0`, with a digest where that does not say everything."""
    pairs = list(zip(axes, values, strict=True))
    exact = "\n".join(f"{axis.key}={value}" for axis, value in pairs)
    name = "_".join(f"{path_safe(axis.label)}-{path_safe(value)}" for axis, value in pairs) or "run"
    plain = all(
        re.fullmatch(r"[A-Za-z0-9.+_-]+", value)
        and not any(f"_{axis.label}-" in value for axis in axes)
        for value in values
    )
    if plain and path_safe(name) == name and len(name) <= _LONGEST_NAME:
        return name
    return f"{path_safe(name)[:_LONGEST_NAME]}-{_digest(exact)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
