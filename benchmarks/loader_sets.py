"""Make what the peers of `benchmarks.loader` read, out of data sets of ours."""

from __future__ import annotations

import dataclasses
import io
import json
import tarfile
from pathlib import Path

import numpy as np

from benchmarks.loader_targets import WANTED
from hrm_scale.base.errors import DataError
from hrm_scale.data import Dataset, DatasetWriter, Loader, open_dataset
from hrm_scale.puzzles import BoardSymmetry

COLUMNS = ("inputs", "labels", "puzzle_identifiers", "groups")
_ROWS_AT_ONCE = 1 << 15
_BYTES_PER_PUZZLE = 8  # published arrays: an identifier and a bound, int32 each


def check_set(dataset: Dataset, batch: int, examples: int) -> None:
    """DataError for a kind of data set that this benchmark has no readers for, or a tiny one.

    The peers drop the end of an epoch that fills no batch: of less than a batch they read nothing.
    """
    if dataset.meta.kind not in WANTED:
        raise DataError(
            f"{dataset.path}: is a {dataset.meta.kind} set, it needs one of {', '.join(WANTED)}"
        )
    stored = dataset.split("train").examples
    if min(examples, stored if dataset.meta.storage == "dense" else examples) < batch:
        raise DataError(f"{dataset.path}: has fewer than a batch of {batch} examples to read")


