"""The stream is the same bytes for every world size, thread count and accumulation.

Every rank of every layout is read for real (in one process, one loader per rank); the batches are
put together again in the documented order and compared with the stream of a single process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice, product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.tiny.data_sets import write_dense, write_grouped, write_online
from hrm_scale.data import Batch, Dataset, Loader, open_dataset

WORLDS = (1, 2, 3, 4, 6, 8)
THREADS = (0, 1, 2)
ACCUMULATION = (1, 2, 4)
GLOBAL_BATCH = 96  # divisible by 8 * 4 and by 6 * 4
WINDOW = 3


@pytest.fixture(scope="module", params=["online", "dense", "grouped", "zstd"])
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = tmp_path_factory.mktemp("stream") / request.param
    if request.param == "dense":
        write_dense(path, groups=130, count=4, chunk_examples=32)
    elif request.param == "grouped":
        sizes = [[1 + (g + p) % 3 for p in range(1 + g % 4)] for g in range(120)]
        write_grouped(path, sizes, chunk_examples=32)
    else:
        compression = "zstd" if request.param == "zstd" else "none"
        write_online(path, examples=350, chunk_examples=32, compression=compression)
    return open_dataset(path)


@pytest.fixture(autouse=True, scope="module")
def small_gathers() -> Iterator[None]:
    """Work in pieces of a few batches, so that short streams cross many piece bounds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hrm_scale.data.read.loader.BYTES_TOGETHER", 200 * 16)
        yield


def make_loader(dataset: Dataset, accumulation: int, rank: int, ranks: int, threads: int) -> Loader:
    return Loader(
        dataset,
        "train",
        seed=7,
        global_batch_size=GLOBAL_BATCH,
        accumulation=accumulation,
        rank=rank,
        ranks=ranks,
        window=WINDOW,
        threads=threads,
    )


def stream(
    dataset: Dataset, position: int, count: int, accumulation: int, ranks: int, threads: int
) -> list[Batch]:
    """`count` global batches from `position` on, joined from what every rank delivers."""
    per_rank = []
    for rank in range(ranks):
        batches = make_loader(dataset, accumulation, rank, ranks, threads).batches(position)
        per_rank.append(list(islice(batches, count)))
        batches.close()  # type: ignore[attr-defined]
    joined = []
    for b in range(count):
        parts = [per_rank[r][b][m] for m, r in product(range(accumulation), range(ranks))]
        assert {len(part.inputs) for part in parts} == {GLOBAL_BATCH // accumulation // ranks}
        joined.append(Batch(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True))))
    return joined


def assert_equal(one: list[Batch], two: list[Batch]) -> None:
    assert len(one) == len(two)
    for left, right in zip(one, two, strict=True):
        for a, b in zip(left, right, strict=True):
            assert a.dtype == b.dtype == np.int32
            assert a.tobytes() == b.tobytes()


@pytest.mark.slow
def test_every_layout_gives_the_same_bytes(dataset: Dataset) -> None:
    count = 9  # runs over at least one end of an epoch, and over windows
    expected = stream(dataset, 0, count, 1, 1, 0)
    assert make_loader(dataset, 1, 0, 1, 0).epoch_of(count * GLOBAL_BATCH)[0] >= 1
    for ranks, threads, accumulation in product(WORLDS, THREADS, ACCUMULATION):
        assert_equal(stream(dataset, 0, count, accumulation, ranks, threads), expected)


@pytest.mark.slow
@settings(
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    saved=st.tuples(*map(st.sampled_from, (WORLDS, THREADS, ACCUMULATION))),
    loaded=st.tuples(*map(st.sampled_from, (WORLDS, THREADS, ACCUMULATION))),
    step=st.integers(0, 30),
)
def test_resumed_at_any_layout_continues_the_same_bytes(
    dataset: Dataset, saved: tuple[int, int, int], loaded: tuple[int, int, int], step: int
) -> None:
    count = 4
    ranks, threads, accumulation = saved
    before = make_loader(dataset, accumulation, ranks - 1, ranks, threads)
    position = (step + 1) * GLOBAL_BATCH
    state = json.loads(json.dumps(before.state(position)))
    ranks, threads, accumulation = loaded
    after = make_loader(dataset, accumulation, 0, ranks, threads).resume(state)
    assert after == position
    resumed = stream(dataset, after, count, accumulation, ranks, threads)
    whole = stream(dataset, 0, step + 1 + count, 1, 1, 0)
    assert_equal(resumed, whole[step + 1 :])


def test_a_changed_global_batch_skips_and_repeats_nothing(dataset: Dataset) -> None:
    loader = make_loader(dataset, 1, 0, 1, 0)
    whole = loader.fetch(0, 12 * GLOBAL_BATCH)
    other = Loader(dataset, "train", seed=7, global_batch_size=40, window=WINDOW, threads=1)
    position = other.resume(loader.state(3 * GLOBAL_BATCH))
    batches = other.batches(position)
    rows = np.concatenate([batch.inputs for (batch,) in islice(batches, 10)])
    batches.close()  # type: ignore[attr-defined]
    assert (rows == whole.inputs[position : position + 400]).all()


def test_how_much_is_gathered_at_once_does_not_matter(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = stream(dataset, 0, 6, 2, 2, 1)
    for rows in (1, 10**4):
        monkeypatch.setattr("hrm_scale.data.read.loader.BYTES_TOGETHER", rows * 16)
        assert_equal(stream(dataset, 0, 6, 2, 2, 1), expected)


@pytest.mark.parametrize("window", [1, 5, None])
def test_a_window_kept_in_the_files_gives_the_same_rows(
    dataset: Dataset, window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows() -> Batch:
        loader = Loader(dataset, "train", seed=1, global_batch_size=10, window=window, threads=0)
        return loader.fetch(17, 700)

    copied = rows()
    monkeypatch.setattr("hrm_scale.data.read.window.COPY_BYTES", 0)
    assert_equal([rows()], [copied])
