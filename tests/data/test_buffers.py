"""Buffers come back when the last view of them is gone, and not a moment earlier."""

from __future__ import annotations

import gc
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from benchmarks.tiny.data_sets import write_online
from hrm_scale.data import Loader, open_dataset
from hrm_scale.data.read.buffers import MAX_IDLE, BufferPool


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_memory_is_used_again_only_after_the_last_view() -> None:
    pool = BufferPool()
    whole = pool.empty((2, 30, 40), np.int32)
    where = address(whole)
    _first, second = whole
    row = second[3:5, ::2].T[1:]
    row[:] = 7
    del whole, _first, second
    gc.collect()
    others = [pool.empty((2, 30, 40), np.int32) for _ in range(3)]
    for other in others:
        other[:] = 1
    assert where not in map(address, others)
    assert (row == 7).all()
    del row
    assert address(pool.empty((2, 30, 40), np.int32)) == where


def test_tensors_and_memoryviews_keep_a_buffer() -> None:
    torch = pytest.importorskip("torch")
    pool = BufferPool()
    array = pool.empty((50, 50), np.int32)
    array[:] = 3
    tensor, view = torch.from_numpy(array[10:]), memoryview(array[:10])
    del array
    fresh = pool.empty((50, 50), np.int32)
    fresh[:] = 4
    assert int(tensor.min()) == int(tensor.max()) == 3
    del tensor
    again = pool.empty((50, 50), np.int32)
    again[:] = 5
    assert set(np.asarray(view).ravel().tolist()) == {3}


def test_idle_memory_is_bounded() -> None:
    pool = BufferPool()
    held = [pool.empty((1000,), np.uint8) for _ in range(3 * MAX_IDLE)]
    held.clear()
    assert len(pool._idle[1000]) == MAX_IDLE


@pytest.mark.parametrize("threads", [0, 2])
def test_kept_batches_are_never_overwritten(
    tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hrm_scale.data.read.loader.BYTES_TOGETHER", 20 * 16)
    loader = Loader(
        open_dataset(write_online(tmp_path / "d")),
        "train",
        seed=0,
        global_batch_size=20,
        accumulation=2,
        threads=threads,
    )
    batches = loader.batches(0)
    kept = [(micro[1].labels[2:], micro[0].inputs) for micro in islice(batches, 40)]
    batches.close()  # type: ignore[attr-defined]
    for step, (labels, inputs) in enumerate(kept):
        expected = loader.fetch(20 * step, 20 * step + 20)
        assert (inputs == expected.inputs[:10]).all()
        assert (labels == expected.labels[12:]).all()