def dense_set(dataset: Dataset, scratch: Path, examples: int) -> Dataset:
    """The data set itself when it is dense, else a dense, striped one made from its originals."""
    if dataset.meta.storage == "dense":
        return dataset
    if dataset.meta.puzzle.has_tasks:
        return _dense_arc(dataset, scratch, examples)
    info, meta, symmetry = dataset.split("train"), dataset.meta, dataset.meta.puzzle.symmetry
    assert isinstance(symmetry, BoardSymmetry)
    columns = dataset.read("train", COLUMNS, 0, info.examples)
    seed = meta.augmentation["seed"]
    stripes = max(1, -(-examples // info.examples))
    meta = dataclasses.replace(
        meta, storage="dense", augmentation={**meta.augmentation, "count": stripes - 1}
    )
    with DatasetWriter(scratch / "dense", meta) as writer, writer.split("train") as split:
        for stripe in range(stripes):
            order = np.random.default_rng(stripe).permutation(info.examples)
            piece = {name: column[order] for name, column in columns.items()}
            index = (piece["groups"] + stripe) % stripes
            piece["inputs"], piece["labels"] = symmetry.augment(
                piece["inputs"], piece["labels"], piece["groups"], index, seed
            )
            split.write(piece)
            split.end_stripe()
    return open_dataset(scratch / "dense")


def _dense_arc(dataset: Dataset, scratch: Path, examples: int) -> Dataset:
    """Stripe k is what training on the originals reads in epoch k."""
    meta = dataclasses.replace(
        dataset.meta, storage="dense", augmentation={"kind": "none"}, extra={}, splits={}
    )
    loader = Loader(dataset, "train", seed=0, global_batch_size=1, window=None, threads=0)
    tasks = dataset.tasks()
    firsts = np.array([first for _, first, _ in tasks])
    with DatasetWriter(scratch / "dense", meta) as writer:
        with writer.split("train") as split:
            stripe = 0
            while loader.epoch_start(stripe) < examples:
                span = loader.epoch_start(stripe), loader.epoch_start(stripe + 1)
                inputs, labels, identifiers = loader.fetch(*span)
                groups = np.searchsorted(firsts, identifiers, side="right") - 1
                split.write(
                    {
                        "inputs": inputs.astype(np.uint8),
                        "labels": labels.clip(0).astype(np.uint8),
                        "puzzle_identifiers": identifiers,
                        "groups": groups.astype(np.int32),
                        "puzzles": (groups + stripe * len(tasks)).astype(np.int32),
                    }
                )
                split.end_stripe()
                stripe += 1
        writer.write_identifiers(dataset.identifiers())
    return open_dataset(scratch / "dense")


def online_set(dataset: Dataset, scratch: Path) -> Dataset | None:
    """The data set itself when it augments while training, else one made from its first stripe.

    None for dense ARC, whose originals lie scattered over it.
    """
    if dataset.meta.storage == "online":
        return dataset
    if dataset.meta.puzzle.has_tasks:
        return None
    info = dataset.split("train")
    rows = int(dataset.index("train").first[info.stripe_records[0]])
    meta = dataclasses.replace(
        dataset.meta,
        storage="online",
        augmentation={"kind": "sudoku", "count": 1000, "seed": 0},
    )
    columns = dataset.read("train", COLUMNS, 0, rows)
    order = np.argsort(columns["groups"], kind="stable")
    with DatasetWriter(scratch / "online", meta) as writer:
        writer.write_split("train", [{name: column[order] for name, column in columns.items()}])
    return open_dataset(scratch / "online")


def write_arrays(dataset: Dataset, folder: Path) -> None:
    """The train split as the published builders lay it out: sorted by group, then by puzzle."""
    info, meta = dataset.split("train"), dataset.meta
    examples = info.examples
    numbered = "puzzles" in dataset.index("train").columns
    names = ["puzzle_identifiers", "groups", *(["puzzles"] if numbered else [])]
    small = dataset.read("train", names, 0, examples)
    puzzles = small.get("puzzles", np.arange(examples))
    order = np.lexsort((puzzles, small["groups"]))  # stable: examples keep their order
    groups, puzzles = small["groups"][order], puzzles[order]
    new_group = np.append(True, groups[1:] != groups[:-1])
    first_rows = np.flatnonzero(new_group | np.append(True, puzzles[1:] != puzzles[:-1]))
    first_puzzles = np.flatnonzero(new_group[first_rows])
    train = folder / "train"
    train.mkdir(parents=True)
    bounds = {
        "puzzle_identifiers": small["puzzle_identifiers"][order][first_rows],
        "puzzle_indices": np.append(first_rows, examples),
        "group_indices": np.append(first_puzzles, len(first_rows)),
    }
    for name, array in bounds.items():
        np.save(train / f"all__{name}.npy", array.astype(np.int32))
    place = np.empty(examples, np.int64)
    place[order] = np.arange(examples)
    targets = {
        name: np.lib.format.open_memmap(
            train / f"all__{name}.npy", "w+", np.dtype(np.uint8), (examples, meta.seq_len)
        )
        for name in ("inputs", "labels")
    }
    for start in range(0, examples, _ROWS_AT_ONCE):
        piece = dataset.read("train", list(targets), start, start + _ROWS_AT_ONCE)
        for name, target in targets.items():
            target[place[start : start + _ROWS_AT_ONCE]] = piece[name]
    fields = ("vocab_size", "seq_len", "pad_id", "ignore_label_id", "blank_identifier_id")
    content = {name: getattr(meta, name) for name in fields}
    content["num_puzzle_identifiers"] = meta.num_puzzle_identifiers
    content |= {"total_groups": len(first_puzzles), "sets": ["all"]}
    content["mean_puzzle_examples"] = examples / len(first_rows)
    (train / "dataset.json").write_text(json.dumps(content))


def write_samples(arrays: Path, output: Path, count: int) -> None:
    """A shard with one record per sample, as it is usually done."""
    inputs, labels = (
        np.load(arrays / "train" / f"all__{name}.npy", mmap_mode="r")
        for name in ("inputs", "labels")
    )
    with tarfile.open(output, "w", format=tarfile.USTAR_FORMAT) as archive:
        for row in range(min(count, len(inputs))):
            for name, array in (("inputs", inputs[row]), ("labels", labels[row])):
                buffer = io.BytesIO()
                np.save(buffer, np.asarray(array))
                member = tarfile.TarInfo(f"{row:08d}.{name}.npy")
                member.size = buffer.tell()
                buffer.seek(0)
                archive.addfile(member, buffer)


def stored_and_payload(dataset: Dataset) -> tuple[int, int]:
    """(bytes of the train split on disk, index included; bytes of its columns)."""
    folder = dataset.path / "train"
    index = dataset.index("train")
    stored = sum(file.stat().st_size for file in folder.iterdir())
    rows = int(index.first[-1])
    return stored, rows * sum(column.row_bytes for column in index.columns.values())


def published_and_online(dataset: Dataset) -> tuple[int, int] | None:
    """(bytes of the published arrays with all variants, bytes of this online set), of ARC."""
    augmented = dataset.meta.extra.get("augmented")
    if dataset.meta.storage != "online" or not augmented:
        return None
    published = sum(
        2 * counts["examples"] * dataset.meta.seq_len + _BYTES_PER_PUZZLE * counts["puzzles"]
        for counts in augmented.values()
    )
    files = (file for file in dataset.path.rglob("*") if file.is_file())
    return published, sum(file.stat().st_size for file in files)
