"""What software wrote a checkpoint. Only versions: no environment, no paths, no host."""

from __future__ import annotations

import functools
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = (
    "hrm_scale",
    "torch",
    "numpy",
    "safetensors",
    "accelerate",
    "deepspeed",
    "webdataset",
    "flash-attn",
    "adam-atan2",
)


@functools.cache
def _git(root: Path) -> dict[str, Any] | None:
    if not (root / ".git").exists():
        return None

    def ask(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()

    try:
        commit = ask("rev-parse", "HEAD")
        changed = bool(ask("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "changed": changed}


@functools.cache
def _packages() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def collect_versions() -> dict[str, Any]:
    """Python, installed packages that matter, and the git commit when run from a clone.

    Looked up once a process: what is installed later is not what is running.
    """
    return {
        "python": platform.python_version(),
        "packages": _packages(),
        "git": _git(Path(__file__).resolve().parents[2]),
    }
