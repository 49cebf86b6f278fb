"""A disk that is really full sooner than others: a tmpfs of a few kB, where one may mount."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(target: Path, size: int | str) -> Iterator[Path]:
    """A new folder `target` with room for `size`: bytes, or as `mount` says it, such as 64k.

    Skips the test where there can be none.
    """
    target.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(target)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except FileNotFoundError:
        pytest.skip("no mount command: a disk that is really full cannot be made")
    if mounted.returncode != 0:
        pytest.skip(f"may not mount a tmpfs here: {mounted.stderr.strip()}")
    try:
        yield target
    finally:
        subprocess.run(["umount", str(target)], check=True, timeout=20)
