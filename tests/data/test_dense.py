"""Dense storage: every symmetry of every group exactly once, one per stripe."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hrm_scale.data import DatasetMeta, DatasetWriter, open_dataset
from hrm_scale.data.format.dense import write_dense
from hrm_scale.puzzles.sudoku.puzzle import Sudoku

COUNT, GROUPS = 4, 30


def test_each_stripe_holds_every_group_under_another_symmetry(tmp_path: Path) -> None:
    puzzle = Sudoku(4, 4, 2, 2)
    meta = DatasetMeta(
        kind="sudoku",
        storage="dense",
        vocab_size=6,
        seq_len=16,
        pad_id=0,
        ignore_label_id=0,
        blank_identifier_id=0,
        num_puzzle_identifiers=1,
        board=puzzle.board,
        augmentation={"kind": "sudoku", "count": COUNT, "seed": 5},
    )
    board = puzzle.parse("1234341221434321", "here", answer=True).reshape(1, -1)
    columns = {
        "inputs": np.repeat(board, GROUPS, axis=0),
        "labels": np.repeat(board, GROUPS, axis=0),
        "puzzle_identifiers": np.zeros(GROUPS, np.int32),
        "groups": np.arange(GROUPS, dtype=np.int32),
        "ratings": np.arange(100, 100 + GROUPS, dtype=np.int32),
    }
    asked: list[np.ndarray] = []
    stripes: list[int] = []

    def augment(
        inputs: np.ndarray, labels: np.ndarray, groups: np.ndarray, index: np.ndarray, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        asked.append(index)
        return puzzle.symmetry.augment(inputs, labels, groups, index, seed)

    with DatasetWriter(tmp_path / "set", meta) as writer:
        write_dense(writer, columns, augment, COUNT, 5, stripes.append)
    assert stripes == [1] * (COUNT + 1)
    # All numbers for each group, and different groups start at different ones.
    numbers = np.stack(asked)
    assert (np.sort(numbers, axis=0) == np.arange(COUNT + 1)[:, None]).all()
    assert len(np.unique(numbers[0])) == COUNT + 1
    dataset = open_dataset(tmp_path / "set")
    assert len(dataset.split("train").stripe_records) == COUNT + 1
    rows = dataset.read("train", list(columns), 0, GROUPS * (COUNT + 1))
    assert (rows["groups"].reshape(COUNT + 1, -1) == np.arange(GROUPS)).all()
    assert (rows["ratings"] == rows["groups"] + 100).all()
    original = rows["inputs"][numbers.ravel() == 0]
    assert (original == board).all()
    assert not (rows["inputs"][numbers.ravel() == 1] == board).all(axis=1).any()
