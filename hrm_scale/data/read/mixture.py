"""Several data sets mixed by weights, read as one: a YAML (or JSON) file that names them.

::

    sources:
      - {path: data/arc-1, weight: 3}
      - {path: "s3://bucket/arc-2", weight: 1}

Of any `3 + 1` examples in a row three come from the first source, spread as evenly as whole numbers
allow. Each source is read in its own order, and how far follows from the one position of the run. A
path that is not absolute begins in the file's folder.

The sources' puzzle identifiers are laid end to end behind one common blank; sources that list the
same names share them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hrm_scale.base.errors import ConfigError, DataError
from hrm_scale.base.untrusted import printable, read_bytes
from hrm_scale.data.addresses import is_address
from hrm_scale.data.format.meta import DatasetMeta, SplitInfo, canonical_json
from hrm_scale.data.read.batch import EvalBatch
from hrm_scale.data.read.buffers import BufferPool
from hrm_scale.data.read.dataset import Dataset
from hrm_scale.data.read.stream import ReadOptions, Rows, Stream

MOST_SOURCES = 64
MOST_WEIGHT = 100_000
_SAME = ("kind", "vocab_size", "seq_len", "pad_id", "ignore_label_id", "blank_identifier_id")
_SUFFIXES = (".yaml", ".yml", ".json")
_MAX_BYTES = 1 << 20


def is_mixture(path: str | Path) -> bool:
    """Is this the file of a mixture?"""
    return Path(path).suffix in _SUFFIXES and Path(path).is_file()


def read_mixture(path: Path) -> list[tuple[str, int]]:
    """(path, weight) of every source. ConfigError, one line, when the file is not as it should."""
    import yaml

    try:
        content = yaml.safe_load(read_bytes(path, _MAX_BYTES, links=True))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{path}: cannot be read as a mixture of data sets: {reason}") from error
    entries = content.get("sources") if isinstance(content, dict) else None
    form = "expected `sources: [{path: DIR, weight: N}, ...]`"
    if not isinstance(entries, list) or not 1 <= len(entries) <= MOST_SOURCES or len(content) != 1:
        raise ConfigError(f"{path}: not a mixture of 1 to {MOST_SOURCES} data sets: {form}")
    sources = []
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or set(entry) - {"path", "weight"}:
            raise ConfigError(f"{path}: source {number} is not {{path, weight}}: {form}")
        name, weight = entry.get("path"), entry.get("weight", 1)
        if not isinstance(name, str) or not name:
            raise ConfigError(f"{path}: source {number} has no path: {form}")
        if type(weight) is not int or not 1 <= weight <= MOST_WEIGHT:
            raise ConfigError(
                f"{path}: weight {_shown(weight)} of source {number} is not a whole number from 1"
                f" to {MOST_WEIGHT}: write 3 and 1 for 0.75 and 0.25"
            )
        sources.append((name if is_address(name) else str(path.parent / name), weight))
    return sources


def _shown(value: object) -> str:
    # A few lines of YAML stand for a text of any length.
    return printable(value, 40) if isinstance(value, int | float | str) else type(value).__name__


class Mixture(Dataset):
    """The data sets of a mixture file as one. `sources`: (data set, weight)."""

    def __init__(self, path: Path, open_source: Callable[[str], Dataset]) -> None:
        self.sources = [(open_source(name), weight) for name, weight in read_mixture(path)]
        self._firsts = _first_identifiers([dataset for dataset, _ in self.sources])
        super().__init__(path)

    def _read_meta(self) -> DatasetMeta:
        first = self.sources[0][0].meta
        for dataset, _ in self.sources:
            for name in _SAME:
                if getattr(dataset.meta, name) != getattr(first, name):
                    raise ConfigError(
                        f"{self.path}: {dataset.name} has {name}={getattr(dataset.meta, name)!r},"
                        f" {self.sources[0][0].name} {getattr(first, name)!r}: only data sets of"
                        " one form can be mixed"
                    )
        identifiers = max(
            begin + dataset.meta.num_puzzle_identifiers
            for begin, (dataset, _) in zip(self._firsts, self.sources, strict=True)
        )
        names = sorted({name for dataset, _ in self.sources for name in dataset.meta.splits})
        content = [[dataset.meta.fingerprint, weight] for dataset, weight in self.sources]
        return dataclasses.replace(
            first,
            storage="dense",
            num_puzzle_identifiers=identifiers,
            augmentation={"kind": "none"},
            builder={"name": "mixture", "sources": content},
            extra={},
            splits={name: self._counts(name) for name in names},
            fingerprint=hashlib.sha256(canonical_json(content)).hexdigest(),
        )

    def _counts(self, split: str) -> SplitInfo:
        infos = [d.meta.splits[split] for d, _ in self.sources if split in d.meta.splits]
        total = {
            name: sum(getattr(info, name) for info in infos)
            for name in ("groups", "puzzles", "examples", "records", "shards")
        }
        return SplitInfo(
            **total, stripes=[[1, total["records"]]], sha256=[h for i in infos for h in i.sha256]
        )

    def epoch_examples(self, split: str) -> float:
        """Examples in one pass over every source."""
        return sum(d.epoch_examples(split) for d, _ in self.sources if split in d.meta.splits)

    def identifiers(self) -> list[str]:
        """Names of all puzzle identifiers, those of the sources after each other."""
        names = [""] * self.meta.num_puzzle_identifiers
        for begin, (dataset, _) in zip(self._firsts, self.sources, strict=True):
            own = dataset.identifiers()
            names[begin + 1 : begin + len(own)] = own[1:]
            names[0] = own[0]
        return names

    def stream(self, split: str, options: ReadOptions) -> Stream:
        """The sources' examples, interleaved."""
        if options.reference_batch is not None:
            raise ConfigError(
                f"data.sampling=reference cannot mix data sets, and {self.path} is a mixture: use"
                " data.sampling=epoch"
            )
        streams = []
        for number, (dataset, _) in enumerate(self.sources):
            # Sources that happen to be alike should not be read in step.
            own = dataclasses.replace(options, seed=options.seed + (number << 40))
            streams.append(dataset.stream(split, own))
        return MixedStream(self, streams, [weight for _, weight in self.sources], self._firsts)

    def eval_batches(
        self, split: str, batch_size: int, *, limit: int | None = None, **how: Any
    ) -> Iterator[EvalBatch]:
        """`Dataset.eval_batches` of every source that has the split, one after the other.

        limit: shared out by the number of their examples, at least one for each. There are no
        `extras`: what they mean differs between sources.
        """
        how.pop("extras", None)
        self.split(split)
        total, before = self.split(split).examples, 0
        for begin, (dataset, _) in zip(self._firsts, self.sources, strict=True):
            if split not in dataset.meta.splits:
                continue
            examples = dataset.split(split).examples
            share = None if limit is None else max(1, round(limit * examples / total))
            for part in dataset.eval_batches(split, batch_size, limit=share, **how):
                _shift(part.batch.puzzle_identifiers, begin)
                index = np.where(part.index >= 0, part.index + before, -1)
                yield EvalBatch(part.batch, part.rows, index)
            before += examples

    def reader(self, split: str, *, verify: bool = True) -> Any:
        """A mixture has no records of its own: DataError."""
        raise DataError(f"{self.path}: is a mixture: look into one of its sources instead")


