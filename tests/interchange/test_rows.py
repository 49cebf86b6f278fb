"""Rows of a puzzle table by name, more of them, fewer of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hrm_scale.base.errors import CheckpointError, DataError
from hrm_scale.interchange import rows

COLOURS = st.permutations(range(10)).map(lambda order: "".join(map(str, order)))
VARIANTS = st.tuples(st.sampled_from("abc"), st.integers(0, 7), COLOURS)


def spelled(variant: tuple[str, int, str], hrm: bool) -> str:
    task, number, colours = variant
    return f"{task}_t{number}_{colours}" if hrm else f"{task}|||t{number}|||{colours}"


@given(st.lists(VARIANTS, unique=True, max_size=20), st.data())
def test_rows_follow_their_puzzle_in_either_spelling(
    variants: list[tuple[str, int, str]], data: st.DataObject
) -> None:
    here = data.draw(st.permutations(variants))
    kept = data.draw(st.lists(st.booleans(), min_size=len(here), max_size=len(here)))
    there = [v for v, keep in zip(variants, kept, strict=True) if keep]
    table = torch.arange(1.0, 1 + len(there)).repeat(2, 1).T
    source = rows.places([spelled(v, True) for v in there], [spelled(v, False) for v in here])
    found = rows.gathered(lambda a, b: table[a:b], source, len(there), 2)
    for variant, row in zip(here, found, strict=True):
        expected = there.index(variant) + 1 if variant in there else 0
        assert row.tolist() == [expected, expected]


def test_a_large_table_is_read_in_pieces() -> None:
    count = (1 << 16) + 5
    source = np.array([count - 1, -1, 0, 1 << 16])
    table = torch.arange(float(count)).unsqueeze(1)
    asked: list[tuple[int, int]] = []

    def read(start: int, stop: int) -> torch.Tensor:
        asked.append((start, stop))
        return table[start:stop]

    assert rows.gathered(read, source, count, 1).flatten().tolist() == [count - 1, 0, 0, 1 << 16]
    assert asked == [(0, 1 << 16), (1 << 16, count)]


TABLE = torch.tensor([[0.0], [1.0], [2.0]])


def test_ways() -> None:
    assert rows.kept(TABLE, 3, "it", "data")[0] is TABLE
    assert rows.kept(TABLE, None, "it", "data")[0] is TABLE
    with pytest.raises(CheckpointError, match=r"3 rows, data has 5 .* remap .*extend .*drop"):
        rows.kept(TABLE, 5, "it", "data")
    assert rows.extended(TABLE, 5, "it", "data")[0].flatten().tolist() == [0, 1, 2, 0, 0]
    with pytest.raises(CheckpointError, match="more than the 2 identifiers"):
        rows.extended(TABLE, 2, "it", "data")
    assert rows.dropped(TABLE, 1)[0].tolist() == [[1.0]]


def test_remapping() -> None:
    here = ["<blank>", "b", "x", "a"]
    moved, says = rows.remapped(TABLE, ["<blank>", "a", "b"], here, "it", "data")
    assert moved.flatten().tolist() == [0, 2, 0, 1]
    assert says.startswith("3 of 4 rows by name, 1 ")
    with pytest.raises(CheckpointError, match="3 rows, its identifiers file 2 names"):
        rows.remapped(TABLE, ["<blank>", "a"], here, "it", "data")
    with pytest.raises(CheckpointError, match="1 are in its identifiers file: other puzzles"):
        rows.remapped(TABLE, ["<blank>", "p", "q"], here, "it", "data")
    with pytest.raises(DataError, match="twice"):
        rows.remapped(TABLE, ["<blank>", "a", "a"], here, "it", "data")


def test_names_file(tmp_path: Path) -> None:
    file = tmp_path / "identifiers.json"
    with pytest.raises(DataError, match="--identifiers-file"):
        rows.read_names(file)
    file.write_text(json.dumps(["a", "b"]))
    assert rows.read_names(file) == ["a", "b"]
    for wrong in ('{"a": 1}', "[1]", "["):
        file.write_text(wrong)
        with pytest.raises(DataError, match=r"list of names|published identifiers"):
            rows.read_names(file)
