"""`repack`: the rows of a data set in other records, shards or codec, or in the other storage."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from hrm_scale.base.errors import ConfigError, DataError
from hrm_scale.base.progress import Progress, say
from hrm_scale.base.untrusted import parse_json
from hrm_scale.data import Dataset, DatasetMeta, DatasetWriter, check_output_dir, open_dataset
from hrm_scale.data.format.meta import IDENTIFIERS_FILE
from hrm_scale.data.format.writer import identifiers_json

from ..open_source import open_one
from ..tables import TEST_FILE, VARIANTS_FILE

Columns = dict[str, np.ndarray]
Convert = Callable[[Dataset, DatasetWriter], None]


def repack(arguments: argparse.Namespace) -> None:
    """Write OUT. Rows and their order stay what they are, unless the storage changes."""
    check_output_dir(arguments.out, overwrite=arguments.overwrite)
    dataset = open_one(arguments.directory)
    meta = dataset.meta
    if arguments.overwrite and arguments.out.resolve() == dataset.path.resolve():
        raise ConfigError(f"{arguments.out}: is the data set itself: choose another folder")
    storage = arguments.storage or meta.storage
    convert = None if storage == meta.storage else _conversion(dataset, storage)
    codec = dataset.index(next(iter(meta.splits))).columns["inputs"].codec
    names = _names(dataset)
    made = _new_meta(meta, storage, names)
    options: dict[str, Any] = {
        "chunk_examples": arguments.chunk_examples,
        "shard_bytes": arguments.shard_bytes,
    }
    options = {key: value for key, value in options.items() if value is not None}
    compression = arguments.compression or codec
    with DatasetWriter(
        arguments.out, made, compression=compression, overwrite=arguments.overwrite, **options
    ) as writer:
        if convert is None:
            for split in meta.splits:
                _copy(dataset, split, writer)
        else:
            convert(dataset, writer)
        if meta.has_variants:
            for name in (VARIANTS_FILE, TEST_FILE):
                if (content := _optional(dataset, name)) is not None:
                    writer.write_file(name, content)
        writer.write_identifiers(names)
    _summary(dataset, open_dataset(arguments.out))


def _names(dataset: Dataset) -> Any:
    """`identifiers.json` as it is: names, or runs of them."""
    dataset.tasks()  # says what is wrong with the file
    return parse_json(dataset.read_file(IDENTIFIERS_FILE))


def _new_meta(meta: DatasetMeta, storage: str, names: Any) -> DatasetMeta:
    augmentation = dict(meta.augmentation)
    if "names_sha256" in augmentation:
        augmentation["names_sha256"] = hashlib.sha256(identifiers_json(names)).hexdigest()
    builder = {**meta.builder, "repacked_from": meta.fingerprint}
    return dataclasses.replace(
        meta, storage=storage, augmentation=augmentation, builder=builder, splits={}, fingerprint=""
    )


def _optional(dataset: Dataset, name: str) -> bytes | None:
    try:
        return dataset.read_file(name)
    except DataError:
        return None


def _copy(dataset: Dataset, split: str, writer: DatasetWriter) -> None:
    """The same rows in the same order and stripes."""
    reader, info = dataset.reader(split), dataset.split(split)
    reader.check_sizes()
    names = list(reader.index.columns)
    progress = Progress(f"{split}: records written:", info.records)
    first = 0
    with writer.split(split) as out:
        for records in info.stripe_records.tolist():
            for record in range(first, first + records):
                columns = reader.columns(record, names)
                out.write({name: np.array(array) for name, array in columns.items()})
                progress.advance(1)
            out.end_stripe()
            first += records


def _conversion(dataset: Dataset, storage: str) -> Convert:
    """What turns a set into the other storage. ConfigError where nothing can."""
    meta = dataset.meta
    if meta.has_variants:
        from . import arc

        return arc.to_dense if storage == "dense" else arc.to_online
    if not meta.is_augmented:
        return _copy_all
    if storage == "dense":
        from . import boards

        return boards.to_dense
    raise ConfigError(
        f"--storage {storage}: which rows of {dataset.name} are originals cannot be told, a dense "
        f"{meta.kind} set does not say by which symmetry a row was made: build it again"
    )


def _copy_all(dataset: Dataset, writer: DatasetWriter) -> None:
    for split in dataset.meta.splits:
        _copy(dataset, split, writer)


def _summary(before: Dataset, after: Dataset) -> None:
    sizes = [
        sum(shard.bytes for split in d.meta.splits for shard in d.index(split).shards)
        for d in (before, after)
    ]
    counts = [
        " and ".join(f"{info.examples} {split}" for split, info in sorted(d.meta.splits.items()))
        for d in (before, after)
    ]
    say(
        f"{after.name}: {counts[1]} examples, {after.meta.storage}, {sizes[1]} bytes (before: "
        f"{counts[0]}, {before.meta.storage}, {sizes[0]} bytes) · next: "
        f"`python -m tools.shards lint {after.name}`"
    )