class MixedStream:
    """Positions of several streams, dealt out by weights."""

    def __init__(
        self,
        mixture: Mixture,
        streams: Sequence[Stream],
        weights: Sequence[int],
        first_identifiers: Sequence[int],
    ) -> None:
        self.meta, self.name = mixture.meta, mixture.name
        self.augments = any(stream.augments for stream in streams)
        self._streams, self._firsts = streams, first_identifiers
        self._turn = deal(weights)
        # Of each source, how many of a round's first examples are its own: [sources, round + 1].
        own = self._turn == np.arange(len(streams))[:, None]
        self._before = np.pad(np.cumsum(own, axis=1), ((0, 0), (1, 0)))

    @property
    def masked_examples(self) -> int:
        """How many examples on_error=mask has hidden so far."""
        return sum(stream.masked_examples for stream in self._streams)

    def stats(self) -> dict[str, float]:
        """What reading from addresses cost so far, of all sources together."""
        total: dict[str, float] = {}
        for stream in self._streams:
            for name, value in stream.stats().items():
                total[name] = total.get(name, 0) + value
        return total

    def epoch_of(self, position: int) -> tuple[int, int]:
        """That of the first source, which names the epoch."""
        return self._streams[0].epoch_of(self._place(0, position))

    def epoch_start(self, epoch: int) -> int:
        """Position of the first source's first example of an epoch."""
        rounds, inner = divmod(self._streams[0].epoch_start(epoch), int(self._before[0, -1]))
        at = int(np.searchsorted(self._before[0], inner, side="right")) - 1
        return rounds * len(self._turn) + at

    def close(self) -> None:
        """End what reads ahead."""
        for stream in self._streams:
            stream.close()

    def rows(self, ranges: list[tuple[int, int]], pool: BufferPool) -> Rows:
        """The examples at positions start ... stop - 1 of all ranges, joined."""
        turns = np.concatenate(
            [self._turn[np.arange(start, stop) % len(self._turn)] for start, stop in ranges]
        )
        inputs, labels = pool.empty((2, len(turns), self.meta.seq_len), np.uint8)
        identifiers = np.zeros(len(turns), np.int32)
        damaged = np.zeros(len(turns), np.bool_)
        for source, stream in enumerate(self._streams):
            mine = [(self._place(source, a), self._place(source, b)) for a, b in ranges]
            mine = [span for span in mine if span[0] < span[1]]
            if not mine:
                continue
            at = np.flatnonzero(turns == source)
            rows = stream.rows(mine, pool)
            inputs[at], labels[at] = rows.inputs, rows.labels
            identifiers[at] = _shift(rows.identifiers, self._firsts[source])
            if rows.damaged is not None:
                damaged[at] = rows.damaged
        return Rows(inputs, labels, identifiers, damaged if damaged.any() else None)

    def _place(self, source: int, position: int) -> int:
        """How many examples of a source come before a position."""
        rounds, inner = divmod(position, len(self._turn))
        return rounds * int(self._before[source, -1]) + int(self._before[source, inner])


