"""The format: deterministic bytes, readable by others, an index that can be rebuilt."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.tiny.data_sets import (
    columns,
    puzzles,
    sudoku_meta,
    write_dense,
    write_grouped,
    write_online,
)
from hrm_scale.base.errors import DataError
from hrm_scale.data import DatasetWriter, Loader, open_dataset, rebuild_index
from tests.support.disk_calls import record_disk_calls


def folder_bytes(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_same_input_gives_the_same_bytes(tmp_path: Path, compression: str) -> None:
    options = {"chunk_examples": 16, "shard_bytes": 20000, "compression": compression}
    one = folder_bytes(write_online(tmp_path / "one", **options))
    assert one == folder_bytes(write_online(tmp_path / "two", **options))
    assert (
        len([name for name in one if name.startswith("train/shard")]) > 1 or compression != "none"
    )


def test_how_pieces_are_cut_does_not_matter(tmp_path: Path) -> None:
    inputs, labels = puzzles(4, 100)
    groups = np.arange(100)
    for name, steps in (("one", [100]), ("many", [1, 0, 63, 7, 29])):
        with DatasetWriter(tmp_path / name, sudoku_meta(4, "online"), chunk_examples=32) as writer:
            ends = np.cumsum(steps)
            writer.write_split(
                "train",
                [
                    columns(inputs[a:b], labels[a:b], groups[a:b])
                    for a, b in zip(ends - steps, ends, strict=True)
                ],
            )
    assert folder_bytes(tmp_path / "one") == folder_bytes(tmp_path / "many")


def test_members_are_plain_ustar_and_npy(tmp_path: Path) -> None:
    path = write_online(tmp_path / "d", chunk_examples=64) / "train" / "shard-00000.tar"
    inputs = puzzles(4, 100)[0]
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        assert {(m.mtime, m.uid, m.gid, m.uname, m.type) for m in members} == {
            (0, 0, 0, "", tarfile.REGTYPE)
        }
        assert [m.name for m in members[:4]] == [
            "000000.groups.npy",
            "000000.inputs.npy",
            "000000.labels.npy",
            "000000.puzzle_identifiers.npy",
        ]
        content = archive.extractfile("000001.inputs.npy").read()  # type: ignore[union-attr]
    assert (np.load(io.BytesIO(content)) == inputs[64:]).all()
    listing = subprocess.run(
        ["tar", "tvf", str(path)], capture_output=True, text=True, check=True
    ).stdout
    assert len(listing.splitlines()) == 8


def test_extracted_by_tar_and_loaded_by_numpy(tmp_path: Path) -> None:
    source = write_dense(tmp_path / "d")
    subprocess.run(
        ["tar", "xf", str(source / "train" / "shard-00000.tar"), "-C", str(tmp_path)], check=True
    )
    found = np.concatenate([np.load(f) for f in sorted(tmp_path.glob("*.labels.npy"))])
    assert (found == open_dataset(source).read("train", ["labels"], 0, 10**6)["labels"]).all()


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_rebuilt_index_equals_the_written_one(tmp_path: Path, compression: str) -> None:
    path = write_dense(tmp_path / "d", compression=compression, shard_bytes=9000)
    file = path / "train" / "index.json"
    written = file.read_bytes()
    file.unlink()
    rebuild_index(path)
    assert file.read_bytes() == written
    assert len(json.loads(written)["shards"]) > 1


def test_a_missing_index_is_noticed_once_and_not_needed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_online(tmp_path / "d")
    expected = open_dataset(path).read("train", ["inputs"], 0, 100)["inputs"]
    (path / "train" / "index.json").unlink()
    with caplog.at_level(logging.WARNING):
        dataset = open_dataset(path)
        assert (dataset.read("train", ["inputs"], 0, 100)["inputs"] == expected).all()
        Loader(dataset, "train", seed=0, global_batch_size=4).fetch(0, 10)
    assert len(caplog.records) == 1
    assert not (path / "train" / "index.json").exists()


def test_zstd_set_gives_the_same_stream(tmp_path: Path) -> None:
    plain = write_online(tmp_path / "plain", chunk_examples=16)
    packed = write_online(tmp_path / "packed", chunk_examples=16, compression="zstd")
    batches = [
        Loader(open_dataset(path), "train", seed=0, global_batch_size=4, window=3).fetch(5, 250)
        for path in (plain, packed)
    ]
    for one, two in zip(*batches, strict=True):
        assert (one == two).all()


def test_size_is_within_five_percent_of_the_payload(tmp_path: Path) -> None:
    path = write_dense(tmp_path / "d", size=9, groups=1000, count=2)
    stored = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
    assert stored <= 1.05 * 3000 * (81 + 81 + 4 + 4)


@settings(deadline=None, max_examples=25)
@given(
    sizes=st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=4), min_size=1, max_size=12),
    chunk=st.integers(1, 12),
)
def test_a_group_never_straddles_records(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[list[int]], chunk: int
) -> None:
    path = write_grouped(tmp_path_factory.mktemp("g") / "d", sizes, chunk_examples=chunk)
    dataset = open_dataset(path)
    index, info = dataset.index("train"), dataset.split("train")
    groups = dataset.read("train", ["groups"], 0, 10**6)["groups"]
    edges = index.first[1:-1]
    assert (groups[edges - 1] != groups[edges]).all()
    assert info.groups == len(sizes)
    assert info.puzzles == sum(map(len, sizes))
    assert info.examples == sum(map(sum, sizes)) == len(groups)
    assert max(map(sum, sizes), default=0) <= chunk or index.examples.max() >= chunk


def test_an_error_while_writing_leaves_nothing(tmp_path: Path) -> None:
    inputs, labels = puzzles(4, 10)

    def killed() -> None:
        with DatasetWriter(tmp_path / "d", sudoku_meta(4, "online")) as writer:
            writer.write_split("train", [columns(inputs, labels, np.arange(10))])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert list(tmp_path.iterdir()) == []


def test_all_of_a_set_is_durable_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        calls = record_disk_calls(patch, tmp_path)
        out = write_online(tmp_path / "set", shard_bytes=20000)
    temporary = Path(calls[-2][1])
    name = str(temporary)
    assert calls[-3:] == [("fsync", name), ("rename", name, "set"), ("fsync", ".")]
    synced: dict[str, int] = {}
    for number, (call, path, *target) in enumerate(calls[:-2]):
        if call == "fsync":
            synced[path] = number
        elif path in synced:  # what is flushed keeps its contents under its next name
            synced[target[0]] = number
    files = [path.relative_to(out) for path in out.rglob("*") if path.is_file()]
    assert len(files) > 5
    for file in files:
        # The contents first, then the name in its folder.
        assert synced[f"{temporary}/{file}"] < synced[str((temporary / file).parent)], file


def test_existing_folders_are_not_overwritten(tmp_path: Path) -> None:
    path = write_online(tmp_path / "d")
    with pytest.raises(DataError, match="--overwrite"):
        write_online(path)
    before = open_dataset(path).meta.fingerprint
    write_online(path, examples=60, overwrite=True)
    assert open_dataset(path).meta.fingerprint != before
    assert [f.name for f in tmp_path.iterdir()] == ["d"]
    foreign = tmp_path / "mine"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match="is not a data set"):
        write_online(foreign, overwrite=True)
    (tmp_path / "empty").mkdir()
    write_online(tmp_path / "empty")


def test_what_a_builder_may_not_write(tmp_path: Path) -> None:
    inputs, labels = puzzles(4, 6)
    good = columns(inputs, labels, np.arange(6))
    for change, message in (
        ({"inputs": inputs.astype(np.int64)}, "column inputs is <i8"),
        ({"inputs": inputs[:, :5]}, "has shape"),
        ({"inputs": inputs + 4}, "inputs holds"),
        ({"puzzle_identifiers": np.ones(6, np.int32)}, "puzzle_identifiers holds 1"),
        ({"groups": np.array([0, 1, 0, 2, 3, 4], np.int32)}, "not contiguous"),
        ({"notes": np.array(["a"] * 6)}, "is not allowed"),
    ):
        with (
            pytest.raises(DataError, match=message),
            DatasetWriter(tmp_path / "d", sudoku_meta(4, "online")) as writer,
        ):
            writer.write_split("train", [{**good, **change}])
        assert list(tmp_path.iterdir()) == []


def test_stripes_must_hold_the_same_groups(tmp_path: Path) -> None:
    inputs, labels = puzzles(4, 6)

    def build() -> None:
        with (
            DatasetWriter(tmp_path / "d", sudoku_meta(4, "dense")) as writer,
            writer.split("train") as split,
        ):
            split.write(columns(inputs, labels, np.arange(6)))
            split.end_stripe()
            split.write(columns(inputs, labels, np.arange(6) + 1))

    with pytest.raises(DataError, match="other groups"):
        build()


def test_fingerprint_follows_the_data_not_the_builder(tmp_path: Path) -> None:
    inputs, labels = puzzles(4, 10)
    marks = {}
    for name, meta, extra in (
        ("a", sudoku_meta(4, "online"), 0),
        ("b", dataclasses.replace(sudoku_meta(4, "online"), builder={"version": 2}), 0),
        ("c", sudoku_meta(4, "online", count=8), 0),
        ("d", sudoku_meta(4, "online"), 1),
    ):
        with DatasetWriter(tmp_path / name, meta) as writer:
            rows = np.roll(np.arange(10), extra)
            writer.write_split("train", [columns(inputs[rows], labels[rows], np.arange(10))])
        marks[name] = open_dataset(tmp_path / name).meta.fingerprint
    assert marks["a"] == marks["b"]
    assert len(set(marks.values())) == 3
