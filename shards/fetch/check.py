"""Is what was fetched what was published?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from hrm_scale.base.errors import DataError

from ..builder.archive import read_files
from ..builder.csv_rows import file_sha256, read_rows
from .sources import LICENCE, Source, digest_of

_COLUMNS = ("question", "answer")
_MOST_BYTES = 128 << 20


def checked_tasks(source: Source, path: Path) -> dict[str, bytes]:
    """The task files and the licence of an archive or a folder. DataError unless as published."""
    assert source.tasks is not None
    wanted = re.compile(f"{source.tasks.pattern}|{LICENCE}")
    files = dict(read_files(path, wanted, _MOST_BYTES))
    tasks = {name: content for name, content in files.items() if name != LICENCE}
    if not tasks:
        raise DataError(
            f"{path}: holds no task files of {source.pinned.split()[0]}: give its archive, or the "
            "folder of a clone"
        )
    digest = digest_of(tasks)
    if digest != source.digest:
        raise DataError(
            f"{path}: holds {len(tasks)} tasks with digest {digest[:16]}..., expected "
            f"{source.count} with {source.digest[:16]}...: it is damaged or not {source.pinned}"
        )
    return files


def check_csv(source: Source, files: Mapping[str, Path]) -> dict[str, str]:
    """sha256 of each CSV file. DataError when one has other columns or another number of rows.

    The publisher gives no hashes; every row is checked when a data set is built.
    """
    assert source.rows is not None
    hashes = {}
    for name, path in files.items():
        rows = sum(len(block) for block in read_rows(path, _COLUMNS))
        wanted = source.rows[name]
        if rows != wanted:
            raise DataError(
                f"{path}: has {rows} rows, {name} of {source.pinned.split()[0]} has {wanted}: it "
                "is incomplete or another file; `python -m shards.sudoku` and `shards.maze` read "
                "any files by --source csv --input DIR"
            )
        hashes[path.name] = file_sha256(path)
    return hashes