def deal(weights: Sequence[int]) -> np.ndarray:
    """Whose turn it is in a round of `sum(weights)` turns (reduced), as evenly as can be: int64.

    Turn k of source i, of weight w, is due at (k + 1/2) / w; ties go to the earlier source.
    """
    divisor = math.gcd(*weights)
    due = [(np.arange(w // divisor) + 0.5) / (w // divisor) for w in weights]
    owners = np.concatenate([np.full(len(times), i) for i, times in enumerate(due)])
    return owners[np.lexsort((owners, np.concatenate(due)))]


def _first_identifiers(datasets: Sequence[Dataset]) -> list[int]:
    """What is added to each source's identifiers but the blank one."""
    lists = [d.identifiers() if d.meta.num_puzzle_identifiers > 1 else [] for d in datasets]
    firsts: list[int] = []
    after = 0
    for number, names in enumerate(lists):
        same = next((k for k in range(number) if lists[k] == names), None)
        if same is not None:
            firsts.append(firsts[same])
            continue
        firsts.append(after)
        after += max(0, len(names) - 1)
    return firsts


def _shift(identifiers: np.ndarray, begin: int) -> np.ndarray:
    """Identifiers of a source as those of the mixture, in place; 0 stays the blank one."""
    if begin:
        identifiers[identifiers > 0] += begin
    return identifiers
