"""Modules of `shards/` and `tools/`: top-level in a clone, inside `hrm_scale` in a wheel."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]
_COMMAND = re.compile(r"(python -m )((?:tools|shards)\b)")


def module_name(name: str) -> str:
    """`tools.run` in a clone, `hrm_scale.tools.run` where the wheel is installed."""
    inside = (PACKAGE / name.partition(".")[0]).is_dir()
    return f"hrm_scale.{name}" if inside else name


def as_typed(text: str) -> str:
    """A text whose commands, `python -m tools.run ...`, can be typed where the project is installed
    the way it is."""
    return _COMMAND.sub(lambda found: found[1] + module_name(found[2]), text)


def load(name: str) -> Any:
    """Import a module by the name it has in a clone, such as `shards.sudoku.cli`."""
    return importlib.import_module(module_name(name))
