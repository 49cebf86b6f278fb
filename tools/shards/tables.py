"""The files beside the splits: names of identifiers, table of variants, test puzzles."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hrm_scale.base.untrusted import parse_json, read_bytes
from hrm_scale.data.format.members import MemberError, parse_npy
from hrm_scale.data.format.meta import IDENTIFIERS_FILE, MAX_JSON_BYTES, DatasetMeta
from hrm_scale.puzzles.arc.grid import COLOURS, IDENTITY, SIDE, VARIANT_BYTES, encode

from .report import Report

VARIANTS_FILE = "augmentations.npy"
TEST_FILE = "test_puzzles.json"
_MAX_TABLE = 1 << 30


@dataclass(frozen=True)
class ArcTables:
    """Tasks with the identifiers of their variants.

    names: of the tasks, the blank's first. first, count: int64 [tasks]. variants: uint8 [N, 11].
    test_puzzles: tokens (inputs, labels) [k, 900] of the test pairs of each task, or None.
    """

    names: list[str]
    first: np.ndarray
    count: np.ndarray
    variants: np.ndarray
    test_puzzles: dict[str, tuple[np.ndarray, np.ndarray]] | None
    test_file: str


def check_tables(path: Path, meta: DatasetMeta, report: Report) -> ArcTables | None:
    """Check the files against dataset.json. The tables of an ARC set whose tables are usable."""
    names = _read_names(path / IDENTIFIERS_FILE, meta, report)
    if not meta.has_variants:
        return None
    variants = _read_variants(path / VARIANTS_FILE, meta, report)
    test = _read_test_puzzles(path / TEST_FILE, meta, report)
    if names is None or variants is None:
        return None
    counts = np.array([count for _, count in names], np.int64)
    first = np.cumsum(counts) - counts
    before = report.total
    _check_variants(path, variants, first, [name for name, _ in names], report)
    report.check(f"{VARIANTS_FILE}: {len(variants)} variants of {len(names) - 1} tasks", before)
    if report.total != before:
        return None
    return ArcTables(
        [name for name, _ in names], first, counts, variants, test, str(path / TEST_FILE)
    )


def _read_names(file: Path, meta: DatasetMeta, report: Report) -> list[tuple[str, int]] | None:
    """Runs of names: (name, identifiers)."""
    before = report.total
    try:
        content = read_bytes(file, MAX_JSON_BYTES, links=True)
        listed = parse_json(content)
    except (OSError, ValueError) as error:
        report.found("E010", f"missing or damaged ({_reason(error)})", str(file))
        return None
    _compare_hash(content, meta.augmentation.get("names_sha256"), "E010", file, report)
    if not isinstance(listed, list) or not listed:
        report.found("E010", "is not a list of names", str(file))
        return None
    runs = [(item, 1) if isinstance(item, str) else item for item in listed]
    for run in runs:
        sound = isinstance(run, list | tuple) and len(run) == 2 and isinstance(run[0], str)
        if not sound or type(run[1]) is not int or run[1] < 1:
            report.found("E010", f"holds {str(run)[:60]!r}, not a name", str(file))
            return None
    total = sum(count for _, count in runs)
    if total != meta.num_puzzle_identifiers:
        text = f"{total} names, dataset.json says {meta.num_puzzle_identifiers}"
        report.found("E010", text, str(file))
        return None
    names = [name for name, _ in runs]
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})[:3]
        report.found("E010", f"names occur twice: {', '.join(twice)}", str(file))
    report.check(f"{file.name}: {total} names", before)
    return [(name, count) for name, count in runs]


def _read_variants(file: Path, meta: DatasetMeta, report: Report) -> np.ndarray | None:
    try:
        content = read_bytes(file, _MAX_TABLE, links=True)
        dtype, shape, header = parse_npy(content)
    except (OSError, ValueError, MemberError) as error:
        report.found("E011", f"missing or damaged ({_reason(error)})", str(file))
        return None
    _compare_hash(content, meta.augmentation.get("table_sha256"), "E011", file, report)
    expected = (meta.num_puzzle_identifiers, VARIANT_BYTES)
    if dtype != "|u1" or shape != expected:
        report.found("E011", f"is {dtype} {list(shape)}, expected |u1 {list(expected)}", str(file))
        return None
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _check_variants(
    path: Path, variants: np.ndarray, first: np.ndarray, names: list[str], report: Report
) -> None:
    """Every row a transformation and a permutation; a task's first row the identity, none twice."""
    file = str(path / VARIANTS_FILE)
    wrong = (np.sort(variants[:, 1:], axis=1) != np.arange(COLOURS)).any(axis=1)
    for row in np.flatnonzero(wrong | (variants[:, 0] > 7)).tolist():
        text = f"row {row}, {variants[row].tolist()}, is no transformation with a permutation"
        report.found("E011", f"{text} of colours", file)
    for task in np.flatnonzero((variants[first] != IDENTITY).any(axis=1)).tolist():
        text = f"row {first[task]}, the first of {names[task]}, is not the original"
        report.found("E011", text, file)
    # As two integers, so that sorting is cheap for a million rows.
    digits = variants[:, 1:].astype(np.int64) @ 10 ** np.arange(COLOURS)
    key = digits * 8 + variants[:, 0]
    task_of = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(variants))))
    order = np.lexsort((key, task_of))
    same = (key[order][1:] == key[order][:-1]) & (task_of[order][1:] == task_of[order][:-1])
    for at in np.flatnonzero(same).tolist():
        row, other = int(order[at + 1]), int(order[at])
        text = f"rows {min(row, other)} and {max(row, other)} of {names[task_of[row]]} are equal"
        report.found("E011", text, file)


def _read_test_puzzles(
    file: Path, meta: DatasetMeta, report: Report
) -> dict[str, tuple[np.ndarray, np.ndarray]] | None:
    if "test" not in meta.splits:
        return None
    try:
        content = read_bytes(file, MAX_JSON_BYTES, links=True)
        _compare_hash(content, _stated_hash(meta), "E012", file, report)
        puzzles = parse_json(content)
        return {name: _encode(task["test"]) for name, task in puzzles.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        report.found("E012", f"missing or damaged ({_reason(error)})", str(file))
        return None


def _stated_hash(meta: DatasetMeta) -> Any:
    for place in (meta.augmentation, meta.extra):
        if "test_puzzles_sha256" in place:
            return place["test_puzzles_sha256"]
    return None


def _encode(pairs: list[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(pairs, list) or not pairs:
        raise ValueError("a task has no test pairs")
    sides = [[_grid(pair[side]) for pair in pairs] for side in ("input", "output")]
    return np.stack(sides[0]), np.stack(sides[1])


def _grid(cells: Any) -> np.ndarray:
    grid = np.array(cells, np.int64)
    if grid.ndim != 2 or not 0 <= grid.min() <= grid.max() < COLOURS or max(grid.shape) > SIDE:
        raise ValueError("a grid is not a rectangle of colours 0 to 9")
    return encode(grid.astype(np.uint8))


def _compare_hash(content: bytes, stated: Any, code: str, file: Path, report: Report) -> None:
    if stated is not None and hashlib.sha256(content).hexdigest() != stated:
        report.found(code, "sha256 differs from dataset.json, the file was changed", str(file))


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:120]
