"""Boards written as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hrm_scale.base.errors import DataError


def counted(number: int, one: str, many: str) -> str:
    """``1 cell``, ``2 cells``: the number and the words for one or for several."""
    return f"{number} {one if number == 1 else many}"


def lines_of(text: str) -> list[str]:
    """Lines as an editor counts them, white space at their ends included."""
    return [line.removesuffix("\r") for line in text.split("\n")]


def read_board(
    rows: Sequence[str],
    sides: tuple[int, int],
    tokens: Mapping[str, int],
    allowed: str,
    where: str,
) -> np.ndarray:
    """The grid uint8 [h, w] in the characters of one row or several (empty ones do not
    count). DataError naming the first character or row that is wrong."""
    height, width = sides
    rows = [row for row in rows if row]
    characters = "".join(rows)
    for number, character in enumerate(characters):
        if character not in tokens:
            row, column = divmod(number, width)
            raise DataError(
                f"{where}: character {number + 1} of the puzzle (row {row + 1}, column"
                f" {column + 1}) is {character!r}; allowed are {allowed}"
            )
    if len(characters) != height * width:
        odd = [(n, len(row)) for n, row in enumerate(rows, start=1) if len(row) != width]
        drawn = f" (row {odd[0][0]} has {odd[0][1]})" if len(rows) > 1 and odd else ""
        raise DataError(
            f"{where}: the puzzle has {counted(len(characters), 'cell', 'cells')}{drawn}, the"
            f" checkpoint solves boards of {height * width} ({height} x {width}): write it all on"
            f" one line, row after row, or {height} lines of {width} cells; allowed are {allowed}"
        )
    grid = np.array([tokens[character] for character in characters], np.uint8)
    return grid.reshape(height, width)
