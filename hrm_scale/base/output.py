"""Paths that a program writes to: checked before the work, made, or refused in one line."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from hrm_scale.base.errors import (
    EXIT_CONFIG,
    EXIT_ENVIRONMENT,
    ConfigError,
    EnvironmentProblem,
    HrmError,
    describe,
)

MAX_NAME = 255  # bytes, on every usual file system
_MAX_PATH = 4095  # bytes, on Linux
# The longest path below a folder of ours: a file of a checkpoint that is being written.
_ROOM = 160


def path_problem(path: str | Path, room: int = 0) -> str | None:
    """Why no file system takes this path, in words; None when it may. room: bytes to be added."""
    text = os.fspath(path)
    if "\0" in text:
        return "has a null character"
    longest = max((len(os.fsencode(name)) for name in text.split("/")), default=0)
    if longest > MAX_NAME:
        return f"has a name of {longest} bytes, {MAX_NAME} are allowed"
    length = len(os.fsencode(os.path.abspath(text))) + room
    if length > _MAX_PATH:
        return f"is too long: {_MAX_PATH - room} bytes are allowed, with the folders above it"
    return None


def check_folder(folder: Path, name: str) -> None:
    """Raise unless `folder` can be made, or is there and can be written to. Changes nothing.

    name: what the user typed it after, such as `output_dir` or `--output-dir`.
    ConfigError for a path that cannot be a folder, EnvironmentProblem for missing rights.
    """
    if (problem := path_problem(folder, _ROOM)) is not None:
        raise ConfigError(f"{_shown(name, folder)} {problem}")
    for place in (folder, *folder.parents):
        if not os.path.lexists(place):
            continue
        if not os.path.isdir(place):
            raise ConfigError(_blocked(name, folder, place))
        if not os.access(place, os.W_OK | os.X_OK):
            raise EnvironmentProblem(
                f"{_shown(name, folder)} cannot be written: {place} is read-only for you; give"
                " another folder"
            )
        return


def make_folder(folder: Path, name: str) -> None:
    """Make `folder` with those above it, if it is not there. Raises as `check_folder`."""
    check_folder(folder, name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(error, folder, name) from error


def check_file(file: Path, name: str) -> None:
    """Raise ConfigError unless `file` could be written: a plain file or none, in a folder."""
    if (problem := path_problem(file)) is not None:
        raise ConfigError(f"{_shown(name, file)} {problem}")
    if os.path.lexists(file) and not os.path.isfile(file):
        raise ConfigError(f"{_shown(name, file)} is {_kind(file)}: give the name of a file")
    parent = file.parent
    if os.path.isdir(parent):
        return
    place = next((place for place in (parent, *parent.parents) if os.path.lexists(place)), parent)
    if os.path.lexists(place) and not os.path.isdir(place):
        raise ConfigError(_blocked(name, file, place))
    raise ConfigError(f"{_shown(name, file)}: there is no folder {parent}; type mkdir -p {parent}")


def require_plain_files(folder: Path, names: tuple[str, ...]) -> None:
    """Raise ConfigError for a folder, pipe or device where a program will write a file."""
    for name in names:
        place = folder / name
        if os.path.lexists(place) and not os.path.isfile(place):
            if os.path.islink(place) and not os.path.exists(place):
                continue  # the file is made where the link leads
            raise ConfigError(
                f"{place} is {_kind(place)} in the place of a file: move it away, or choose another"
                " folder"
            )


def cannot_write(error: OSError, path: Path, name: str) -> HrmError:
    """The error for a path that could not be written after all."""
    if error.errno == errno.ENOENT:  # all folders above it are there
        return EnvironmentProblem(
            f"{_shown(name, path)} cannot be written: its file system makes no files there; give"
            " another path"
        )
    reason, code = describe(error) or (error.strerror or str(error), EXIT_ENVIRONMENT)
    kind = ConfigError if code == EXIT_CONFIG else EnvironmentProblem
    return kind(f"{_shown(name, path)} cannot be written: {reason}")


def _shown(name: str, path: Path) -> str:
    return f"{name} {path}" if name.startswith("-") else f"{name}={path}"


def _blocked(name: str, path: Path, place: Path) -> str:
    above = f"{place} is" if place != path else "it is"
    return f"{_shown(name, path)} cannot be made: {above} {_kind(place)}; give another path"


def _kind(place: Path) -> str:
    if os.path.isdir(place):
        return "a folder"
    if os.path.isfile(place):
        return "a file"
    return "a pipe or device" if os.path.exists(place) else "a link that leads nowhere"
