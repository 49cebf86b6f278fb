"""What a data set on disk is: names, columns, `dataset.json` (layout: docs/data-format.md)."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.base.untrusted import parse_json, read_bytes
from hrm_scale.data.format.meta_check import check_values
from hrm_scale.puzzles import Puzzle, find_puzzle

SCHEMA_VERSION = 1
DATASET_FILE = "dataset.json"
IDENTIFIERS_FILE = "identifiers.json"
AUGMENTATIONS_FILE = "augmentations.npy"
TEST_PUZZLES_FILE = "test_puzzles.json"
INDEX_FILE = "index.json"
SHARD_NAME = re.compile(r"shard-[0-9]{5,9}\.tar")
COLUMN_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
SPLIT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}")
MEMBER_NAME = re.compile(
    r"(?P<record>[0-9]{6,12})\.(?P<column>[a-z][a-z0-9_]{0,40})\.npy(?P<zst>\.zst)?"
)
# What each builder must be given besides the folder to make.
_BUILDERS = {"sudoku": "", "arc": " --dataset-dirs TASKS", "maze": ""}
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,20}:(?=/)|pipe:")
CODECS = ("none", "zst")
REQUIRED_COLUMNS = ("inputs", "labels", "puzzle_identifiers", "groups")
# Exact storage types of the columns the trainer reads; further columns may use any of ALLOWED.
COLUMN_DTYPES = {
    "inputs": "|u1",
    "labels": "|u1",
    "puzzle_identifiers": "<i4",
    "groups": "<i4",
    "puzzles": "<i4",
    # ARC only: variants of the row's task, sides of both grids, top-left corner of both.
    "variants": "<i4",
    "shapes": "|u1",
    "offsets": "|u1",
}
ALLOWED_DTYPES = frozenset(
    ["|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f4", "<f8"]
)
MAX_MEMBER_BYTES = 1 << 30
MAX_HEADER_BYTES = 4096
MAX_JSON_BYTES = 1 << 30
IGNORE_LABEL = -100
"""Label that the loss skips, in every batch (whatever `ignore_label_id` is on disk)."""


@dataclass(frozen=True)
class SplitInfo:
    """Counts of one split. `stripes` is the run-length list [[how many, records each], ...]."""

    groups: int
    puzzles: int
    examples: int
    records: int
    shards: int
    stripes: list[list[int]]
    sha256: list[str]

    @property
    def stripe_records(self) -> np.ndarray:
        """Records in each stripe, int64 [stripes]; a split that is not striped has one stripe."""
        runs = np.asarray(self.stripes, dtype=np.int64).reshape(-1, 2)
        return np.repeat(runs[:, 1], runs[:, 0])


@dataclass(frozen=True)
class DatasetMeta:
    """`dataset.json`. A builder fills everything but `splits` and `fingerprint`.

    kind: "sudoku", "maze", "arc" or another. storage: "online" (the loader augments) | "dense".
    board: e.g. {"height": 9, "width": 9, "box_height": 3, "box_width": 3}.
    augmentation: {"kind": "sudoku", "count": 1000, "seed": 0} or {"kind": "none"}.
    builder: name, arguments, versions, source hashes; no time stamps, no paths of the machine.
    """

    kind: str
    storage: str
    vocab_size: int
    seq_len: int
    pad_id: int
    ignore_label_id: int | None
    blank_identifier_id: int
    num_puzzle_identifiers: int
    board: dict[str, int] = field(default_factory=dict)
    augmentation: dict[str, Any] = field(default_factory=lambda: {"kind": "none"})
    builder: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    splits: dict[str, SplitInfo] = field(default_factory=dict)
    fingerprint: str = ""

    @functools.cached_property
    def puzzle(self) -> Puzzle:
        """What a puzzle of this data set is. ConfigError when a plug-in defines it that was not
        given."""
        record = self.builder.get("puzzle")
        return find_puzzle(
            self.kind,
            self.board,
            self.seq_len,
            self.vocab_size,
            record if isinstance(record, dict) else {},
        )

    @property
    def is_augmented(self) -> bool:
        """Are its rows augmented, while training or on disk?"""
        return bool(self.augmentation.get("kind", "none") != "none")

    @property
    def has_variants(self) -> bool:
        """Does a table in the data set list the variants of every task?"""
        symmetry = self.puzzle.symmetry if self.is_augmented else None
        return symmetry is not None and symmetry.uses_variants


def fingerprint(meta: DatasetMeta) -> str:
    """sha256 of the schema and the ordered shard hashes: equal if and only if the data are equal.

    The builder's description is left out: the same bytes made by another version are the same.
    """
    content = dataclasses.asdict(meta)
    del content["builder"], content["fingerprint"]
    content["schema_version"] = SCHEMA_VERSION
    return hashlib.sha256(canonical_json(content)).hexdigest()


def canonical_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def meta_to_json(meta: DatasetMeta) -> str:
    content = {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(meta)}
    return json.dumps(content, indent=1, ensure_ascii=True) + "\n"


def no_such_data_set(path: Path, remedy: str | None = None) -> DataError:
    """The error of a path with nothing at it. remedy: null names the builders, first the one of
    the kind that the path's name speaks of."""
    if remedy is None:
        kinds = sorted(_BUILDERS, key=lambda kind: kind not in path.name.lower())
        first = f"python -m shards.{kinds[0]}{_BUILDERS[kinds[0]]} --output-dir {quote(str(path))}"
        others = " and ".join(f"shards.{kind}" for kind in kinds[1:])
        remedy = f"`{first}` builds one, and so do {others}"
    return DataError(f"{path}: no such data set: {remedy}")


