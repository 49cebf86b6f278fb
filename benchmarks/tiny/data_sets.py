"""Small data sets for tests: valid Sudokus without a solver, and sets of any group structure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hrm_scale.data import DatasetMeta, DatasetWriter
from hrm_scale.puzzles.sudoku.puzzle import Sudoku

BOARDS = {
    4: {"height": 4, "width": 4, "box_height": 2, "box_width": 2},
    6: {"height": 6, "width": 6, "box_height": 2, "box_width": 3},
    9: {"height": 9, "width": 9, "box_height": 3, "box_width": 3},
}


def solved_boards(size: int, count: int, seed: int = 5) -> np.ndarray:
    """Valid solutions as label tokens, uint8 [count, size * size]."""
    board = BOARDS[size]
    row, column = np.divmod(np.arange(size * size), size)
    height, width = board["box_height"], board["box_width"]
    base = ((row % height) * width + row // height + column) % size + 2
    boards = np.repeat(base[None].astype(np.uint8), count, axis=0)
    numbers = np.arange(count)
    return Sudoku(**board).symmetry.augment(boards, boards, numbers, numbers + 1, seed)[1]


def puzzles(size: int, count: int, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """(inputs, labels): solutions with about half of the cells blanked."""
    labels = solved_boards(size, count, seed)
    blank = np.random.default_rng(seed).random(labels.shape) < 0.5
    return np.where(blank, 1, labels).astype(np.uint8), labels


def columns(inputs: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "inputs": inputs,
        "labels": labels,
        "puzzle_identifiers": np.zeros(len(inputs), np.int32),
        "groups": groups.astype(np.int32),
    }


def sudoku_meta(size: int, storage: str, count: int = 7, **changes: Any) -> DatasetMeta:
    settings: dict[str, Any] = {
        "kind": "sudoku",
        "storage": storage,
        "vocab_size": size + 2,
        "seq_len": size * size,
        "pad_id": 0,
        "ignore_label_id": 0,
        "blank_identifier_id": 0,
        "num_puzzle_identifiers": 1,
        "board": BOARDS[size],
        "augmentation": {"kind": "sudoku", "count": count, "seed": 3},
    }
    return DatasetMeta(**{**settings, **changes})


def write_online(path: Path, *, size: int = 4, examples: int = 100, **options: Any) -> Path:
    """An online Sudoku set with `train` and a `test` split of 10 fewer examples."""
    inputs, labels = puzzles(size, examples)
    groups = np.arange(examples)
    with DatasetWriter(path, sudoku_meta(size, "online"), **options) as writer:
        writer.write_split("train", [columns(inputs, labels, groups)])
        writer.write_split("test", [columns(inputs[10:], labels[10:], groups[10:])])
    return path


def write_dense(
    path: Path, *, size: int = 4, groups: int = 30, count: int = 4, **options: Any
) -> Path:
    """A striped dense Sudoku set: stripe k holds augmentation (k + group) mod (count + 1)."""
    inputs, labels = puzzles(size, groups)
    numbers, symmetry = np.arange(groups), Sudoku(**BOARDS[size]).symmetry
    with (
        DatasetWriter(path, sudoku_meta(size, "dense", count), **options) as writer,
        writer.split("train") as split,
    ):
        for stripe in range(count + 1):
            index = (stripe + numbers) % (count + 1)
            made = symmetry.augment(inputs, labels, numbers, index, 3)
            order = np.random.default_rng(stripe).permutation(groups)
            split.write(columns(made[0][order], made[1][order], numbers[order]))
            split.end_stripe()
    return path


def write_grouped(
    path: Path, puzzles_of_group: list[list[int]], *, seq_len: int = 5, **options: Any
) -> Path:
    """A dense set; puzzles_of_group[g] lists the numbers of examples of the puzzles of group g.

    Row i holds its own number in its first three input tokens (base 200), so that a batch tells
    which rows it was made of. Identifiers are puzzle numbers.
    """
    groups: list[int] = []
    numbers: list[int] = []
    for group, sizes in enumerate(puzzles_of_group):
        for size in sizes:
            numbers += [max(numbers, default=-1) + 1] * size
            groups += [group] * size
    count = len(groups)
    inputs = np.zeros((count, seq_len), np.uint8)
    for digit in range(3):
        inputs[:, digit] = np.arange(count) // 200**digit % 200
    meta = DatasetMeta(
        kind="arc",
        storage="dense",
        vocab_size=200,
        seq_len=seq_len,
        pad_id=0,
        ignore_label_id=0,
        blank_identifier_id=0,
        num_puzzle_identifiers=numbers[-1] + 1,
    )
    piece = columns(inputs, inputs, np.array(groups))
    piece["puzzle_identifiers"] = np.array(numbers, np.int32)
    piece["puzzles"] = np.array(numbers, np.int32)
    with DatasetWriter(path, meta, **options) as writer:
        writer.write_split("train", [piece])
        writer.write_identifiers([f"puzzle{i}" for i in range(numbers[-1] + 1)])
    return path


def row_numbers(inputs: np.ndarray) -> np.ndarray:
    """The row numbers that `write_grouped` put into the tokens."""
    return inputs[:, :3] @ np.array([1, 200, 40000])
