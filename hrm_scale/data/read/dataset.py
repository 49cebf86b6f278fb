"""Open a data set folder; read raw columns; hand out evaluation batches."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from hrm_scale.base.counter import SUBSET, make_key, permutation
from hrm_scale.base.errors import ConfigError, DataError, nearest
from hrm_scale.base.untrusted import read_bytes
from hrm_scale.data.format.identifier_table import (
    Task,
    parse_augmentations,
    parse_identifiers,
    tasks_of,
    variant_names,
)
from hrm_scale.data.format.index import SplitIndex, read_index
from hrm_scale.data.format.meta import (
    AUGMENTATIONS_FILE,
    IDENTIFIERS_FILE,
    INDEX_FILE,
    MAX_HEADER_BYTES,
    MAX_JSON_BYTES,
    DatasetMeta,
    SplitInfo,
    read_meta,
)
from hrm_scale.data.format.rebuild import scan_split
from hrm_scale.data.read.batch import EvalBatch, make_batch
from hrm_scale.data.read.reader import SplitReader
from hrm_scale.puzzles.arc.grid import VARIANT_BYTES

if TYPE_CHECKING:
    from hrm_scale.data.read.stream import ReadOptions, Stream

_LOG = logging.getLogger("hrm_scale.data")


class Dataset:
    """A data set in a folder. meta: `DatasetMeta`; path: the folder; name: what messages call it.

    Where the bytes come from is decided by `_read_meta`, `_read_index`, `read_file` and `reader`
    alone, which a data set that lies elsewhere overrides.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)
        self.meta: DatasetMeta = self._read_meta()
        self._indexes: dict[str, SplitIndex] = {}

    def _read_meta(self) -> DatasetMeta:
        path, meta = self.path, read_meta(self.path)
        for split in meta.splits:
            if not (path / split).is_dir():
                raise DataError(
                    f"{path / split}: the folder of split {split!r} is missing: restore it or "
                    "build the data set again"
                )
            if not (path / split / INDEX_FILE).is_file():
                _LOG.warning(
                    "%s: no %s, reading the shards instead (`python -m tools.shards verify %s` "
                    "writes it)",
                    path / split,
                    INDEX_FILE,
                    path,
                )
        return meta

    def split(self, name: str) -> SplitInfo:
        """Counts of a split. DataError naming the splits there are."""
        info = self.meta.splits.get(name)
        if info is None:
            known = sorted(self.meta.splits)
            raise DataError(
                f"{self.name}: has no split {name!r}, only {', '.join(known)}."
                f"{nearest(name, known)}"
            )
        return info

    def epoch_examples(self, split: str) -> float:
        """Examples in an epoch on average: it shows every group once, by one of its puzzles."""
        info = self.split(split)
        return info.groups * info.examples / info.puzzles

    def index(self, split: str) -> SplitIndex:
        """The split's index, from `index.json` or, when that is missing, from the tars."""
        if split not in self._indexes:
            self._indexes[split] = self._read_index(split, self.split(split))
        return self._indexes[split]

    def _read_index(self, split: str, info: SplitInfo) -> SplitIndex:
        folder = self.path / split
        if (folder / INDEX_FILE).is_file():
            return read_index(folder, info)
        return scan_split(folder, info)

    def reader(self, split: str, *, verify: bool = True) -> SplitReader:
        """A new reader of a split, with its own record of what has been verified."""
        return SplitReader(self.path / split, self.index(split), self.meta, verify=verify)

    def stream(self, split: str, options: ReadOptions) -> Stream:
        """The examples of a split by their position in the order of training."""
        from hrm_scale.data.read.stream import SplitStream

        return SplitStream(self, split, options)

    def read_file(self, name: str, limit: int = MAX_JSON_BYTES) -> bytes:
        """A small file that lies beside the splits. DataError when missing or beyond `limit`."""
        try:
            return read_bytes(self.path / name, limit, links=True)
        except FileNotFoundError as error:
            raise DataError(f"{self.path / name}: missing: build the data set again") from error
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path / name}: {error}: build the data set again") from error

    def identifiers(self) -> list[str]:
        """Names of all puzzle identifiers (of ARC: `arc_grid.variant_name`)."""
        entries = self._identifier_entries()
        if all(isinstance(entry, str) for entry in entries):
            return cast("list[str]", entries)
        return variant_names(cast("list[Task]", entries), self.augmentations())

    def tasks(self) -> list[Task]:
        """(name, first identifier, how many) of every task, the blank one included, in order."""
        entries = self._identifier_entries()
        if all(isinstance(entry, str) for entry in entries):
            return tasks_of(cast("list[str]", entries))
        return cast("list[Task]", entries)

    def augmentations(self) -> np.ndarray:
        """Variant of every identifier, uint8 [identifiers, 11] (`hrm_scale.puzzles.arc.grid`).

        DataError when the data set has none, or another table than `dataset.json` says.
        """
        limit = self.meta.num_puzzle_identifiers * VARIANT_BYTES + MAX_HEADER_BYTES
        content = self.read_file(AUGMENTATIONS_FILE, limit)
        return parse_augmentations(content, self.meta, f"{self.name}/{AUGMENTATIONS_FILE}")

    def _identifier_entries(self) -> list[str] | list[Task]:
        where = f"{self.name}/{IDENTIFIERS_FILE}"
        return parse_identifiers(self.read_file(IDENTIFIERS_FILE), self.meta, where)

    def read(
        self, split: str, columns: Sequence[str], start: int, stop: int
    ) -> dict[str, np.ndarray]:
        """Raw columns of examples start ... stop - 1, verified; copies, as they are on disk."""
        reader = self.reader(split)
        index = reader.index
        if unknown := [name for name in columns if name not in index.columns]:
            raise DataError(
                f"{self.name}/{split}: no column {unknown[0]!r}, only {', '.join(index.columns)}"
            )
        start, stop = max(0, start), min(stop, int(index.first[-1]))
        parts: dict[str, list[np.ndarray]] = {name: [] for name in columns}
        if start < stop:
            first = int(np.searchsorted(index.first, start, side="right")) - 1
            last = int(np.searchsorted(index.first, stop, side="left"))
            for record in range(first, last):
                base = int(index.first[record])
                rows = slice(max(0, start - base), stop - base)
                for name, array in reader.columns(record, columns).items():
                    parts[name].append(array[rows])
        empty = {
            name: np.empty((0, *index.columns[name].row_shape), index.columns[name].dtype)
            for name in columns
        }
        return {
            name: np.concatenate(arrays) if arrays else empty[name]
            for name, arrays in parts.items()
        }

    def eval_batches(
        self,
        split: str,
        batch_size: int,
        *,
        rank: int = 0,
        ranks: int = 1,
        limit: int | None = None,
        seed: int = 0,
        extras: Sequence[str] = (),
    ) -> Iterator[EvalBatch]:
        """All examples in order, never shuffled, never augmented; equally many batches per rank.

        batch_size is global: each rank gets `batch_size / ranks` (rounded up) consecutive rows of
        each batch. limit: a subset of that many examples drawn by `seed`, in order. extras: other
        columns wanted, such as `ratings`; the split need not have them.
        """
        if batch_size < 1:
            raise ConfigError(f"batch_size={batch_size} holds no example: make it at least 1")
        examples = self.split(split).examples
        chosen: Sequence[int] | np.ndarray = range(examples)
        if limit is not None and limit < examples:
            chosen = np.sort(permutation(make_key(SUBSET, seed), examples)[: max(0, limit)])
        return self._eval_batches(split, chosen, -(-batch_size // ranks), rank, ranks, extras)

    def _eval_batches(
        self,
        split: str,
        chosen: Sequence[int] | np.ndarray,
        local: int,
        rank: int,
        ranks: int,
        extras: Sequence[str],
    ) -> Iterator[EvalBatch]:
        reader = self.reader(split)
        reader.check_sizes()
        first = reader.index.first
        more = [name for name in extras if name in reader.index.columns]
        names = ("inputs", "labels", "puzzle_identifiers", *more)
        meta = self.meta
        for start in range(0, len(chosen), local * ranks):
            rows = min(local * ranks, len(chosen) - start)
            low = start + rank * local
            wanted = np.asarray(chosen[low : min(low + local, start + rows)], np.int64)
            inputs = np.zeros((local, meta.seq_len), np.uint8)
            labels = np.zeros((local, meta.seq_len), np.uint8)
            identifiers = np.zeros(local, np.int32)
            index = np.full(local, -1, np.int64)
            index[: len(wanted)] = wanted
            other: dict[str, np.ndarray] = {}
            records = np.searchsorted(first, wanted, side="right") - 1
            for record in np.unique(records).tolist():
                at = np.flatnonzero(records == record)
                columns = reader.columns(record, names)
                inside = wanted[at] - first[record]
                inputs[at] = columns["inputs"][inside]
                labels[at] = columns["labels"][inside]
                identifiers[at] = columns["puzzle_identifiers"][inside]
                for name in more:
                    values = columns[name]
                    if name not in other:
                        other[name] = np.zeros((local, *values.shape[1:]), values.dtype)
                    other[name][at] = values[inside]
            batch = make_batch(inputs, labels, identifiers, meta, index < 0)
            yield EvalBatch(batch, rows, index, other)
