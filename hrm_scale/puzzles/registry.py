"""Which kinds of puzzles there are: built in, installed, or named on the command line.

An installed package adds kinds by the entry point group `hrm_scale.puzzles` (name: the kind, value:
its class); `--puzzle FILE` adds those of a Python file. Nothing that a data set or a checkpoint
says is ever imported.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from hrm_scale.base.errors import ConfigError, nearest
from hrm_scale.base.plugins import plugin_files
from hrm_scale.puzzles.base import Puzzle, recognised
from hrm_scale.puzzles.unknown import unknown

GROUP = "hrm_scale.puzzles"
_BUILT_IN = {
    "sudoku": "hrm_scale.puzzles.sudoku.puzzle:Sudoku",
    "maze": "hrm_scale.puzzles.maze.puzzle:Maze",
    "arc": "hrm_scale.puzzles.arc.puzzle:Arc",
}


def find_puzzle(
    kind: str, board: dict[str, int], cells: int, tokens: int, record: Mapping[str, Any]
) -> Puzzle:
    """The puzzle of a data set or checkpoint: of its kind where its numbers fit, else `Unknown`.

    record: what the builder wrote of the plug-in that defines the kind, if any. ConfigError when
    that plug-in was not given.
    """
    cls = kinds().get(kind)
    if cls is None and record:
        source = str(record.get("source", "a plug-in"))[:200]
        raise ConfigError(
            f"puzzles of kind {kind!r} are defined in {source}: add --puzzle FILE with that file,"
            " or install the package"
        )
    puzzle = None if cls is None else recognised(cls, board, cells, tokens)
    return puzzle or unknown(board, cells, tokens)


def require_known(puzzle: Puzzle, kind: str, source: str) -> Puzzle:
    """The puzzle of a checkpoint. ConfigError naming the checkpoint when nothing is known of it."""
    if not puzzle.known:
        raise ConfigError(
            f"checkpoint={source} was trained on puzzles of kind {kind!r} with {puzzle.cells} cells"
            f" and {len(puzzle.tokens)} tokens, of which nothing is known; known are"
            f" {', '.join(sorted(kinds()))}: add --puzzle FILE with a file that defines the kind"
        )
    return puzzle


def recognise(
    cells: int, tokens: int, boards: np.ndarray | None = None
) -> tuple[str, dict[str, int]]:
    """(kind, board) of the built-in kind that has such boards, else "other". boards: questions to
    look at, uint8 [n, S]."""
    side = int(cells**0.5)
    for kind in _BUILT_IN:
        try:
            puzzle = kinds()[kind].of_size(side)
        except ValueError:
            continue
        fits = (puzzle.cells, len(puzzle.tokens)) == (cells, tokens)
        if fits and (boards is None or puzzle.plausible(boards).all()):
            return kind, puzzle.board
    return "other", {"height": side, "width": side} if side * side == cells else {}


def puzzle_class(kind: str) -> type[Puzzle]:
    """The class of a kind. ConfigError when there is none."""
    found = kinds()
    if kind not in found:
        raise ConfigError(
            f"no puzzles of kind {kind!r}; there are {', '.join(sorted(found))}."
            f"{nearest(kind, sorted(found))} Add --puzzle FILE with a file that defines it"
        )
    return found[kind]


def record_of(puzzle: Puzzle) -> dict[str, str]:
    """What a data set must say of the plug-in that defines its kind; empty for built-in kinds."""
    if puzzle.kind in _BUILT_IN:
        return {}
    module = sys.modules[type(puzzle).__module__]
    file = str(getattr(module, "__file__", "") or module.__name__)
    source = Path(file).name if file in plugin_files() else module.__name__
    return {"source": source, "class": type(puzzle).__qualname__}


def kinds() -> dict[str, type[Puzzle]]:
    """All kinds by name. ConfigError for a plug-in that cannot be used."""
    return _kinds(tuple(plugin_files()))


@functools.cache
def _kinds(files: tuple[str, ...]) -> dict[str, type[Puzzle]]:
    found: dict[str, type[Puzzle]] = {}
    for kind, place in _BUILT_IN.items():
        module, _, name = place.partition(":")
        found[kind] = getattr(importlib.import_module(module), name)
    for entry in metadata.entry_points(group=GROUP):
        try:
            _add(found, entry.load(), f"entry point {entry.name} = {entry.value}")
        except ConfigError:
            raise
        except Exception as error:
            raise _unusable(f"entry point {entry.name} = {entry.value}", error) from error
    for file in files:
        for cls in _classes_in(file):
            _add(found, cls, f"--puzzle {file}")
    return found


def _classes_in(file: str) -> list[type[Puzzle]]:
    """The kinds that a file defines."""
    name = f"hrm_scale_puzzle_{Path(file).stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None or not Path(file).is_file():
        raise ConfigError(f"--puzzle {file}: no Python file is there")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _unusable(f"--puzzle {file}", error) from error
    classes = [
        cls
        for cls in vars(module).values()
        if isinstance(cls, type) and issubclass(cls, Puzzle) and cls.__module__ == name
    ]
    if not classes:
        raise ConfigError(
            f"--puzzle {file} defines no kind: it needs a class that is derived from"
            " hrm_scale.puzzles.Puzzle"
        )
    return classes


def _add(found: dict[str, type[Puzzle]], cls: Any, source: str) -> None:
    """One more kind. ConfigError for what lacks something, or has a name that is taken."""
    if not (isinstance(cls, type) and issubclass(cls, Puzzle)):
        raise ConfigError(f"{source} is no class derived from hrm_scale.puzzles.Puzzle")
    kind = getattr(cls, "kind", None)
    if not (isinstance(kind, str) and kind.isidentifier() and kind != "other"):
        raise ConfigError(f"{source}: {cls.__name__}.kind must be a name such as 'queens'")
    if cls.faults is Puzzle.faults and cls.solved is Puzzle.solved and cls.has_rules:
        raise ConfigError(
            f"{source}: {cls.__name__} lacks a method `faults` or `solved`: the rules of its"
            " puzzles (or has_rules = False)"
        )
    if inspect.isabstract(cls):
        raise ConfigError(f"{source}: {cls.__name__} lacks {', '.join(cls.__abstractmethods__)}")
    if kind in found and found[kind] is not cls:
        raise ConfigError(f"{source}: the kind {kind!r} exists already: choose another name")
    found[kind] = cls


def _unusable(source: str, error: Exception) -> ConfigError:
    line = ""
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_next is None:
            line = f" (line {traceback.tb_lineno} of {traceback.tb_frame.f_code.co_filename})"
        traceback = traceback.tb_next
    return ConfigError(f"{source} cannot be imported: {type(error).__name__}: {error}{line}")
