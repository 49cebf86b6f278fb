"""A folder that is there as a whole or not at all, and never in the place of somebody's files."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hrm_scale.base.errors import ConfigError
from hrm_scale.base.files import commit_folder, fsync_path
from hrm_scale.base.output import cannot_write, check_folder, make_folder

# What `convert` writes; a folder with anything else in it is not its to replace.
_OURS = re.compile(
    r"model\.safetensors|puzzle_table\.(safetensors|npy)|config\.json|README\.md|usage\.json"
    r"|step\.(onnx|onnx\.data|pt2)|all_config\.yaml|step_\d+|checkpoints"
)
_WEIGHTS = re.compile(r"weights-\d{8,}")


def require_free(target: Path, *, overwrite: bool) -> None:
    """Raise ConfigError when there is something at `target` that must stay, else as
    `check_folder`."""
    check_folder(target, "--output")
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not overwrite:
        raise ConfigError(f"{target} exists: give another --output, or type --overwrite")
    foreign = next((str(path) for path in _inside(target) if not _is_ours(path, target)), None)
    if not target.is_dir() or foreign is not None:
        raise ConfigError(
            f"{foreign or target} was not written by convert, and --overwrite replaces nothing"
            " else: give another --output"
        )


@contextmanager
def new_folder(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """A folder beside `target` to write into; at the end it takes the place of `target`, and after
    an error or Ctrl-C it is gone. ConfigError as `require_free`."""
    require_free(target, overwrite=overwrite)
    make_folder(target.parent, "--output")
    temporary = target.with_name(f".{target.name}.tmp-{secrets.token_hex(4)}")
    try:
        temporary.mkdir()
    except OSError as error:
        raise cannot_write(error, target, "--output") from error
    try:
        yield temporary
        for path in temporary.rglob("*"):
            fsync_path(path)
        require_free(target, overwrite=overwrite)
        if target.is_dir() and not any(target.iterdir()):
            target.rmdir()
        commit_folder(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _inside(target: Path) -> list[Path]:
    if not target.is_dir():
        return []
    held = target / "checkpoints"
    return [*target.iterdir(), *(held.iterdir() if held.is_dir() else ())]


def _is_ours(path: Path, target: Path) -> bool:
    pattern = _OURS if path.parent == target else _WEIGHTS
    return pattern.fullmatch(path.name) is not None
