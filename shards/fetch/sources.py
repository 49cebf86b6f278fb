"""The published raw data that `shards.fetch` knows: where they lie, pinned, and what they hold."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

GITHUB = "https://codeload.github.com"
HUB = "https://huggingface.co"
_MIB = 1 << 20


@dataclass(frozen=True)
class Source:
    """One data set as published.

    base, paths: the file `name` comes from base + "/" + paths[name]. most_bytes: of one download.
    tasks: what the names of task files look like (ARC), or None for CSV files. digest: `digest_of`
    the task files at the pinned commit: archives are packed anew by the host and may differ in
    their bytes, their content may not. rows: of each CSV file, the header not counted.
    """

    title: str
    pinned: str
    licence: str
    base: str
    paths: Mapping[str, str]
    most_bytes: int
    tasks: re.Pattern[str] | None = None
    digest: str = ""
    count: int = 0
    rows: Mapping[str, int] | None = None

    def urls(self, mirror: str | None) -> dict[str, str]:
        base = (mirror or self.base).rstrip("/")
        return {name: f"{base}/{path}" for name, path in self.paths.items()}


ARCHIVE = "archive.tar.gz"
_TASK = r"[A-Za-z0-9_.-]{1,80}\.json"
# The licence comes along; it is no part of the digest.
LICENCE = "LICENSE"


def _github(repository: str, commit: str) -> dict[str, str]:
    return {ARCHIVE: f"{repository}/tar.gz/{commit}"}


def _hub(repository: str) -> dict[str, str]:
    path = f"datasets/{repository}/resolve/main"
    return {"train.csv": f"{path}/train.csv", "test.csv": f"{path}/test.csv"}


SOURCES = {
    "arc1": Source(
        title="ARC-AGI-1, 800 tasks",
        pinned="fchollet/ARC-AGI @ 399030444e0ab0cc8b4e199870fb20b863846f34",
        licence="Apache-2.0",
        base=GITHUB,
        paths=_github("fchollet/ARC-AGI", "399030444e0ab0cc8b4e199870fb20b863846f34"),
        most_bytes=64 * _MIB,
        tasks=re.compile(rf"data/(?:training|evaluation)/{_TASK}"),
        digest="bf64e6847345aa14d8ff769836b491e26a0e984847311fe319301da1444cad2d",
        count=800,
    ),
    "arc2": Source(
        title="ARC-AGI-2, 1120 tasks",
        pinned="arcprize/ARC-AGI-2 @ f3283f727488ad98fe575ea6a5ac981e4a188e49",
        licence="Apache-2.0",
        base=GITHUB,
        paths=_github("arcprize/ARC-AGI-2", "f3283f727488ad98fe575ea6a5ac981e4a188e49"),
        most_bytes=64 * _MIB,
        tasks=re.compile(rf"data/(?:training|evaluation)/{_TASK}"),
        digest="c96f67f78d09aaaec9301427d3f60e9de28fe3b11d309d7caa9f73dfc8ebc546",
        count=1120,
    ),
    "conceptarc": Source(
        title="ConceptARC, 160 tasks",
        pinned="victorvikram/ConceptARC @ b22ef526b4656679816b7811e78f55cc24d736d7",
        licence="MIT",
        base=GITHUB,
        paths=_github("victorvikram/ConceptARC", "b22ef526b4656679816b7811e78f55cc24d736d7"),
        most_bytes=64 * _MIB,
        tasks=re.compile(rf"corpus/[A-Za-z0-9_-]{{1,80}}/{_TASK}"),
        digest="5cc9ae2c892b9a7c5c99c7f4a881febe9cc1a92bb3f03b3170b972c1e6319210",
        count=160,
    ),
    "sudoku": Source(
        title="Sudoku-Extreme, 4.3 million puzzles, 0.8 GB",
        pinned="sapientinc/sudoku-extreme @ main",
        licence="none declared",
        base=HUB,
        paths=_hub("sapientinc/sudoku-extreme"),
        most_bytes=4096 * _MIB,
        rows={"train.csv": 3_831_994, "test.csv": 422_786},
    ),
    "maze": Source(
        title="Maze-Hard 30x30, 2000 mazes",
        pinned="sapientinc/maze-30x30-hard-1k @ main",
        licence="none declared",
        base=HUB,
        paths=_hub("sapientinc/maze-30x30-hard-1k"),
        most_bytes=64 * _MIB,
        rows={"train.csv": 1000, "test.csv": 1000},
    ),
}


def digest_of(files: Mapping[str, bytes]) -> str:
    """sha256 over one line `path NUL sha256 newline` for each file, sorted by path."""
    total = hashlib.sha256()
    for path in sorted(files):
        total.update(f"{path}\0{hashlib.sha256(files[path]).hexdigest()}\n".encode())
    return total.hexdigest()
