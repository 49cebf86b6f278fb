"""Rows of a puzzle table for other puzzles than those it was trained with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hrm_scale.base.errors import CheckpointError, ConfigError, DataError
from hrm_scale.base.untrusted import parse_json, read_bytes
from hrm_scale.data.format.meta import MAX_JSON_BYTES
from hrm_scale.data.read.array_folder import parse_published

WAYS = ("keep", "remap", "extend", "drop")
_CHUNK = 1 << 16  # rows of the table read at a time: 128 MiB at width 512


def places(there: Sequence[str], here: Sequence[str]) -> np.ndarray:
    """For each name here its row there, -1 for none; int64 [len(here)].

    Names of the same variant of the same task are equal, be they spelled `task_t3_0312456789`
    (HRM) or `task|||t3|||0312456789` (TRM, and this program).
    """
    row = {key: number for number, key in enumerate(_keys(there))}
    return np.fromiter((row.get(key, -1) for key in _keys(here)), np.int64, len(here))


def gathered(
    read: Callable[[int, int], Tensor], source: np.ndarray, count: int, width: int
) -> Tensor:
    """Rows fp32 [len(source), width]: row `source[i]` of a table of `count` rows, zeros where that
    is -1. `read` gives the rows from one number to another."""
    rows = torch.zeros(len(source), width)
    for start in range(0, count, _CHUNK):
        stop = min(start + _CHUNK, count)
        inside = np.nonzero((source >= start) & (source < stop))[0]
        if len(inside):
            piece = read(start, stop)
            rows[torch.from_numpy(inside)] = piece[torch.from_numpy(source[inside] - start)].float()
    return rows


def read_names(path: Path) -> list[str]:
    """A list of names, one a row of a table, as the published `identifiers.json` has them."""
    try:
        names = parse_json(read_bytes(path, MAX_JSON_BYTES, links=True))
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file: give the identifiers.json of the data set that the table was"
            " trained with, by --identifiers-file"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {error}: a JSON list of names is expected") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path}: no list of names: give the published identifiers.json")
    return names


def kept(table: Tensor, wanted: int | None, origin: str, data: str) -> tuple[Tensor, str]:
    """The table as it is. Raises CheckpointError when the data set has another number of rows."""
    if wanted is not None and wanted != len(table):
        raise CheckpointError(
            f"{origin}: the puzzle table has {len(table)} rows, {data} has {wanted} identifiers;"
            " type --identifiers remap (rows by name, with --identifiers-file), extend (the first"
            f" {len(table)} are the same puzzles, zeros behind), or drop (no rows of its own for"
            " any puzzle)"
        )
    return table, "as it was"


def extended(table: Tensor, wanted: int, origin: str, data: str) -> tuple[Tensor, str]:
    """Zero rows behind, up to the data set's number."""
    if wanted < len(table):
        raise CheckpointError(
            f"{origin}: the puzzle table has {len(table)} rows, more than the {wanted} identifiers"
            f" of {data}: nothing to extend; type --identifiers remap or drop"
        )
    more = table.new_zeros(wanted - len(table), table.shape[1])
    return torch.cat((table, more)), f"the first {len(table)} rows as they were, zeros behind"


def remapped(
    table: Tensor, there: list[str], here: list[str], origin: str, data: str
) -> tuple[Tensor, str]:
    """Each row where the data set has the puzzle of the same name, zeros for puzzles without."""
    for names, whose in ((there, "the names of the table"), (here, data)):
        keys = list(_keys(names))
        if len(set(keys)) != len(keys):
            raise DataError(f"{whose}: a name occurs twice, so rows cannot be told by name")
    if len(there) != len(table):
        raise CheckpointError(
            f"{origin}: the puzzle table has {len(table)} rows, its identifiers file {len(there)}"
            " names: give the identifiers.json of the data set that the table was trained with"
        )
    source = places(there, here)
    taken = int((source >= 0).sum())
    # The blank row has the same name everywhere.
    if taken <= 1 < len(here):
        raise CheckpointError(
            f"{origin}: of the {len(here)} identifiers of {data}, {taken} are in its identifiers"
            " file: other puzzles; type --identifiers drop to go on without rows"
        )
    rows = gathered(lambda start, stop: table[start:stop], source, *table.shape)
    return rows, f"{taken} of {len(here)} rows by name, {len(here) - taken} are zeros"


def dropped(table: Tensor, blank: int) -> tuple[Tensor, str]:
    """The row of the blank identifier alone."""
    return table[blank : blank + 1].clone(), (
        "the blank row alone: puzzles of ARC lose what was learned of each, and with it nearly all"
        " accuracy, until rows are trained again (init_from)"
    )


def require_data(how: str) -> ConfigError:
    """The error for a way that needs a data set where none was given."""
    return ConfigError(
        f"--identifiers {how} needs the data set whose puzzles the rows shall stand for:"
        " type --data-path DATASET too"
    )


def _keys(names: Sequence[str]) -> list[tuple[str, bytes]]:
    tasks, variants = parse_published(list(names))
    return [(task, row.tobytes()) for task, row in zip(tasks, variants, strict=True)]
