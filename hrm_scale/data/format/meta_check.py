"""Are the values of a `dataset.json` possible? Asked before anything is computed from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hrm_scale.data.format.meta import DatasetMeta, SplitInfo

_INT32 = (1 << 31) - 1
_MOST_TOKENS = 256  # inputs and labels are stored as one byte
_LONGEST = 1 << 24
_MOST_RECORDS = 1 << 28
_MOST_EXAMPLES = 1 << 53


def check_values(meta: DatasetMeta) -> None:
    """ValueError naming the first value that is of a wrong type or out of its range."""
    for name in ("kind", "storage", "fingerprint"):
        if not isinstance(getattr(meta, name), str):
            raise ValueError(f"{name} is not text")
    if meta.storage not in ("online", "dense"):
        raise ValueError(f"storage is {meta.storage[:40]!r}, not online or dense")
    _whole("vocab_size", meta.vocab_size, 1, _MOST_TOKENS)
    _whole("seq_len", meta.seq_len, 1, _LONGEST)
    _whole("pad_id", meta.pad_id, 0, meta.vocab_size - 1)
    if meta.ignore_label_id is not None:
        _whole("ignore_label_id", meta.ignore_label_id, -_INT32, _INT32)
    _whole("num_puzzle_identifiers", meta.num_puzzle_identifiers, 1, _INT32)
    _whole("blank_identifier_id", meta.blank_identifier_id, 0, meta.num_puzzle_identifiers - 1)
    for name in ("board", "augmentation", "builder", "extra"):
        if not isinstance(getattr(meta, name), dict):
            raise ValueError(f"{name} is not an object")
    for side, value in meta.board.items():
        _whole(f"board.{side[:40]}", value, 0, _LONGEST)
    if meta.is_augmented:
        _check_augmentation(meta)
    for name, info in meta.splits.items():
        _check_split(name, info)


def _check_augmentation(meta: DatasetMeta) -> None:
    _whole("augmentation.count", meta.augmentation.get("count"), 0, _INT32)
    # What is stored as it is needs no seed.
    default = None if meta.storage == "online" else 0
    _whole("augmentation.seed", meta.augmentation.get("seed", default), 0, (1 << 63) - 1)
    # A kind that a missing plug-in defines is an error where the puzzle is first needed.
    if not meta.builder.get("puzzle") and meta.puzzle.symmetry is None:
        raise ValueError(
            f"{meta.seq_len} cells of {meta.vocab_size} tokens on a board {meta.board} are no"
            f" puzzle of kind {meta.kind[:40]!r}, which is to be augmented"
        )


def _check_split(name: str, info: SplitInfo) -> None:
    for count in ("groups", "puzzles", "examples"):
        _whole(f"splits.{name[:40]}.{count}", getattr(info, count), 1, _MOST_EXAMPLES)
    for count in ("records", "shards"):
        _whole(f"splits.{name[:40]}.{count}", getattr(info, count), 1, _MOST_RECORDS)
    if not isinstance(info.stripes, list) or not isinstance(info.sha256, list):
        raise ValueError(f"stripes or sha256 of split {name[:40]!r} is not a list")
    records = 0
    for run in info.stripes:
        if not isinstance(run, list) or len(run) != 2:
            raise ValueError(f"stripes of split {name[:40]!r} are not pairs")
        for number in run:
            _whole(f"splits.{name[:40]}.stripes", number, 1, _MOST_RECORDS)
        records += run[0] * run[1]
    if len(info.sha256) != info.shards or records != info.records:
        raise ValueError(f"the counts of split {name[:40]!r} contradict each other")


def _whole(name: str, value: Any, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        shown = f"{value}"[:40] if isinstance(value, int | float) else type(value).__name__
        raise ValueError(f"{name} is {shown}, expected a whole number from {low} to {high}")
