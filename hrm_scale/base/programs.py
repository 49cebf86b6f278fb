"""Modules of `shards/` and `tools/`: top-level in a clone, inside `hrm_scale` in a wheel."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).resolve().parents[1]


def module_name(name: str) -> str:
    """`tools.run` in a clone, `hrm_scale.tools.run` where the wheel is installed."""
    inside = (_PACKAGE / name.partition(".")[0]).is_dir()
    return f"hrm_scale.{name}" if inside else name


def load(name: str) -> Any:
    """Import a module by the name it has in a clone, such as `shards.sudoku.cli`."""
    return importlib.import_module(module_name(name))