def read_meta(path: Path) -> DatasetMeta:
    """Read and check a `dataset.json`. DataError when missing, foreign, damaged or newer."""
    file = path / DATASET_FILE
    if not path.exists():
        if scheme := _ADDRESS.match(str(path)):
            # Not shown in full: addresses may hold a password.
            raise DataError(
                f"{scheme[0]}...: this reads folders only, an address was given: copy the data set"
                " to this machine and give its folder"
            )
        raise no_such_data_set(path)
    if not file.is_file():
        raise DataError(
            f"{path}: not a data set (no {DATASET_FILE} in it): give the folder a builder wrote, "
            "or build one with shards.sudoku, shards.arc or shards.maze"
        )
    return parse_meta(read_json(file), str(file))


def parse_meta(content: dict[str, Any], where: str) -> DatasetMeta:
    """The values of a `dataset.json` that `where` names, checked. DataError as `read_meta`."""
    version = content.pop("schema_version", None)
    if version != SCHEMA_VERSION:
        raise DataError(
            f"{where}: schema_version is {version!r}, this program reads {SCHEMA_VERSION}: "
            "update the program, or build the data set again"
        )
    try:
        splits = {name: SplitInfo(**info) for name, info in content.pop("splits").items()}
        meta = DatasetMeta(splits=splits, **content)
        _check_meta(meta)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise DataError(
            f"{where}: damaged or foreign ({error}): build the data set again, or restore the file"
        ) from error
    return meta


def _check_meta(meta: DatasetMeta) -> None:
    check_values(meta)
    for split in meta.splits:
        if not SPLIT_NAME.fullmatch(split):
            raise ValueError(f"{split[:40]!r} is not a name for a split")
    if meta.fingerprint != fingerprint(meta):
        raise ValueError("its fingerprint does not match its content")


def read_json(file: Path) -> dict[str, Any]:
    try:
        # Data sets often lie in caches that link to the real files.
        data = read_bytes(file, MAX_JSON_BYTES, links=True)
    except FileNotFoundError as error:
        raise DataError(f"{file}: missing: restore it or build the data set again") from error
    except ValueError as error:
        raise DataError(f"{file}: {error}: restore it or build the data set again") from error
    return parse_object(data, str(file))


def parse_object(data: bytes, where: str) -> dict[str, Any]:
    """The JSON object in a file that `where` names. DataError for anything else."""
    try:
        content = parse_json(data)
    except ValueError as error:
        raise DataError(
            f"{where}: not valid JSON ({error}): restore it or build the data set again"
        ) from error
    if not isinstance(content, dict):
        raise DataError(f"{where}: holds a {type(content).__name__}, expected a JSON object")
    return content


def row_shape(column: str, meta: DatasetMeta) -> tuple[int, ...] | None:
    """Shape of one row of a column whose meaning is fixed; None for a builder's own column."""
    if column in ("inputs", "labels"):
        return (meta.seq_len,)
    if column in COLUMN_DTYPES:
        return {"shapes": (4,), "offsets": (2,)}.get(column, ())
    return None


def member_name(record: int, column: str, codec: str) -> str:
    return f"{record:06d}.{column}.npy" + (".zst" if codec == "zst" else "")


def npy_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """The exact `.npy` version 1.0 header that `numpy.save` writes for a C-ordered array."""
    buffer = io.BytesIO()
    fields: Mapping[str, Any] = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, dict(fields))
    return buffer.getvalue()
