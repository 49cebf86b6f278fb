"""Write a data set: everything goes to a temporary sibling folder that is renamed at the end.

A builder does this (pieces may have any length; the writer cuts records itself)::

    with DatasetWriter(output_dir, meta, overwrite=False) as writer:
        writer.write_split("test", [{"inputs": ..., "labels": ..., "puzzle_identifiers": ...,
                                     "groups": ...}])
        with writer.split("train") as split:          # the striped (dense) case
            for k in range(count + 1):
                split.write({...})                    # every group once: one of its augmentations
                split.end_stripe()                    # forces a record boundary, closes stripe k
        writer.write_identifiers(["<blank>"])         # and write_file(name, data) for others

Leaving the block without an error writes `dataset.json` last, fsyncs and renames; leaving it
with an error removes the temporary folder.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.base.files import fsync_path, write_file
from hrm_scale.base.output import cannot_write, check_folder
from hrm_scale.data.format.meta import (
    DATASET_FILE,
    IDENTIFIERS_FILE,
    SPLIT_NAME,
    DatasetMeta,
    SplitInfo,
    fingerprint,
    meta_to_json,
)
from hrm_scale.data.format.split_writer import SplitWriter

Identifiers = Sequence[str] | Sequence[Sequence[str | int]]
"""Names of identifiers, one each or as runs (name, count)."""


class DatasetWriter:
    """Context manager that builds one data set folder atomically.

    output_dir: the folder to make. An existing, non-empty one is refused with a DataError
        unless `overwrite`, which only ever replaces a folder that is itself a data set.
    meta: everything but `splits` and `fingerprint`, which the writer fills in.
    chunk_examples: examples per record (a record ends earlier only at `end_stripe()`, at the end
        of the split, or to keep a group whole; it is longer only when one group is).
    shard_bytes: a shard is closed at the first record boundary at or after this size.
    compression: "none", or "zst" (alias "zstd"): every member is compressed by itself.
    """

    def __init__(
        self,
        output_dir: Path,
        meta: DatasetMeta,
        *,
        chunk_examples: int = 1024,
        shard_bytes: int = 64 << 20,
        compression: str = "none",
        overwrite: bool = False,
    ) -> None:
        self.output_dir = Path(output_dir)
        self._overwrite = overwrite
        check_output_dir(self.output_dir, overwrite=overwrite)
        codecs = {"none": "none", "zst": "zst", "zstd": "zst"}
        if compression not in codecs:
            raise DataError(f"compression={compression!r} is unknown: use none or zstd")
        if chunk_examples < 1:
            raise DataError(f"chunk_examples={chunk_examples} must be at least 1")
        self._meta = meta
        self._codec = codecs[compression]
        self._chunk_examples = chunk_examples
        self._shard_bytes = shard_bytes
        self._splits: dict[str, SplitInfo] = {}
        self._identifiers: bytes | None = None
        self._files: set[str] = set()
        prefix = f".{self.output_dir.name}.tmp-{socket.gethostname()}-"
        self._temporary = self.output_dir.parent / f"{prefix}{os.getpid()}"
        self._remove_abandoned(prefix)

    def __enter__(self) -> DatasetWriter:
        shutil.rmtree(self._temporary, ignore_errors=True)
        try:
            self._temporary.mkdir(parents=True)
        except OSError as error:
            raise cannot_write(error, self.output_dir, "--output-dir") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._publish()
        finally:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def split(self, split: str) -> SplitWriter:
        """Open a split to write piece by piece: `.write(columns)`, `.end_stripe()`, `.close()`.

        Use it as a context manager. A split is striped when `end_stripe()` was called more than
        once: then every stripe must hold every group exactly once, each with one of its puzzles
        (in a Sudoku set: one example), and one epoch reads one stripe. Rows written after the
        last `end_stripe()` form a further stripe. Without any call the split is one stripe.
        """
        if not SPLIT_NAME.fullmatch(split):
            raise DataError(f"{split!r} cannot name a split: use letters, digits, '-' and '_'")
        if split in self._splits:
            raise DataError(f"split {split!r} is written twice")

        def finished(info: SplitInfo) -> None:
            self._splits[split] = info

        return SplitWriter(
            self._temporary / split,
            self._meta,
            chunk_examples=self._chunk_examples,
            shard_bytes=self._shard_bytes,
            codec=self._codec,
            finished=finished,
        )

    def write_split(self, split: str, columns: Iterable[Mapping[str, np.ndarray]]) -> None:
        """Write a split that is not striped from pieces of any length.

        Each piece maps a column's name to an array with one row per example:
        inputs [n, S] uint8, labels [n, S] uint8, puzzle_identifiers [n] int32, groups [n] int32,
        optionally puzzles [n] int32 and further columns. The rows of a group are contiguous.
        """
        with self.split(split) as writer:
            for piece in columns:
                writer.write(piece)

    def write_identifiers(self, names: Identifiers) -> None:
        """Names of the puzzle identifiers; name i belongs to identifier i.

        Either one name each, or runs (name, how many identifiers in a row belong to it).
        """
        count = sum(1 if isinstance(entry, str) else int(entry[1]) for entry in names)
        if count != self._meta.num_puzzle_identifiers:
            raise DataError(
                f"{count} identifier names for num_puzzle_identifiers="
                f"{self._meta.num_puzzle_identifiers}: give one name per identifier"
            )
        self._identifiers = identifiers_json(names)

    def write_file(self, name: str, data: bytes) -> None:
        """A further file of the data set, beside `dataset.json`; `name` is a plain file name."""
        reserved = (DATASET_FILE, IDENTIFIERS_FILE, *self._splits)
        if name in self._files or name in reserved or Path(name).name != name or name[0] == ".":
            raise DataError(f"{name!r} cannot name a further file of a data set: choose another")
        self._files.add(name)
        write_file(self._temporary / name, data)

    def _publish(self) -> None:
        if not self._splits:
            raise DataError(f"{self.output_dir}: nothing was written: a data set needs a split")
        if self._identifiers is None:
            if self._meta.num_puzzle_identifiers != 1:
                raise DataError("identifier names are missing: call write_identifiers first")
            self._identifiers = identifiers_json(["<blank>"])
        write_file(self._temporary / IDENTIFIERS_FILE, self._identifiers)
        meta = dataclasses.replace(self._meta, splits=dict(sorted(self._splits.items())))
        meta = dataclasses.replace(meta, fingerprint=fingerprint(meta))
        write_file(self._temporary / DATASET_FILE, meta_to_json(meta).encode())
        for split in self._splits:
            fsync_path(self._temporary / split)
        fsync_path(self._temporary)
        check_output_dir(self.output_dir, overwrite=self._overwrite)
        retired = self._temporary.with_name(self._temporary.name + "-old")
        if self.output_dir.exists() and any(self.output_dir.iterdir()):
            os.rename(self.output_dir, retired)
        os.rename(self._temporary, self.output_dir)
        fsync_path(self.output_dir.parent)
        shutil.rmtree(retired, ignore_errors=True)

    def _remove_abandoned(self, prefix: str) -> None:
        """Delete what builders of this folder left on this machine when they were killed."""
        if not self.output_dir.parent.is_dir():
            return
        for folder in list(self.output_dir.parent.iterdir()):
            if not folder.name.startswith(prefix):
                continue
            pid = folder.name[len(prefix) :].removesuffix("-old")
            if pid.isdigit() and not Path(f"/proc/{pid}").exists() and Path("/proc").is_dir():
                shutil.rmtree(folder, ignore_errors=True)


def identifiers_json(names: Identifiers) -> bytes:
    """The bytes of `identifiers.json`, one entry a line."""
    lines = (json.dumps(entry, separators=(",", ":"), ensure_ascii=True) for entry in names)
    return ("[\n" + ",\n".join(lines) + "\n]\n").encode()


def check_output_dir(output_dir: Path, *, overwrite: bool) -> None:
    """Raise when `output_dir` must not be written to (also useful before long work): DataError when
    something is there that must stay, else as `check_folder`."""
    check_folder(output_dir, "--output-dir")
    if not output_dir.exists() or not any(output_dir.iterdir()):
        return
    if not overwrite:
        raise DataError(
            f"{output_dir}: already exists and is not empty: choose another --output-dir, "
            "or add --overwrite to replace it"
        )
    if not (output_dir / DATASET_FILE).is_file():
        raise DataError(
            f"{output_dir}: is not a data set (no {DATASET_FILE}), so --overwrite does not replace "
            "it: choose another --output-dir"
        )
