"""The published Sudoku-Extreme files."""

from __future__ import annotations

from pathlib import Path

from ..source.hub import download as download_files

REPOSITORY = "sapientinc/sudoku-extreme"
FILES = {"train": "train.csv", "test": "test.csv"}
_WAYS_OUT = (
    "connect this machine, or use --source csv --input DIR_OR_FILE, "
    "or --source generate --size 9 --count 1000"
)


def download() -> dict[str, Path]:
    """Local paths of {"train": ..., "test": ...}. Raises as `hub.download`."""
    return download_files(REPOSITORY, FILES, _WAYS_OUT)
