"""What the puzzle identifiers stand for: tasks, variants, names."""

from __future__ import annotations

import hashlib

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.base.untrusted import parse_json
from hrm_scale.data.format.members import MemberError, parse_npy
from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.puzzles.arc.grid import COLOURS, IDENTITY, VARIANT_BYTES, parse_name

_REBUILD = "restore it or build the data set again"
_DIHEDRALS = 8


Task = tuple[str, int, int]
"""(name, first identifier, how many): the consecutive identifiers of one task."""


def parse_identifiers(content: bytes, meta: DatasetMeta, where: str) -> list[str] | list[Task]:
    """`identifiers.json`: a list of names, or of `[task, count]` runs (returned as tasks).

    DataError, one line that begins with `where`, when it is neither, has another number of
    identifiers than `dataset.json` says, or another hash than its `augmentation.names_sha256`.
    """
    _check_hash(content, meta.augmentation.get("names_sha256"), "names_sha256", where)
    try:
        entries = parse_json(content)
    except ValueError as error:
        raise DataError(f"{where}: not valid JSON ({error}): {_REBUILD}") from error
    wanted = meta.num_puzzle_identifiers
    if isinstance(entries, list) and all(isinstance(entry, str) for entry in entries):
        if len(entries) != wanted:
            raise DataError(f"{where}: does not hold {wanted} names: {_REBUILD}")
        return entries
    if not isinstance(entries, list) or not all(_is_run(entry) for entry in entries):
        raise DataError(f"{where}: neither names nor pairs of task and count: {_REBUILD}")
    tasks: list[Task] = []
    first = 0
    for name, count in entries:
        tasks.append((name, first, count))
        first += count
    if first != wanted:
        raise DataError(f"{where}: counts {first} identifiers, not {wanted}: {_REBUILD}")
    return tasks


def tasks_of(names: list[str]) -> list[Task]:
    """Tasks in a list of names: neighbours whose names differ in nothing but the variant."""
    tasks: list[Task] = []
    for number, name in enumerate(names):
        task = parse_name(name)[0]
        if tasks and tasks[-1][0] == task:
            tasks[-1] = (task, tasks[-1][1], tasks[-1][2] + 1)
        else:
            tasks.append((task, number, 1))
    return tasks


def parse_augmentations(content: bytes, meta: DatasetMeta, where: str) -> np.ndarray:
    """`augmentations.npy`: variants of all identifiers, uint8 [identifiers, 11].

    DataError, one line that begins with `where`, when it is anything else, or has another hash
    than `augmentation.table_sha256` in `dataset.json`.
    """
    _check_hash(content, meta.augmentation.get("table_sha256"), "table_sha256", where)
    try:
        dtype, shape, header = parse_npy(memoryview(content))
    except MemberError as error:
        raise DataError(f"{where}: {error}: {_REBUILD}") from error
    wanted = (meta.num_puzzle_identifiers, VARIANT_BYTES)
    if (dtype, shape) != ("|u1", wanted):
        raise DataError(f"{where}: is {dtype} {shape}, expected |u1 {wanted}: {_REBUILD}")
    table = np.frombuffer(content, np.uint8, offset=header).reshape(wanted)
    colours = np.sort(table[:, 1:], axis=1) == np.arange(COLOURS, dtype=np.uint8)
    if not (colours.all() and (table[:, 0] < _DIHEDRALS).all()):
        raise DataError(f"{where}: holds a row that is no variant of a grid: {_REBUILD}")
    return table


def variant_names(tasks: list[Task], table: np.ndarray) -> list[str]:
    """Names of all identifiers: `variant_name` of each, many at once."""
    tail = table.copy()
    tail += ord("0")
    digits = tail.tobytes().decode("ascii")
    original = (table == IDENTITY).all(axis=1).tolist()
    names = []
    for name, first, count in tasks:
        for row in range(first, first + count):
            at = row * VARIANT_BYTES
            shown = digits[at], digits[at + 1 : at + VARIANT_BYTES]
            names.append(name if original[row] else f"{name}|||t{shown[0]}|||{shown[1]}")
    return names


def _is_run(entry: object) -> bool:
    return (
        isinstance(entry, list)
        and len(entry) == 2
        and isinstance(entry[0], str)
        and type(entry[1]) is int
        and entry[1] > 0
    )


def _check_hash(content: bytes, wanted: object, name: str, where: str) -> None:
    if wanted is None:
        return
    if hashlib.sha256(content).hexdigest() != wanted:
        raise DataError(
            f"{where}: its sha256 is not augmentation.{name} of dataset.json, the file was changed"
            f" or damaged: {_REBUILD}"
        )
