"""What a published ARC folder does not say in so many words: variants, places of grids, tasks."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.base.untrusted import parse_json, read_bytes
from hrm_scale.data.format.identifier_table import Task
from hrm_scale.data.format.meta import MAX_JSON_BYTES, TEST_PUZZLES_FILE, canonical_json, npy_header
from hrm_scale.data.format.writer import identifiers_json
from hrm_scale.data.read.array_folder import ArrayFolder
from hrm_scale.puzzles.arc.grid import FIRST_COLOUR, SIDE, crop


@dataclass(frozen=True)
class ArcTable:
    """Tasks as runs of identifiers, and the bytes of `augmentations.npy`."""

    tasks: list[Task]
    augmentations_npy: bytes

    def augmentation(self) -> dict[str, Any]:
        """`augmentation` of dataset.json; the published folder does not tell its seed."""
        names = identifiers_json([[name, count] for name, _, count in self.tasks])
        return {
            "kind": "arc",
            "count": max(count for _, _, count in self.tasks) - 1,
            "seed": 0,
            "table_sha256": hashlib.sha256(self.augmentations_npy).hexdigest(),
            "names_sha256": hashlib.sha256(names).hexdigest(),
        }


def read_table(folder: ArrayFolder) -> ArcTable | None:
    """None where the identifiers are not one run for each task, the original first."""
    folder.identifiers()  # a damaged file is an error, not a reason to go without
    try:
        tasks = folder.tasks()
    except DataError:
        return None
    table = folder.augmentations()
    return ArcTable(tasks, npy_header("|u1", table.shape) + table.tobytes())


def locate(inputs: np.ndarray, labels: np.ndarray, where: str) -> dict[str, np.ndarray]:
    """Columns shapes and offsets of rows [n, 900]. DataError for what is no pair of ARC grids.

    A grid is the rectangle of colours; the corner that input and output share is its offset.
    """
    corners, sides = [], []
    for tokens in (inputs, labels):
        colours = tokens.reshape(-1, SIDE, SIDE) >= FIRST_COLOUR
        rows, columns = colours.any(axis=2), colours.any(axis=1)
        corner = np.stack([rows.argmax(axis=1), columns.argmax(axis=1)], axis=1)
        side = np.stack([rows.sum(axis=1), columns.sum(axis=1)], axis=1)
        whole = colours.sum(axis=(1, 2)) == side.prod(axis=1)
        if len(wrong := np.flatnonzero(~(whole & (side > 0).all(axis=1)))):
            raise DataError(
                f"{where} and {wrong[0]} after it: its tokens are no rectangle of colours: "
                "say --kind other to convert it as it is"
            )
        corners.append(corner)
        sides.append(side)
    if len(wrong := np.flatnonzero((corners[0] != corners[1]).any(axis=1))):
        raise DataError(
            f"{where} and {wrong[0]} after it: input and output begin at different places: "
            "say --kind other to convert it as it is"
        )
    return {
        "shapes": np.concatenate(sides, axis=1).astype(np.uint8),
        "offsets": corners[0].astype(np.uint8),
    }


def test_puzzles(folder: ArrayFolder, tasks: list[Task]) -> bytes | None:
    """`test_puzzles.json`: as published beside the arrays (TRM), else read out of the arrays."""
    file = folder.path / TEST_PUZZLES_FILE
    if file.exists():
        try:
            return canonical_json(parse_json(read_bytes(file, MAX_JSON_BYTES, links=True))) + b"\n"
        except ValueError as error:
            raise DataError(f"{file}: {error}: restore or remove it") from error
    if "test" not in folder.meta.splits:
        return None
    name_of = {first: name for name, first, _ in tasks}
    found: dict[str, dict[str, Any]] = {}
    for split in ("test", "train"):
        if split not in folder.meta.splits:
            continue
        reader = folder.reader(split, verify=False)  # only ids, and rows already read
        for record in range(reader.index.records):
            numbers = reader.columns(record, ["puzzle_identifiers"])["puzzle_identifiers"]
            originals = np.flatnonzero(np.isin(numbers, list(name_of)))
            if not len(originals):
                continue
            columns = reader.columns(record, ["inputs", "labels"])
            for row in originals.tolist():
                name = name_of[int(numbers[row])]
                if split == "train" and name not in found:
                    continue
                pair = [columns[column][row] for column in ("inputs", "labels")]
                grids = dict(zip(("input", "output"), map(_grid, pair), strict=True))
                entry = found.setdefault(name, {"train": [], "test": []})
                entry[split].append(grids)
    return (json.dumps(found, separators=(",", ":"), ensure_ascii=True) + "\n").encode()


def _grid(tokens: np.ndarray) -> list[list[int]]:
    colours = tokens.reshape(SIDE, SIDE) >= FIRST_COLOUR
    row, column = int(colours.any(axis=1).argmax()), int(colours.any(axis=0).argmax())
    return crop(tokens, row, column).tolist()
