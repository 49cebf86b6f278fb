"""Open a data set folder; read raw columns; hand out evaluation batches."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hrm_scale.data.batch import EvalBatch, widen
from hrm_scale.data.counter import SUBSET, make_key, permutation
from hrm_scale.data.format import (
    IDENTIFIERS_FILE,
    INDEX_FILE,
    MAX_JSON_BYTES,
    DatasetMeta,
    SplitInfo,
    read_meta,
)
from hrm_scale.data.index import SplitIndex, read_index
from hrm_scale.data.reader import SplitReader
from hrm_scale.data.rebuild import scan_split
from hrm_scale.errors import ConfigError, DataError, nearest
from hrm_scale.untrusted import parse_json, read_bytes

_LOG = logging.getLogger("hrm_scale.data")


def open_dataset(path: str | Path) -> Dataset:
    """Open a data set folder. DataError when missing, not a data set, or damaged."""
    return Dataset(Path(path))


class Dataset:
    """A data set on disk. meta: `DatasetMeta`; path: its folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.meta: DatasetMeta = read_meta(path)
        self._indexes: dict[str, SplitIndex] = {}
        for split in self.meta.splits:
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

    def split(self, name: str) -> SplitInfo:
        """Counts of a split. DataError naming the splits there are."""
        info = self.meta.splits.get(name)
        if info is None:
            known = sorted(self.meta.splits)
            raise DataError(
                f"{self.path}: has no split {name!r}, only {', '.join(known)}."
                f"{nearest(name, known)}"
            )
        return info

    def index(self, split: str) -> SplitIndex:
        """The split's index, from `index.json` or, when that is missing, from the tars."""
        if split not in self._indexes:
            info, folder = self.split(split), self.path / split
            if (folder / INDEX_FILE).is_file():
                self._indexes[split] = read_index(folder, info)
            else:
                self._indexes[split] = scan_split(folder, info)
        return self._indexes[split]

    def reader(self, split: str, *, verify: bool = True) -> SplitReader:
        """A new reader of a split, with its own record of what has been verified."""
        return SplitReader(self.path / split, self.index(split), self.meta, verify=verify)

    def identifiers(self) -> list[str]:
        """Names of the puzzle identifiers."""
        file = self.path / IDENTIFIERS_FILE
        try:
            names = parse_json(read_bytes(file, MAX_JSON_BYTES, links=True))
        except (OSError, ValueError) as error:
            raise DataError(f"{file}: missing or damaged: build the data set again") from error
        texts = isinstance(names, list) and all(isinstance(name, str) for name in names)
        if not texts or len(names) != self.meta.num_puzzle_identifiers:
            raise DataError(f"{file}: does not hold {self.meta.num_puzzle_identifiers} names")
        return names

    def read(
        self, split: str, columns: Sequence[str], start: int, stop: int
    ) -> dict[str, np.ndarray]:
        """Raw columns of examples start ... stop - 1, verified; copies, as they are on disk."""
        reader = self.reader(split)
        index = reader.index
        if unknown := [name for name in columns if name not in index.columns]:
            raise DataError(
                f"{self.path / split}: no column {unknown[0]!r}, only {', '.join(index.columns)}"
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
    ) -> Iterator[EvalBatch]:
        """All examples in order, never shuffled, never augmented; equally many batches per rank.

        batch_size is global: each rank gets `batch_size // ranks` consecutive rows of each batch.
        limit: a subset of that many examples drawn by `seed`, in order. ConfigError when
        `ranks` does not divide `batch_size`.
        """
        if batch_size < 1 or batch_size % ranks:
            raise ConfigError(
                f"evaluation.batch_size={batch_size} cannot be shared by {ranks} processes: "
                f"make it a multiple of {ranks}"
            )
        examples = self.split(split).examples
        chosen = np.arange(examples)
        if limit is not None and limit < examples:
            chosen = np.sort(permutation(make_key(SUBSET, seed), examples)[: max(0, limit)])
        return self._eval_batches(split, chosen, batch_size, rank, ranks)

    def _eval_batches(
        self, split: str, chosen: np.ndarray, batch_size: int, rank: int, ranks: int
    ) -> Iterator[EvalBatch]:
        reader = self.reader(split)
        reader.check_sizes()
        first = reader.index.first
        local = batch_size // ranks
        names = ("inputs", "labels", "puzzle_identifiers")
        meta = self.meta
        for start in range(0, len(chosen), batch_size):
            rows = min(batch_size, len(chosen) - start)
            wanted = chosen[start + rank * local : min(start + (rank + 1) * local, start + rows)]
            inputs = np.zeros((local, meta.seq_len), np.uint8)
            labels = np.zeros((local, meta.seq_len), np.uint8)
            identifiers = np.zeros(local, np.int32)
            index = np.full(local, -1, np.int64)
            index[: len(wanted)] = wanted
            records = np.searchsorted(first, wanted, side="right") - 1
            for record in np.unique(records).tolist():
                at = np.flatnonzero(records == record)
                columns = reader.columns(record, names)
                inside = wanted[at] - first[record]
                inputs[at] = columns["inputs"][inside]
                labels[at] = columns["labels"][inside]
                identifiers[at] = columns["puzzle_identifiers"][inside]
            yield EvalBatch(widen(inputs, labels, identifiers, meta, index < 0), rows, index)
