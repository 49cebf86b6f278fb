"""The peers of the loader benchmark read what they should, by the law they stand for."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from benchmarks import loader_readers, loader_sets, loader_targets
from benchmarks.tiny.data_sets import row_numbers, write_dense, write_grouped
from hrm_scale.data import open_dataset

GROUPS = [[3, 2, 4], [4], [1, 1, 2, 1], [2, 5]] * 3


def test_arrays_for_the_peers_are_the_data_set(tmp_path: Path) -> None:
    dataset = open_dataset(write_grouped(tmp_path / "d", GROUPS))
    loader_sets.write_arrays(dataset, tmp_path / "a")
    arrays = open_dataset(tmp_path / "a")
    names = ["inputs", "labels", "puzzle_identifiers", "groups", "puzzles"]
    for name, array in dataset.read("train", names, 0, 999).items():
        assert (arrays.read("train", [name], 0, 999)[name] == array).all()
    striped = open_dataset(write_dense(tmp_path / "s", groups=7, count=4))
    loader_sets.write_arrays(striped, tmp_path / "b")
    rows = open_dataset(tmp_path / "b").read("train", ["inputs", "groups", "puzzles"], 0, 999)
    assert rows["groups"].tolist() == np.repeat(np.arange(7), 5).tolist()
    assert rows["puzzles"].tolist() == list(range(35))
    stored = striped.read("train", ["inputs"], 0, 999)["inputs"]
    assert sorted(map(bytes, rows["inputs"])) == sorted(map(bytes, stored))


def test_reference_style_packs_one_puzzle_of_each_group(tmp_path: Path) -> None:
    dataset = open_dataset(write_grouped(tmp_path / "d", GROUPS))
    loader_sets.write_arrays(dataset, tmp_path / "a")
    job = {"arrays": str(tmp_path / "a"), "batch": 16, "seed": 3, "ignored": 0}
    sizes = [size for group in GROUPS for size in group]
    puzzle_of_row = np.repeat(np.arange(len(sizes)), sizes)
    group_of_puzzle = np.repeat(np.arange(len(GROUPS)), [len(group) for group in GROUPS])
    drawn: list[int] = []
    for inputs, _, identifiers in islice(loader_readers.reference_style(job), 40):
        rows = row_numbers(inputs)
        assert (puzzle_of_row[rows] == identifiers).all()
        starts = np.flatnonzero(np.append(True, identifiers[1:] != identifiers[:-1]))
        for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
            whole = sizes[identifiers[start]]
            taken = rows[start:stop].tolist()
            # Only the last puzzle of a batch may be cut; two draws of it may follow each other.
            assert len(set(taken)) == len(taken) or len(taken) > whole
            assert len(taken) >= whole or stop == len(rows)
            drawn.append(int(group_of_puzzle[identifiers[start]]))
    for epoch in range(len(drawn) // len(GROUPS) - 1):
        part = drawn[epoch * len(GROUPS) : (epoch + 1) * len(GROUPS)]
        assert sorted(part) == list(range(len(GROUPS)))


@pytest.mark.parametrize("kind", ["sudoku", "arc"])
def test_targets_are_judged(kind: str) -> None:
    names = [
        "ours",
        "ours, no thread",
        "ours, widen on the device",
        "ours, widen on device, no thread",
        "ours, online, no thread",
        "plain mmap gather",
        "webdataset, these shards",
        "reference style, 0 workers",
        "reference style, 1 worker",
    ]
    row = {"samples_per_s": 10.0, "cpu_us": 0.5, "anonymous_mib": 9.0}
    results = {name: dict(row) for name in names}
    found = {
        check["what"]: check
        for check in loader_targets.checks(kind, results, resume_ms=3, size=1.0, smaller=301)
    }
    assert found["million online examples/s/core"]["value"] == 2.0
    assert found["million online examples/s/core"]["met"]
    assert found["times smaller than arrays, online"]["met"]
    assert not found["times plain mmap gather"]["met"]
    assert ("times reference style, its best" in found) is (kind == "arc")
