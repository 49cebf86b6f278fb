"""Read puzzles from CSV files: finding the files, their rows in blocks, what is wrong with them."""

from __future__ import annotations

import csv
import gzip
import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import IO

import numpy as np

from hrm_scale.base.errors import DataError

BLOCK = 1 << 16
_SHOWN = 3
_BAD = 255


class Problems:
    """Unusable rows of a file: all are counted, the first few described."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: set[int] = set()
        self._first: list[str] = []

    def add(self, row: int, text: str) -> None:
        if row not in self.rows and len(self._first) < _SHOWN:
            self._first.append(f"row {row} (line {row + 1}): {text}")
        self.rows.add(row)

    def raise_if_any(self, total: int) -> None:
        if not self.rows:
            return
        found = len(self.rows)
        more = f"; and {found - len(self._first)} more" if found > len(self._first) else ""
        raise DataError(
            f"{self.name}: {found} of {total} rows cannot be used: {'; '.join(self._first)}{more}"
            " · nothing was written: correct or remove them and start again"
        )


def find_files(path: Path) -> dict[str, Path]:
    """The files of `--input`: {"train": ..., "test": ...} of a folder, {"train": ...} of a file."""
    if path.is_file():
        return {"train": path}
    if not path.is_dir():
        raise DataError(
            f"{path}: no such file or folder: give --input a CSV file or a folder with two"
        )
    files = {}
    for split in ("train", "test"):
        choices = [path / f"{split}.csv", path / f"{split}.csv.gz"]
        present = [choice for choice in choices if choice.is_file()]
        if not present:
            raise DataError(
                f"{path}: holds neither {split}.csv nor {split}.csv.gz: "
                "give --input a folder with train and test, or one CSV file"
            )
        files[split] = present[0]
    return files


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[list[tuple[str, ...]]]:
    """Rows of a CSV file, many at a time: the texts of two or more `columns`, as they stand.

    .csv or .csv.gz, UTF-8, with a header. A row that is too short is empty throughout. DataError
    when it is no such file.
    """
    total = 0
    try:
        with _open(path) as stream:
            reader = csv.reader(stream)
            header = [name.strip() for name in next(reader, [])]
            missing = [name for name in columns if name not in header]
            if missing:
                shown = ",".join(header)[:80]
                raise DataError(
                    f"{path}: the header lacks {', '.join(missing)} (it is {shown!r}): "
                    f"expected the columns {','.join(columns)}"
                )
            width = len(header)
            fields = itemgetter(*map(header.index, columns))
            empty = ("",) * len(columns)
            while chunk := list(islice(reader, BLOCK)):
                while chunk and not chunk[-1]:  # blank lines at the end
                    chunk.pop()
                if not chunk:
                    return
                total += len(chunk)
                yield [fields(row) if len(row) >= width else empty for row in chunk]
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged gzip file ({error}): fetch it again") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: not a CSV text file, after row {total} ({error}): give a UTF-8 file with the "
            f"columns {','.join(columns)}"
        ) from error


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open("r", encoding="utf-8-sig", newline="")


def decode(
    texts: list[str],
    name: str,
    alphabet: Mapping[str, int],
    allowed: str,
    cells: int,
    numbers: np.ndarray,
    problems: Problems,
) -> np.ndarray:
    """Boards `uint8 [n, cells]` of their texts, a character of the alphabet for each cell.

    name: of the column, and allowed: the alphabet in words, both for messages. numbers: the rows'
    numbers. Unusable rows are noted in `problems` and hold anything.
    """
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    if (lengths != cells).any():
        for index in np.flatnonzero(lengths != cells):
            problems.add(
                int(numbers[index]), f"{name} has {lengths[index]} characters, expected {cells}"
            )
        filler = next(iter(alphabet)) * cells
        texts = [text if len(text) == cells else filler for text in texts]
    # A character outside ASCII becomes one "?", so the length stays.
    raw = np.frombuffer("".join(texts).encode("ascii", "replace"), np.uint8).reshape(-1, cells)
    value = np.full(256, _BAD, np.uint8)
    for character, token in alphabet.items():
        value[ord(character)] = token
    boards = value[raw]
    for index in np.flatnonzero((boards == _BAD).any(axis=1)):
        cell = int(np.flatnonzero(boards[index] == _BAD)[0])
        problems.add(
            int(numbers[index]),
            f"{name} has {texts[index][cell]!r} at character {cell + 1}, allowed are {allowed}",
        )
    boards[boards == _BAD] = next(iter(alphabet.values()))
    return boards
