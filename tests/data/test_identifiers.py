"""Names, tasks and variants of puzzle identifiers, and what is said of damaged files."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.tiny.data_sets import columns, write_grouped
from hrm_scale.base.errors import DataError
from hrm_scale.data import DatasetMeta, DatasetWriter, open_dataset
from hrm_scale.puzzles.arc.grid import IDENTITY, variant_name

RUNS = [["<blank>", 1], ["007bbfb7", 3], ["a", 1]]


def variants() -> np.ndarray:
    rng = np.random.default_rng(0)
    table = np.tile(IDENTITY, (5, 1))
    for row in (2, 3):
        table[row] = [row, *rng.permutation(10)]
    return table


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def write_arc(path: Path, names: bytes, table: bytes, **hashes: str) -> Path:
    augmentation = {"kind": "arc", "count": 2, "seed": 0, **hashes}
    meta = DatasetMeta(
        kind="arc",
        storage="dense",
        vocab_size=12,
        seq_len=900,
        pad_id=0,
        ignore_label_id=0,
        blank_identifier_id=0,
        num_puzzle_identifiers=5,
        augmentation=augmentation,
    )
    rows = np.zeros((8, 900), np.uint8)
    with DatasetWriter(path, meta) as writer:
        writer.write_split("train", [columns(rows, rows, np.arange(8))])
        writer.write_identifiers(["x"] * 5)
    (path / "identifiers.json").write_bytes(names)
    (path / "augmentations.npy").write_bytes(table)
    return path


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_runs_give_names_tasks_and_variants(tmp_path: Path) -> None:
    names, table = json.dumps(RUNS).encode(), npy(variants())
    hashes = {"names_sha256": sha256(names), "table_sha256": sha256(table)}
    dataset = open_dataset(write_arc(tmp_path / "d", names, table, **hashes))
    assert dataset.tasks() == [("<blank>", 0, 1), ("007bbfb7", 1, 3), ("a", 4, 1)]
    assert (dataset.augmentations() == variants()).all()
    expected = [
        variant_name(task, variants()[row])
        for task, first, count in dataset.tasks()
        for row in range(first, first + count)
    ]
    assert dataset.identifiers() == expected
    assert len(set(expected)) == 5


@pytest.mark.parametrize("file", ["identifiers.json", "augmentations.npy"])
def test_changed_files_are_refused_by_their_hash(tmp_path: Path, file: str) -> None:
    names, table = json.dumps(RUNS).encode(), npy(variants())
    hashes = {"names_sha256": sha256(names), "table_sha256": sha256(table)}
    path = write_arc(tmp_path / "d", names, table, **hashes)
    changed = (path / file).read_bytes().replace(b"007", b"008") + b" "
    (path / file).write_bytes(changed[: len(table)] if file.endswith("npy") else changed)
    if file.endswith("npy"):
        (path / file).write_bytes(npy(np.tile(IDENTITY, (5, 1))))
    with pytest.raises(DataError, match=r"sha256 is not augmentation\.\w+_sha256") as caught:
        open_dataset(path).identifiers()
    assert "\n" not in str(caught.value)
    assert file in str(caught.value)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (b"{}", "neither names nor pairs"),
        (b'[["a", 0], ["b", 5]]', "neither names nor pairs"),
        (b'[["a", true], ["b", 4]]', "neither names nor pairs"),
        (b'[["a", 4]]', "counts 4 identifiers, not 5"),
        (b'["a"]', "does not hold 5 names"),
        (b"[", "not valid JSON"),
    ],
)
def test_foreign_identifiers_are_one_line(tmp_path: Path, names: bytes, words: str) -> None:
    path = write_arc(tmp_path / "d", names, npy(variants()))
    with pytest.raises(DataError, match=words) as caught:
        open_dataset(path).tasks()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (npy(variants()[:4]), r"expected \|u1 \(5, 11\)"),
        (npy(variants().astype(np.int16)), "expected|allowed are"),
        (npy(np.zeros((5, 11), np.uint8)), "no variant of a grid"),
        (npy(variants() + np.array([8] + [0] * 10, np.uint8)), "no variant of a grid"),
        (b"nothing", "augmentations.npy"),
    ],
)
def test_foreign_tables_are_one_line(tmp_path: Path, table: bytes, words: str) -> None:
    path = write_arc(tmp_path / "d", json.dumps(RUNS).encode(), table)
    with pytest.raises(DataError, match=words) as caught:
        open_dataset(path).identifiers()
    assert "\n" not in str(caught.value)


def test_plain_names_have_tasks_too(tmp_path: Path) -> None:
    path = write_grouped(tmp_path / "d", [[1], [1, 1], [2]])
    names = ["<blank>", "x", variant_name("x", variants()[2]), "y"]
    (path / "identifiers.json").write_text(json.dumps(names))
    dataset = open_dataset(path)
    assert dataset.identifiers() == names
    assert dataset.tasks() == [("<blank>", 0, 1), ("x", 1, 2), ("y", 3, 1)]
    with pytest.raises(DataError, match=r"augmentations\.npy: missing"):
        dataset.augmentations()
