"""Make a split's index again from nothing but its tars."""

from __future__ import annotations

from pathlib import Path

import xxhash

from hrm_scale.base.errors import DataError
from hrm_scale.data.format.index import (
    ColumnSpec,
    MemberEntry,
    RecordEntry,
    ShardEntry,
    SplitIndex,
    check_column,
    file_sha256,
    match_index,
    write_index,
)
from hrm_scale.data.format.members import MemberError, decompress, parse_npy, safe_members
from hrm_scale.data.format.meta import MAX_MEMBER_BYTES, MEMBER_NAME, SplitInfo, read_meta


def rebuild_index(dataset: Path) -> dict[str, SplitIndex]:
    """Re-create and write `index.json` of every split. DataError names a damaged shard."""
    meta = read_meta(dataset)
    rebuilt = {}
    for split, info in meta.splits.items():
        rebuilt[split] = scan_split(dataset / split, info)
        write_index(dataset / split, rebuilt[split])
    return rebuilt


def scan_split(folder: Path, info: SplitInfo) -> SplitIndex:
    """Read every member of a split and return its index (nothing is written)."""
    columns: dict[str, ColumnSpec] = {}
    shards: list[ShardEntry] = []
    records: list[RecordEntry] = []
    for number in range(info.shards):
        path = folder / f"shard-{number:05d}.tar"
        if not path.is_file():
            raise DataError(f"{path}: shard is missing: restore it or build the data set again")
        records.extend(_scan_shard(path, number, len(records), columns))
        digest = file_sha256(path)
        if digest != info.sha256[number]:
            raise DataError(
                f"{path}: sha256 differs from dataset.json, the shard was changed or damaged: "
                "restore it or build the data set again"
            )
        shards.append(ShardEntry(path.name, path.stat().st_size, digest))
    for name, column in columns.items():
        try:
            check_column(name, column)
        except ValueError as error:
            raise DataError(f"{folder}: {error}: build the data set again") from error
    index = SplitIndex.from_records(dict(sorted(columns.items())), shards, records)
    try:
        index.check()
    except ValueError as error:
        raise DataError(f"{folder}: {error}: build the data set again") from error
    match_index(index, info, str(folder), "build the data set again")
    return index


def _scan_shard(
    path: Path, shard: int, first_record: int, columns: dict[str, ColumnSpec]
) -> list[RecordEntry]:
    """Entries of one shard; `columns` is filled by the first record and compared after that."""
    found: dict[int, dict[str, MemberEntry]] = {}
    examples: dict[int, int] = {}
    with path.open("rb") as stream:
        for member in safe_members(path):
            match = MEMBER_NAME.fullmatch(member.name)
            if match is None:
                continue
            record, column = int(match["record"]), match["column"]
            where = f"{path}: record {record:06d}, column {column}"
            stream.seek(member.offset_data)
            content = stream.read(member.size)
            try:
                if len(content) != member.size:
                    raise MemberError("is cut short, the tar is truncated")
                plain = decompress(content, MAX_MEMBER_BYTES) if match["zst"] else content
                dtype, shape, _ = parse_npy(plain)
            except MemberError as error:
                raise DataError(
                    f"{where} {error}: restore the shard or build the data set again"
                ) from error
            spec = ColumnSpec(dtype, shape[1:], "zst" if match["zst"] else "none")
            if columns.setdefault(column, spec) != spec:
                raise DataError(f"{where} is {spec}, but earlier records have {columns[column]}")
            if examples.setdefault(record, shape[0]) != shape[0]:
                raise DataError(f"{where} has {shape[0]} rows, other columns {examples[record]}")
            entry = MemberEntry(member.offset_data, member.size, xxhash.xxh3_64_intdigest(content))
            if found.setdefault(record, {}).setdefault(column, entry) != entry:
                raise DataError(f"{where} occurs twice")
    entries = []
    for expected, record in enumerate(sorted(found), first_record):
        if record != expected:
            raise DataError(f"{path}: record {expected:06d} is missing: restore the shard")
        if missing := columns.keys() - found[record].keys():
            raise DataError(f"{path}: record {record:06d} lacks {', '.join(sorted(missing))}")
        entries.append(RecordEntry(shard, examples[record], found[record]))
    return entries
