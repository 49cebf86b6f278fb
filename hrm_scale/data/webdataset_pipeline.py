"""The shards of a data set as a `webdataset` pipeline, for loaders of other programs."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from hrm_scale.base.errors import ConfigError, DataError
from hrm_scale.data.format.index import SplitIndex
from hrm_scale.data.format.members import MemberError, decompress, parse_npy, safe_members
from hrm_scale.data.format.meta import MAX_HEADER_BYTES, MEMBER_NAME
from hrm_scale.data.open_dataset import open_dataset
from hrm_scale.data.read.dataset import Dataset


def as_webdataset(path: str | Path, split: str, *, unbatched: bool = False, **options: Any) -> Any:
    """A `webdataset.WebDataset` of the columns as stored: no augmentation, in the order of storage.

    It yields one dict of arrays [rows, ...] by column name per record; unbatched: per example.
    options: of `webdataset.WebDataset`, such as `shardshuffle=100` or
    `nodesplitter=webdataset.split_by_node`.

    Raises DataError for a damaged data set, here or from the pipeline, and ConfigError for what
    has no local shards: an address, a mixture, a folder of arrays.
    """
    import webdataset

    dataset = open_dataset(path)
    if type(dataset) is not Dataset:
        raise ConfigError(
            f"{dataset.name}: not a folder of shards, webdataset reads no other: use"
            " `hrm_scale.data.open_dataset` and `Loader`"
        )
    dataset.reader(split).check_sizes()
    index = dataset.index(split)
    shards = [str(dataset.path.absolute() / split / shard.name) for shard in index.shards]
    pipeline = webdataset.WebDataset(
        shards, **{"shardshuffle": False, "workersplitter": _shards_of_worker, **options}
    ).compose(functools.partial(_records, index))
    return pipeline.unbatched() if unbatched else pipeline


def _shards_of_worker(sources: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Those of this worker of a DataLoader, each checked before webdataset trusts its headers."""
    import webdataset

    for source in webdataset.split_by_worker(sources):
        for _ in safe_members(Path(source["url"])):
            pass
        yield source


def _records(
    index: SplitIndex, samples: Iterable[dict[str, Any]]
) -> Iterator[dict[str, np.ndarray]]:
    """A stage of its own: webdataset's `map` would add the key of the record to its columns."""
    for sample in samples:
        yield _columns(index, sample)


def _columns(index: SplitIndex, sample: dict[str, Any]) -> dict[str, np.ndarray]:
    """Arrays of a record's members, each compared with the hash in the index."""
    columns = {}
    for ending, content in sample.items():
        member = MEMBER_NAME.fullmatch(f"{sample['__key__']}.{ending}")
        if member is None:
            continue
        name, record = member["column"], int(member["record"])
        where = f"{sample['__url__']}: record {sample['__key__']}, column {name}"
        try:
            if name not in index.columns or record >= index.records:
                raise MemberError("is not in the index")
            if xxhash.xxh3_64_intdigest(content) != int(index.xxh3[name][record]):
                raise MemberError("is damaged (its xxh3 differs from the index)")
            spec, rows = index.columns[name], int(index.examples[record])
            if member["zst"]:
                content = decompress(content, rows * spec.row_bytes + MAX_HEADER_BYTES)
            dtype, shape, header = parse_npy(content)
            if (dtype, shape) != (spec.dtype, (rows, *spec.row_shape)):
                raise MemberError(f"is {dtype} {shape}, the index says otherwise")
        except MemberError as error:
            raise DataError(f"{where} {error}: restore the shard from its source") from error
        columns[name] = np.frombuffer(content, dtype, offset=header).reshape(shape).copy()
    if missing := index.columns.keys() - columns.keys():
        where = f"{sample['__url__']}: record {sample['__key__']}"
        raise DataError(f"{where} has no column {min(missing)}: restore the shard from its source")
    return columns
