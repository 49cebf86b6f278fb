"""Examples in CSV files: boards as strings, one character for each cell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hrm_scale.base.errors import ConfigError, DataError

from ..builder.csv_rows import Problems, decode, read_rows
from .source import Piece, Request, Source

_DEFAULT = {"inputs": "question", "labels": "answer"}
_NUMBERS = ("puzzle_identifiers", "groups", "puzzles")


class CsvSource(Source):
    """Rows of CSV files. The characters of --charset are tokens 1, 2, ..."""

    def __init__(self, request: Request, files: dict[str, list[Path]]) -> None:
        super().__init__(request, files)
        if request.charset is None:
            raise ConfigError(
                f"{self.name}: a CSV file needs --charset: the characters of tokens 1, 2, ... in "
                "order, such as '.123456789'; Sudoku: `python -m shards.sudoku --source csv`, "
                "mazes: `python -m shards.maze --source csv`"
            )
        self._charset = request.charset
        self._alphabet = {character: 1 + i for i, character in enumerate(request.charset)}
        self._columns = {**_DEFAULT, **request.columns}

    def pieces(self, split: str) -> Iterator[Piece]:
        cells = 0
        for path in self.files[split]:
            problems, total = Problems(str(path)), 0
            for rows in read_rows(path, list(self._columns.values())):
                texts = dict(zip(self._columns, zip(*rows, strict=True), strict=True))
                if not cells:
                    cells = len(texts["inputs"][0])
                if not cells:
                    raise DataError(f"{path}: row 1 has an empty {self._columns['inputs']}")
                numbers = np.arange(total + 1, total + 1 + len(rows))
                piece = {
                    name: decode(
                        list(texts[name]),
                        self._columns[name],
                        self._alphabet,
                        repr(self._charset),
                        cells,
                        numbers,
                        problems,
                    ).astype(np.int64)
                    for name in _DEFAULT
                }
                for name in _NUMBERS:
                    if name in texts:
                        piece[name] = self._whole(name, texts[name], numbers, problems)
                total += len(rows)
                problems.raise_if_any(total)
                yield piece

    def _whole(
        self, name: str, texts: tuple[str, ...], numbers: np.ndarray, problems: Problems
    ) -> np.ndarray:
        found = np.zeros(len(texts), np.int64)
        for at, text in enumerate(texts):
            if not (text.strip().isascii() and text.strip().isdigit() and len(text) < 18):
                problems.add(int(numbers[at]), f"{self._columns[name]} is {text[:20]!r}, no number")
            else:
                found[at] = int(text)
        return found
