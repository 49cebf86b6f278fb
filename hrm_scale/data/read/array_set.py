"""The arrays of one set of a published `.npy` data folder, mapped and checked."""

from __future__ import annotations

import hashlib
import mmap
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.base.untrusted import open_regular
from hrm_scale.data.format.members import MemberError, parse_npy

RECORD_EXAMPLES = 1024
"""A record is the shortest run of whole groups with at least so many examples."""
SAMPLED_BLOCKS, BLOCK = 256, 4096
ADVICE = "restore the folder, or make it again with the program that wrote it"


@dataclass(frozen=True)
class ArraySet:
    """The five arrays of one set, checked against each other.

    inputs, labels [n, seq_len] of any whole-number type, mapped; identifiers int32 [puzzles];
    rows int64 [puzzles + 1], first example of each puzzle; puzzles int64 [groups + 1], first
    puzzle of each group. records int64 [records + 1]: first group of each record.
    """

    files: dict[str, tuple[Path, int]]  # name -> file and its size when it was opened
    inputs: np.ndarray
    labels: np.ndarray
    identifiers: np.ndarray
    rows: np.ndarray
    puzzles: np.ndarray
    records: np.ndarray
    sha256: str

    @property
    def record_rows(self) -> np.ndarray:
        """First example of each record, int64 [records + 1]."""
        return self.rows[self.puzzles[self.records]]


def open_set(folder: Path, name: str, seq_len: int, identifiers: int) -> ArraySet:
    """Map and check `NAME__*.npy`. DataError, one line, naming the file that is wrong."""
    kinds = ("inputs", "labels", "puzzle_identifiers", "puzzle_indices", "group_indices")
    files = {kind: folder / f"{name}__{kind}.npy" for kind in kinds}
    arrays = {kind: map_npy(file) for kind, file in files.items()}
    for kind, array in arrays.items():
        wanted = 2 if kind in ("inputs", "labels") else 1
        if array.ndim != wanted or array.dtype.kind not in "iu":
            raise DataError(
                f"{files[kind]}: holds {array.dtype.str} {array.shape}, whole numbers with "
                f"{wanted} axes are expected: {ADVICE}"
            )
    examples = len(arrays["inputs"])
    for kind in ("inputs", "labels"):
        if arrays[kind].shape != (examples, seq_len):
            raise DataError(
                f"{files[kind]}: has shape {arrays[kind].shape}, ({examples}, {seq_len}) is "
                f"expected: {ADVICE}"
            )
    ids = arrays["puzzle_identifiers"]
    rows = _bounds(files["puzzle_indices"], arrays["puzzle_indices"], len(ids), examples)
    puzzles = _bounds(files["group_indices"], arrays["group_indices"], None, len(ids))
    if int(ids.min()) < 0 or int(ids.max()) >= identifiers:
        wrong = int(ids.max()) if int(ids.max()) >= identifiers else int(ids.min())
        raise DataError(
            f"{files['puzzle_identifiers']}: holds {wrong}, allowed is 0 to {identifiers - 1} "
            f"(num_puzzle_identifiers={identifiers}): {ADVICE}"
        )
    return ArraySet(
        files={kind: (file, file.stat().st_size) for kind, file in files.items()},
        inputs=arrays["inputs"],
        labels=arrays["labels"],
        identifiers=ids.astype(np.int32),
        rows=rows,
        puzzles=puzzles,
        records=_cut(rows[puzzles]),
        sha256=_sampled_sha256(arrays),
    )


def map_npy(path: Path) -> np.ndarray:
    """A read-only array over the mapped file. DataError unless it is a plain `.npy` of numbers."""
    try:
        with open_regular(path, links=True) as stream:
            if os.fstat(stream.fileno()).st_size == 0:
                raise ValueError("is empty")
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        dtype, shape, header = parse_npy(memoryview(mapped))
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing: {ADVICE}") from error
    except (ValueError, MemberError) as error:
        raise DataError(f"{path}: {error}: {ADVICE}") from error
    return np.frombuffer(mapped, np.uint8)[header:].view(dtype).reshape(shape)


def _bounds(path: Path, array: np.ndarray, count: int | None, last: int) -> np.ndarray:
    """int64 bounds of non-empty runs: `count` of them, from 0 to `last`. DataError otherwise."""
    if count is not None and len(array) != count + 1:
        raise DataError(f"{path}: has {len(array)} entries, {count + 1} are expected: {ADVICE}")
    bounds = array.astype(np.int64)
    if len(bounds) < 2 or bounds[0] != 0 or bounds[-1] != last:
        shown = f"{bounds[0]} to {bounds[-1]}" if len(bounds) else "nothing"
        raise DataError(f"{path}: goes from {shown}, expected 0 to {last}: {ADVICE}")
    if len(falls := np.flatnonzero(np.diff(bounds) <= 0)):
        raise DataError(
            f"{path}: entry {falls[0] + 1} is {bounds[falls[0] + 1]} after {bounds[falls[0]]}, "
            f"the entries must grow: {ADVICE}"
        )
    return bounds


def _cut(first_rows: np.ndarray) -> np.ndarray:
    """First group of each record, and the number of groups, int64 [records + 1]."""
    cuts = [0]
    last = len(first_rows) - 1
    while cuts[-1] < last:
        target = first_rows[cuts[-1]] + RECORD_EXAMPLES
        cuts.append(min(last, int(np.searchsorted(first_rows, target))))
    return np.array(cuts, np.int64)


def _sampled_sha256(arrays: dict[str, np.ndarray]) -> str:
    """sha256 of types, shapes, all ids and bounds, and 256 blocks of 4 KiB of each token array.

    Evenly spaced, the first and the last among them; hashing gigabytes whole would take as long
    at every start as training takes to read them.
    """
    digest = hashlib.sha256()
    for kind, array in sorted(arrays.items()):
        digest.update(f"{kind} {array.dtype.str} {array.shape}\n".encode())
        content = array.reshape(-1).view(np.uint8)
        if kind not in ("inputs", "labels") or len(content) <= SAMPLED_BLOCKS * BLOCK:
            digest.update(content.data)
            continue
        for at in np.linspace(0, len(content) - BLOCK, SAMPLED_BLOCKS).astype(np.int64):
            digest.update(content[at : at + BLOCK].data)
    return digest.hexdigest()
