"""Others read our shards; threads start, stop and fail cleanly; evaluation sees every row once."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from benchmarks.tiny.data_sets import columns, puzzles, sudoku_meta, write_dense, write_online
from hrm_scale.base.errors import ConfigError, DataError
from hrm_scale.data import DatasetWriter, Loader, open_dataset

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_stock_webdataset_reads_the_shards(tmp_path: Path, compression: str) -> None:
    wds = pytest.importorskip("webdataset")
    path = write_dense(tmp_path / "d", shard_bytes=9000, compression=compression)
    dataset = open_dataset(path)
    shards = [str(path / "train" / shard.name) for shard in dataset.index("train").shards]
    assert len(shards) > 1
    reader = wds.WebDataset(shards, shardshuffle=False)
    if compression == "none":
        samples = list(reader.decode())
        suffix = "npy"
    else:
        import io

        import zstandard

        def unpack(key: str, data: bytes) -> object:
            if not key.endswith(".zst"):
                return None
            return np.load(io.BytesIO(zstandard.ZstdDecompressor().decompress(data)))

        samples = list(reader.decode(unpack))
        suffix = "npy.zst"
    wanted = dataset.read("train", ["inputs", "labels", "puzzle_identifiers", "groups"], 0, 10**6)
    assert len(samples) == dataset.split("train").records
    for name, array in wanted.items():
        found = np.concatenate([sample[f"{name}.{suffix}"] for sample in samples])
        assert found.dtype == array.dtype
        assert (found == array).all()


def test_real_sudokus_make_valid_batches(tmp_path: Path) -> None:
    import csv
    import gzip

    source = ROOT.parent / "shared" / "data" / "sudoku" / "train.csv.gz"
    if not source.is_file():
        pytest.skip(f"needs {source.name} of the shared data")
    with gzip.open(source, "rt") as stream:
        rows = list(csv.DictReader(stream))
    inputs = np.array([[1 if c == "." else int(c) + 1 for c in r["question"]] for r in rows])
    labels = np.array([[int(c) + 1 for c in r["answer"]] for r in rows])
    with DatasetWriter(tmp_path / "d", sudoku_meta(9, "online", 1000)) as writer:
        piece = columns(inputs.astype(np.uint8), labels.astype(np.uint8), np.arange(len(rows)))
        writer.write_split("train", [piece])
    loader = Loader(open_dataset(tmp_path / "d"), "train", seed=0, global_batch_size=768)
    batches = loader.batches(0)
    for (batch,) in islice(batches, 20):
        digits = np.sort(batch.labels.reshape(-1, 9, 9) - 1, axis=2)
        assert (digits == np.arange(1, 10)).all()
        clue = batch.inputs != 1
        assert (batch.inputs[clue] == batch.labels[clue]).all()
    batches.close()  # type: ignore[attr-defined]


def data_threads() -> int:
    return sum(thread.name.startswith("hrm-data") for thread in threading.enumerate())


def test_closing_stops_the_threads_and_reading_ahead_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hrm_scale.data.read.loader.BYTES_TOGETHER", 1)  # one batch at a time
    dataset = open_dataset(write_online(tmp_path / "d", examples=2000))
    loader = Loader(dataset, "train", seed=0, global_batch_size=7000, threads=2, prefetch=3)
    calls = []
    original = loader._global_batches
    loader._global_batches = lambda *a: (calls.append(a), original(*a))[1]  # type: ignore
    batches = loader.batches(0)
    next(batches)
    patience = time.monotonic() + 20
    while len(calls) < 4 and time.monotonic() < patience:
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(calls) == 4  # the one delivered, and three ahead although nobody asked yet
    assert data_threads() == 2
    batches.close()  # type: ignore[attr-defined]
    assert data_threads() == 0


def test_an_error_in_a_thread_reaches_the_caller(tmp_path: Path) -> None:
    path = write_online(tmp_path / "d", examples=200, chunk_examples=16)
    shard = path / "train" / "shard-00000.tar"
    offset = int(open_dataset(path).index("train").offset["inputs"][5])
    content = bytearray(shard.read_bytes())
    content[offset + 200] ^= 4
    shard.write_bytes(content)
    for threads in (0, 1, 2):
        loader = Loader(
            open_dataset(path), "train", seed=0, global_batch_size=8, window=2, threads=threads
        )
        with pytest.raises(DataError, match="record 000005"):
            list(islice(loader.batches(0), 50))
        assert data_threads() == 0


def test_an_unclosed_loader_does_not_hold_up_the_exit(tmp_path: Path) -> None:
    path = write_online(tmp_path / "d")
    script = (
        "from hrm_scale.data import Loader, open_dataset\n"
        f"dataset = open_dataset({str(path)!r})\n"
        "loader = Loader(dataset, 'train', seed=0, global_batch_size=8, threads=2)\n"
        "batches = loader.batches(0); next(batches); print('done')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_data_package_imports_neither_torch_nor_numba() -> None:
    script = (
        "import sys, hrm_scale.data\n"
        "print([m for m in ('torch', 'numba', 'webdataset', 'pydantic', 'zstandard') "
        "if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("ranks", [1, 2, 3, 6])
@pytest.mark.parametrize("limit", [None, 40, 10**6])
def test_evaluation_sees_every_row_once_in_order(
    tmp_path: Path, ranks: int, limit: int | None
) -> None:
    dataset = open_dataset(write_online(tmp_path / "d", chunk_examples=16))
    examples = dataset.split("test").examples
    raw = dataset.read("test", ["inputs", "labels"], 0, examples)
    per_rank = [
        list(dataset.eval_batches("test", 24, rank=r, ranks=ranks, limit=limit, seed=4))
        for r in range(ranks)
    ]
    assert len({len(batches) for batches in per_rank}) == 1
    seen: list[int] = []
    for batches in zip(*per_rank, strict=True):
        index = np.concatenate([item.index for item in batches])
        inputs = np.concatenate([item.batch.inputs for item in batches])
        labels = np.concatenate([item.batch.labels for item in batches])
        rows = {item.rows for item in batches}
        assert rows == {int((index >= 0).sum())}
        assert (index[: rows.pop()] >= 0).all()
        real = index >= 0
        assert (inputs[real] == raw["inputs"][index[real]]).all()
        assert (labels[real] == raw["labels"][index[real]]).all()
        assert (inputs[~real] == 0).all()
        assert (labels[~real] == -100).all()
        seen += index[real].tolist()
    assert len(seen) == min(examples, limit or examples)
    assert seen == sorted(set(seen))
    if limit == 40:
        other = dataset.eval_batches("test", 24, limit=40, seed=5)
        assert seen != [i for item in other for i in item.index.tolist() if i >= 0]


def test_evaluation_batches_that_ranks_do_not_divide_are_a_little_larger(tmp_path: Path) -> None:
    dataset = open_dataset(write_online(tmp_path / "d"))
    parts = [list(dataset.eval_batches("test", 10, rank=rank, ranks=3)) for rank in range(3)]
    assert {len(part.index) for batches in parts for part in batches} == {4}
    seen = np.concatenate([part.index for batches in parts for part in batches])
    examples = dataset.split("test").examples
    assert sorted(seen[seen >= 0].tolist()) == list(range(examples))
    with pytest.raises(ConfigError, match="batch_size=0"):
        dataset.eval_batches("test", 0)
    with pytest.raises(DataError, match="Did you mean 'test'"):
        dataset.eval_batches("tst", 10)


def test_labels_to_ignore_become_minus_100(tmp_path: Path) -> None:
    inputs, labels = puzzles(4, 20)
    for ignored, token in ((0, 0), (3, 3), (None, 0)):
        piece = columns(inputs, np.where(labels == 2, token, labels), np.arange(20))
        meta = sudoku_meta(4, "dense", ignore_label_id=ignored, augmentation={"kind": "none"})
        with DatasetWriter(tmp_path / "d", meta, overwrite=True) as writer:
            writer.write_split("train", [piece])
        loader = Loader(open_dataset(tmp_path / "d"), "train", seed=0, global_batch_size=4)
        found = loader.fetch(0, 20).labels
        expected = piece["labels"].astype(np.int32)
        if ignored is not None:
            expected[expected == ignored] = -100
        assert sorted(map(bytes, found)) == sorted(map(bytes, expected))
