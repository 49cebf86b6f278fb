"""Bytes of a split against its index: shards, tar headers, members. Shared by verify and lint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xxhash

from hrm_scale.base.errors import DataError
from hrm_scale.data.format.index import SplitIndex, file_sha256, match_index, write_index
from hrm_scale.data.format.members import MemberError, decompress, parse_npy, safe_members
from hrm_scale.data.format.meta import (
    INDEX_FILE,
    MAX_MEMBER_BYTES,
    MEMBER_NAME,
    DatasetMeta,
    SplitInfo,
    read_json,
    row_shape,
)
from hrm_scale.data.format.rebuild import scan_split

from .report import Place, Report


class _Fault(MemberError):
    """A MemberError that knows its code."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def check_shards(folder: Path, info: SplitInfo, report: Report) -> bool:
    """Compare every shard's sha256 with dataset.json; name what does not belong. True if intact."""
    before, size = report.errors, 0
    expected = [f"shard-{number:05d}.tar" for number in range(info.shards)]
    for name, digest in zip(expected, info.sha256, strict=True):
        path = folder / name
        if not path.is_file():
            report.found("E101", "the shard is missing", str(path))
            continue
        size += path.stat().st_size
        if file_sha256(path) != digest:
            report.found(
                "E102",
                "sha256 differs from dataset.json, the shard was changed or damaged",
                str(path),
            )
    intact = report.errors == before
    report.check(f"{folder.name}: sha256 of {info.shards} shards, {size} bytes", report.total)
    for path in sorted(folder.iterdir()):
        if path.name in (*expected, INDEX_FILE) or path.name.startswith("."):
            continue
        code = "E103" if path.name.startswith("shard-") else "W103"
        report.found(code, "not part of the data set: remove it", str(path))
    return intact


def load_index(
    folder: Path, info: SplitInfo, meta: DatasetMeta, report: Report, *, intact: bool
) -> SplitIndex | None:
    """The index on disk; when it is missing, a new one made (and kept); when it is damaged, a new
    one for this check only. None when the tars do not yield one either."""
    file = folder / INDEX_FILE
    missing = not file.exists()
    index = None if missing else _read_index(file, info, report)
    if index is None:
        try:
            index = scan_split(folder, info)
        except DataError as error:
            # With a damaged shard that is the consequence of what was reported already.
            if intact or missing:
                report.found("E106", f"no index can be made of the tars ({error})", str(folder))
            return None
        if missing and intact:
            try:
                write_index(folder, index)
                report.sound(f"{folder.name}: {INDEX_FILE} was missing and has been written again")
            except OSError as error:
                text = f"missing, and cannot be written ({error.strerror})"
                report.found("E201", text, str(file))
    for name, spec in index.columns.items():
        wanted = row_shape(name, meta)
        if wanted is not None and spec.row_shape != wanted:
            report.found(
                "E302", f"rows have shape {spec.row_shape}, dataset.json asks for {wanted}",
                Place(str(file), column=name),
            )  # fmt: skip
            return None
    return index


def _read_index(file: Path, info: SplitInfo, report: Report) -> SplitIndex | None:
    advice = f"delete it and type `python -m tools.shards verify {file.parents[1]}`"
    try:
        index = SplitIndex.from_json(read_json(file))
    except (DataError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        report.found("E201", f"damaged index ({reason}): {advice}", str(file))
        return None
    except RecursionError:
        report.found("E201", f"damaged index: {advice}", str(file))
        return None
    try:
        match_index(index, info, str(file), advice)
    except DataError as error:
        report.found("E202", str(error).removeprefix(f"{file}: "), str(file))
        return None
    return index


def check_headers(folder: Path, index: SplitIndex, report: Report) -> None:
    """Every member of the tars is in the index where it lies, and the other way round."""
    before = report.total
    for number in range(len(index.shards)):
        _compare_with_tar(folder / index.shards[number].name, number, index, report)
    report.check(f"{folder.name}: {INDEX_FILE} agrees with the tars", before)


def _compare_with_tar(path: Path, number: int, index: SplitIndex, report: Report) -> None:
    if not path.is_file():
        return
    if path.stat().st_size != index.shards[number].bytes:
        size, expected = path.stat().st_size, index.shards[number].bytes
        report.found("E105" if size < expected else "E102",
                     f"{size} bytes instead of {expected}", str(path))  # fmt: skip
    records = np.flatnonzero(index.shard == number).tolist()
    expected_at = {
        (record, name): (int(index.offset[name][record]), int(index.size[name][record]))
        for record in records
        for name in index.columns
    }
    try:
        for member in safe_members(path):
            match = MEMBER_NAME.fullmatch(member.name)
            if match is None:
                continue
            key = (int(match["record"]), match["column"])
            place = Place(str(path), key[0], key[1])
            if key not in expected_at:
                report.found("E205", f"is not in {INDEX_FILE}, or is there twice", place)
            elif expected_at.pop(key) != (member.offset_data, member.size):
                report.found("E203", f"lies elsewhere than {INDEX_FILE} says", place)
    except DataError as error:
        report.found("E106", str(error).removeprefix(f"{path}: "), str(path))
        return
    lost: dict[int, list[str]] = {}
    for record, name in expected_at:
        lost.setdefault(record, []).append(name)
    for record, names in lost.items():
        report.found("E204", f"the tar has no {', '.join(names)}", Place(str(path), record))


def sound_records(
    folder: Path, index: SplitIndex, report: Report
) -> Iterator[tuple[Place, int, dict[str, np.ndarray]]]:
    """(place, record, its columns) of every record whose bytes are sound, in order."""
    for number, shard in enumerate(index.shards):
        path = folder / shard.name
        if not path.is_file():
            continue
        with path.open("rb") as stream:
            for record in np.flatnonzero(index.shard == number).tolist():
                columns: dict[str, np.ndarray] = {}
                # One line for columns that suffer the same.
                faults: dict[tuple[str, str], list[str]] = {}
                for name in index.columns:
                    stream.seek(int(index.offset[name][record]))
                    content = stream.read(int(index.size[name][record]))
                    try:
                        columns[name] = _column(content, index, record, name)
                    except _Fault as error:
                        faults.setdefault((error.code, str(error)), []).append(name)
                for (code, text), names in faults.items():
                    report.found(code, text, Place(str(path), record, ", ".join(names)))
                if not faults:
                    yield Place(str(path), record), record, columns


def _column(content: bytes, index: SplitIndex, record: int, name: str) -> np.ndarray:
    """One member as an array; _Fault when it is not what the index says."""
    spec = index.columns[name]
    if len(content) != int(index.size[name][record]):
        raise _Fault("E105", "is cut off, the tar is truncated")
    mismatch = xxhash.xxh3_64_intdigest(content) != int(index.xxh3[name][record])
    try:
        plain = decompress(content, MAX_MEMBER_BYTES) if spec.codec == "zst" else content
        dtype, shape, header = parse_npy(plain)
    except MemberError as error:
        code = "E107" if "pickle" in str(error) else "E108"
        also = " (and its hash differs)" if mismatch else ""
        raise _Fault(code, f"{error}{also}") from error
    if mismatch:
        raise _Fault("E104", "has other bytes than when it was written (xxh3 differs)")
    rows = int(index.examples[record])
    if dtype != spec.dtype or shape != (rows, *spec.row_shape):
        expected = f"{spec.dtype} {[rows, *spec.row_shape]}"
        raise _Fault("E108", f"is {dtype} {list(shape)}, expected {expected}")
    return np.frombuffer(plain, np.dtype(dtype), offset=header).reshape(shape)
