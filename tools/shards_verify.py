"""Check every byte of a data set, and every puzzle in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xxhash

from hrm_scale.data.dataset import Dataset
from hrm_scale.data.format import INDEX_FILE, MAX_MEMBER_BYTES, MEMBER_NAME, SplitInfo
from hrm_scale.data.index import SplitIndex, file_sha256, read_index, write_index
from hrm_scale.data.members import MemberError, decompress, parse_npy, safe_members
from hrm_scale.data.rebuild import scan_split
from hrm_scale.data.values import out_of_range
from hrm_scale.errors import DataError
from tools.shards_sudoku import SudokuCheck

_MOST_FAULTS = 20


class Report:
    """Prints a line per check; faults are counted, and listed up to a limit."""

    def __init__(self) -> None:
        self.faults = 0

    def sound(self, text: str) -> None:
        print(f"ok     {text}", flush=True)

    def fault(self, text: str) -> None:
        self.faults += 1
        if self.faults <= _MOST_FAULTS:
            print(f"FAULT  {text}", flush=True)
        elif self.faults == _MOST_FAULTS + 1:
            print("FAULT  more of them, not listed", flush=True)

    def check(self, text: str, faults_before: int) -> None:
        """A line for a whole check, when it found nothing."""
        if self.faults == faults_before:
            self.sound(text)


def verify(directory: Path, *, unique: bool = False) -> None:
    """Print one line per check. Raises DataError when anything at all is wrong."""
    report = Report()
    dataset = Dataset(directory)
    meta = dataset.meta
    report.sound(f"dataset.json: {meta.kind}, {meta.storage}, fingerprint {meta.fingerprint}")
    try:
        names = dataset.identifiers()
        report.sound(f"identifiers.json: {len(names)} names")
    except DataError as error:
        report.fault(str(error))
    for split in sorted(meta.splits, key=lambda name: (name != "train", name)):
        _verify_split(dataset, split, meta.splits[split], report, unique=unique)
    if report.faults:
        raise DataError(
            f"{directory}: {report.faults} faults found: restore the files named above from their "
            "source, or build the data set again"
        )
    examples = sum(info.examples for info in meta.splits.values())
    report.sound(f"{directory}: all {examples} examples are sound")


def _verify_split(
    dataset: Dataset, split: str, info: SplitInfo, report: Report, *, unique: bool
) -> None:
    folder = dataset.path / split
    before = report.faults
    size = sum(_verify_shard_file(folder, number, info, report) for number in range(info.shards))
    report.check(f"{split}: sha256 of {info.shards} shards, {size} bytes", before)
    for path in sorted(folder.glob("shard-*")):
        if path.name not in {f"shard-{number:05d}.tar" for number in range(info.shards)}:
            report.fault(f"{path}: not part of the data set: remove it")

    index = _index(folder, split, info, report, intact=report.faults == before)
    if index is None:
        return
    for number in range(info.shards):
        _compare_with_tar(folder, number, index, report)
    report.check(f"{split}: {INDEX_FILE} agrees with the tars", before)

    sudoku = SudokuCheck(dataset.meta, unique=unique) if dataset.meta.kind == "sudoku" else None
    groups: list[np.ndarray] = []
    for record, where, columns in _records(dataset, folder, index, report):
        if problem := out_of_range(columns, dataset.meta):
            report.fault(f"{where}: {problem}")
            continue
        groups.append(columns["groups"])
        if sudoku is not None:
            first = int(index.first[record])
            first_stripe = record < int(info.stripe_records[0])
            for row, text in sudoku.problems(columns, search=first_stripe):
                report.fault(f"{where}, row {row} (example {first + row}): {text}")
    report.check(f"{split}: xxh3, types, shapes, ranges of {index.records} records", before)
    if sudoku is not None:
        report.check(f"{split}: {sudoku.summary(len(info.stripe_records))}", before)
    if report.faults == before:
        _verify_counts(folder, info, index, groups, report)


def _verify_shard_file(folder: Path, number: int, info: SplitInfo, report: Report) -> int:
    """Size in bytes of a shard whose sha256 was compared."""
    path = folder / f"shard-{number:05d}.tar"
    if not path.is_file():
        report.fault(f"{path}: shard is missing")
        return 0
    if file_sha256(path) != info.sha256[number]:
        report.fault(f"{path}: sha256 differs from dataset.json, the shard was changed or damaged")
    return path.stat().st_size


def _index(
    folder: Path, split: str, info: SplitInfo, report: Report, *, intact: bool
) -> SplitIndex | None:
    try:
        if (folder / INDEX_FILE).is_file():
            return read_index(folder, info)
        index = scan_split(folder, info)
    except DataError as error:
        report.fault(str(error))
        return None
    if intact:
        try:
            write_index(folder, index)
            report.sound(f"{split}: {INDEX_FILE} was missing and has been written again")
        except OSError as error:
            reason = error.strerror
            report.fault(f"{folder / INDEX_FILE}: missing, and cannot be written ({reason})")
    return index


def _compare_with_tar(folder: Path, number: int, index: SplitIndex, report: Report) -> None:
    """Every member of the tar is in the index where it lies, and the other way round."""
    path = folder / index.shards[number].name
    if not path.is_file():
        return
    records = np.flatnonzero(index.shard == number)
    expected = {
        (int(record), name): (int(index.offset[name][record]), int(index.size[name][record]))
        for record in records
        for name in index.columns
    }
    try:
        for member in safe_members(path):
            match = MEMBER_NAME.fullmatch(member.name)
            if match is None:
                continue
            key = (int(match["record"]), match["column"])
            where = f"{path}: record {key[0]:06d}, column {key[1]}"
            if key not in expected:
                report.fault(f"{where} is not in {INDEX_FILE}, or is there twice")
            elif expected.pop(key) != (member.offset_data, member.size):
                report.fault(f"{where} lies elsewhere than {INDEX_FILE} says")
    except DataError as error:
        report.fault(str(error))
        return
    lost: dict[int, list[str]] = {}
    for record, name in expected:
        lost.setdefault(record, []).append(name)
    for record, names in lost.items():
        report.fault(f"{path}: record {record:06d}: the tar has no {', '.join(names)}")


def _records(
    dataset: Dataset, folder: Path, index: SplitIndex, report: Report
) -> Iterator[tuple[int, str, dict[str, np.ndarray]]]:
    """(record, where it is, its columns) of every record whose bytes are sound."""
    for number, shard in enumerate(index.shards):
        path = folder / shard.name
        if not path.is_file():
            continue
        with path.open("rb") as stream:
            for record in np.flatnonzero(index.shard == number).tolist():
                where = f"{path}: record {record:06d}"
                columns: dict[str, np.ndarray] = {}
                faults: dict[str, list[str]] = {}  # one line for columns that suffer the same
                for name in index.columns:
                    stream.seek(int(index.offset[name][record]))
                    content = stream.read(int(index.size[name][record]))
                    try:
                        columns[name] = _column(content, index, record, name)
                    except MemberError as error:
                        faults.setdefault(str(error), []).append(name)
                for text, names in faults.items():
                    report.fault(f"{where}, column {', '.join(names)} {text}")
                if len(columns) == len(index.columns):
                    yield record, where, columns


def _column(content: bytes, index: SplitIndex, record: int, name: str) -> np.ndarray:
    """One member as an array. MemberError in words when it is not what the index says."""
    spec = index.columns[name]
    if len(content) != int(index.size[name][record]):
        raise MemberError("is cut off, the tar is truncated")
    mismatch = xxhash.xxh3_64_intdigest(content) != int(index.xxh3[name][record])
    try:
        plain = decompress(content, MAX_MEMBER_BYTES) if spec.codec == "zst" else content
        dtype, shape, header = parse_npy(plain)
    except MemberError as error:
        raise MemberError(f"{error}" + (" (and its hash differs)" if mismatch else "")) from error
    if mismatch:
        raise MemberError("has other bytes than when it was written (xxh3 differs)")
    rows = int(index.examples[record])
    if dtype != spec.dtype or shape != (rows, *spec.row_shape):
        raise MemberError(
            f"is {dtype} {list(shape)}, expected {spec.dtype} {[rows, *spec.row_shape]}"
        )
    return np.frombuffer(plain, np.dtype(dtype), offset=header).reshape(shape)


def _verify_counts(
    folder: Path, info: SplitInfo, index: SplitIndex, groups: list[np.ndarray], report: Report
) -> None:
    """Counts of dataset.json, and that every stripe holds every group in one run."""
    before = report.faults
    ends = np.cumsum(info.stripe_records)
    for stripe, (first, last) in enumerate(zip(ends - info.stripe_records, ends, strict=True)):
        column = np.concatenate(groups[first:last])
        runs = column[np.append(True, column[1:] != column[:-1])]
        if len(np.unique(runs)) != len(runs) or len(runs) != info.groups:
            report.fault(
                f"{folder}: stripe {stripe} has {len(np.unique(runs))} groups in {len(runs)} runs, "
                f"expected {info.groups} groups, each in one run"
            )
    report.check(
        f"{folder.name}: counts: {info.groups} groups, {info.examples} examples in "
        f"{len(info.stripe_records)} stripes of {index.records} records",
        before,
    )
