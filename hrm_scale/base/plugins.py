"""`--puzzle FILE`, which every program understands: files that define further kinds of puzzles.

They are handed on in the environment, so that processes that a program starts know them as well;
`hrm_scale.puzzles.registry` imports them when it is first asked for a kind.
"""

from __future__ import annotations

import os
import shlex

from hrm_scale.base.errors import ConfigError

PUZZLE_FILES = "HRM_SCALE_PUZZLES"
_OPTION = "--puzzle"


def take_plugins(arguments: list[str]) -> list[str]:
    """The arguments without `--puzzle FILE`, whose files are noted. ConfigError without a file."""
    rest: list[str] = []
    files = []
    words = iter(arguments)
    for word in words:
        if word == _OPTION:
            files.append(next(words, ""))
        elif word.startswith(f"{_OPTION}="):
            files.append(word.partition("=")[2])
        else:
            rest.append(word)
    for file in files:
        if not os.path.isfile(file):
            raise ConfigError(f"{_OPTION} {file}: no such file: give a Python file with a kind")
    if files:
        known = plugin_files()
        new = [path for path in map(os.path.abspath, files) if path not in known]
        os.environ[PUZZLE_FILES] = os.pathsep.join([*known, *new])
    return rest


def plugin_files() -> list[str]:
    """The files of `--puzzle`, as they were given to this process or its parent."""
    return [*filter(None, os.environ.get(PUZZLE_FILES, "").split(os.pathsep))]


def plugin_words() -> str:
    """` --puzzle FILE` for each file, to be appended to a command that needs them as well."""
    words = []
    for file in plugin_files():
        near = os.path.relpath(file)
        words += [_OPTION, file if near.startswith(os.pardir) else near]
    return "".join(f" {shlex.quote(word)}" for word in words)
