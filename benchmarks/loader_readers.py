"""The readers that `benchmarks.loader` compares; each runs in a fresh process of its own.

    python -m benchmarks.loader_readers '{"reader": "ours", ...}'   -> one JSON line

Every reader ends in the same three int32 tensors of a shuffled batch: inputs [b, S], labels
[b, S] with ignored tokens as -100, identifiers [b]. With `widen: device` ours hands out inputs as
uint8 and labels as int8.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

IGNORE = -100
WINDOW_RECORDS = 16
WARM_EXAMPLES = 150_000
WARM_TIMES = 3
"""Read before the clock starts: training goes on for hours, what its first seconds cost is shown as
`first batch`. At most WARM_TIMES as long as a run. (Online ARC keeps eight orientations of every
grid, each made when first drawn.)"""
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def ours(job: dict[str, Any]) -> Iterator[Arrays]:
    from hrm_scale.data import Loader, open_dataset

    loader = Loader(
        open_dataset(job["path"]),
        "train",
        seed=job["seed"],
        global_batch_size=job["batch"],
        threads=job["threads"],
        widen=job["widen"],
    )
    state = {**loader.state(0), "position": job.get("position", 0)}
    for (batch,) in loader.batches(loader.resume(state)):
        yield batch.inputs, batch.labels, batch.puzzle_identifiers


def _to_int32(inputs: np.ndarray, labels: np.ndarray, ids: np.ndarray, ignored: int) -> Arrays:
    wide = labels.astype(np.int32)
    wide[wide == ignored] = IGNORE
    return inputs.astype(np.int32), wide, ids.astype(np.int32)


def _load(job: dict[str, Any], name: str, mode: Literal["r"] | None = None) -> np.ndarray:
    return np.load(Path(job["arrays"], "train", f"all__{name}.npy"), mmap_mode=mode)


def mmap_gather(job: dict[str, Any]) -> Iterator[Arrays]:
    """Memory-mapped arrays, a permutation of all rows per epoch, fancy indexing per batch."""
    batch = job["batch"]
    inputs, labels = (_load(job, name, "r") for name in ("inputs", "labels"))
    ids = np.repeat(_load(job, "puzzle_identifiers"), np.diff(_load(job, "puzzle_indices")))
    generator = np.random.default_rng(job["seed"])
    while True:
        order = generator.permutation(len(inputs))
        for at in range(0, len(order) - batch + 1, batch):
            rows = order[at : at + batch]
            yield _to_int32(inputs[rows], labels[rows], ids[rows], job["ignored"])


def reference_style(job: dict[str, Any]) -> Iterator[Arrays]:
    """Memory-mapped arrays, a Python loop over the groups of a batch, one draw for each group.

    A group's drawn puzzle brings as many of its examples as the batch has room for.
    """
    batch = job["batch"]
    inputs, labels = (_load(job, name, "r") for name in ("inputs", "labels"))
    ids, group_bounds, puzzle_bounds = (
        _load(job, name) for name in ("puzzle_identifiers", "group_indices", "puzzle_indices")
    )
    generator = np.random.Generator(np.random.Philox(seed=job["seed"]))
    groups = len(group_bounds) - 1
    while True:
        # Several epochs are laid end to end, as between two evaluations.
        order = np.concatenate([generator.permutation(groups) for _ in range(100)])
        at = 0
        while at < len(order):
            rows, numbers, size = [], [], 0
            while at < len(order) and size < batch:
                group = order[at]
                at += 1
                puzzle = generator.integers(group_bounds[group], group_bounds[group + 1])
                first = puzzle_bounds[puzzle]
                count = int(puzzle_bounds[puzzle + 1] - first)
                taken = min(count, batch - size)
                numbers.append(np.full(taken, puzzle, np.int32))
                rows.append(first + np.random.choice(count, taken, replace=False))
                size += taken
            if size < batch:
                break
            chosen = np.concatenate(rows)
            yield _to_int32(
                inputs[chosen], labels[chosen], ids[np.concatenate(numbers)], job["ignored"]
            )


def _unpack_zstd(key: str, data: bytes) -> np.ndarray | None:
    """What the user of compressed shards has to write for webdataset; None for other members."""
    if not key.endswith(".npy.zst"):
        return None
    import zstandard

    return np.load(io.BytesIO(zstandard.ZstdDecompressor().decompress(data)))


def webdataset_records(job: dict[str, Any]) -> Iterator[Arrays]:
    """Stock webdataset on our shards, rows permuted over as many records as our window has."""
    import webdataset

    shards = sorted(str(path) for path in Path(job["path"], "train").glob("shard-*.tar"))
    reader = webdataset.WebDataset(shards, shardshuffle=len(shards), seed=job["seed"])
    records = reader.repeat().shuffle(WINDOW_RECORDS).decode(_unpack_zstd)
    generator = np.random.default_rng(job["seed"])
    names = ("inputs", "labels", "puzzle_identifiers")
    left: list[np.ndarray] = []
    source = iter(records)
    while True:
        window = list(islice(source, WINDOW_RECORDS))
        ending = "npy" if "inputs.npy" in window[0] else "npy.zst"
        columns = [np.concatenate([r[f"{name}.{ending}"] for r in window]) for name in names]
        order = generator.permutation(len(columns[0]))
        if left:
            columns = [np.concatenate(pair) for pair in zip(left, columns, strict=True)]
            order = np.concatenate([np.arange(len(left[0])), order + len(left[0])])
        for at in range(0, len(order) - job["batch"] + 1, job["batch"]):
            rows = order[at : at + job["batch"]]
            inputs, labels, ids = (column[rows] for column in columns)
            yield _to_int32(inputs, labels, ids, job["ignored"])
        rest = order[len(order) // job["batch"] * job["batch"] :]
        left = [column[rest] for column in columns]


def webdataset_samples(job: dict[str, Any]) -> Iterator[Arrays]:
    """Stock webdataset with one record per sample, two `.npy` members each."""
    import webdataset

    reader = webdataset.WebDataset(job["samples"], shardshuffle=False, seed=job["seed"])
    pipeline = reader.repeat().shuffle(1000).decode().to_tuple("inputs.npy", "labels.npy")
    source = iter(pipeline)
    while True:
        inputs, labels = zip(*islice(source, job["batch"]), strict=True)
        ids = np.zeros(job["batch"], np.int32)
        yield _to_int32(np.stack(inputs), np.stack(labels), ids, job["ignored"])


READERS: dict[str, Callable[[dict[str, Any]], Iterator[Arrays]]] = {
    "ours": ours,
    "mmap_gather": mmap_gather,
    "reference_style": reference_style,
    "webdataset_records": webdataset_records,
    "webdataset_samples": webdataset_samples,
}


def _in_workers(job: dict[str, Any]) -> Iterator[Any]:
    """The reader as the only worker process of a torch DataLoader."""
    from torch.utils.data import DataLoader, IterableDataset

    class Stream(IterableDataset):
        def __iter__(self) -> Iterator[Any]:
            for arrays in READERS[job["reader"]](job):
                yield _tensors(arrays)

    return iter(
        DataLoader(Stream(), batch_size=None, num_workers=job["workers"], prefetch_factor=8)
    )


def _tensors(arrays: Arrays) -> tuple[Any, ...]:
    import torch

    return tuple(map(torch.from_numpy, arrays))


def _tree_cpu_seconds() -> float:
    """CPU time of this process and of its living children."""
    total = time.process_time()
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    for pid in children.read_text().split() if children.is_file() else ():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def anonymous_mib() -> float:
    """Anonymous resident memory of this process, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def measure(job: dict[str, Any]) -> dict[str, float]:
    """Read until `examples` or `seconds` are over, after a warm-up of its own."""
    import torch

    torch.set_num_threads(1)
    _tensors((np.zeros(1), np.zeros(1), np.zeros(1)))  # what torch loads at its first tensor
    before = anonymous_mib()
    import_module("hrm_scale.data")  # warm imports: opening and reading are what is timed
    begun = time.perf_counter()
    stream: Iterator[Any]
    if job["workers"]:
        stream = _in_workers(job)
    else:
        stream = map(_tensors, READERS[job["reader"]](job))
    batch = next(stream)
    assert [tuple(t.shape) for t in batch[:2]] == [(job["batch"], job["seq_len"])] * 2
    narrow = job["widen"] == "device"
    wanted = (torch.uint8, torch.int8) if narrow else (torch.int32, torch.int32)
    assert tuple(tensor.dtype for tensor in batch) == (*wanted, torch.int32)
    first = time.perf_counter() - begun
    start, count = time.perf_counter(), 0
    while (
        count < min(WARM_EXAMPLES, job["examples"]) and time.perf_counter() - start < job["seconds"]
    ):
        next(stream)
        count += job["batch"]
    start, cpu = time.perf_counter(), _tree_cpu_seconds()
    count = 0
    while count < job["examples"] and time.perf_counter() - start < job["seconds"]:
        batch = next(stream)
        count += job["batch"]
    wall, cpu = time.perf_counter() - start, _tree_cpu_seconds() - cpu
    return {
        "first_batch_s": first,
        "examples": count,
        "wall_s": wall,
        "cpu_s": cpu,
        "anonymous_mib": anonymous_mib() - before,
    }


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))), flush=True)
    os._exit(0)  # worker processes of endless streams need no orderly goodbye
