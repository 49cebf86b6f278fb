"""Files beside the splits of a data set, through the writer: names as runs, and further files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hrm_scale.base.errors import DataError
from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.data.format.writer import DatasetWriter, identifiers_json

META = DatasetMeta("arc", "online", 12, 4, 0, 0, 0, 6)
ROW = {
    "inputs": np.zeros((1, 4), np.uint8),
    "labels": np.zeros((1, 4), np.uint8),
    "puzzle_identifiers": np.ones(1, "<i4"),
    "groups": np.zeros(1, "<i4"),
}
RUNS: list[list[str | int]] = [["<blank>", 1], ["a", 2], ['b"é', 3]]


def build(path: Path, runs: list[list[str | int]], name: str) -> None:
    with DatasetWriter(path, META) as writer:
        writer.write_split("train", [ROW])
        writer.write_file(name, b"bytes")
        writer.write_identifiers(runs)
        assert not path.exists()


def test_runs_and_further_files_land_in_the_data_set(tmp_path: Path) -> None:
    build(tmp_path / "set", RUNS, "table.npy")
    assert (tmp_path / "set" / "table.npy").read_bytes() == b"bytes"
    stored = (tmp_path / "set" / "identifiers.json").read_bytes()
    assert stored == identifiers_json(RUNS)
    assert json.loads(stored) == RUNS


def test_names_keep_their_bytes() -> None:
    names = ["<blank>", "a"]
    assert identifiers_json(names).decode() == json.dumps(names, indent=0) + "\n"


@pytest.mark.parametrize("name", ["dataset.json", "identifiers.json", "train", "../x", "a/b", ".x"])
def test_other_names_are_refused_and_nothing_is_left(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError):
        build(tmp_path / "set", RUNS, name)
    assert list(tmp_path.iterdir()) == []


def test_runs_must_add_up(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="5 identifier names for num_puzzle_identifiers=6"):
        build(tmp_path / "set", [["<blank>", 1], ["a", 4]], "table.npy")
