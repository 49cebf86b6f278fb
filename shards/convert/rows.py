"""Foreign examples, from whatever file, to a data set: one look at all of them, then writing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

import hrm_scale
from hrm_scale.base.errors import ConfigError, DataError
from hrm_scale.base.progress import Progress, say
from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.data.format.meta_check import check_values
from hrm_scale.data.format.writer import DatasetWriter
from hrm_scale.puzzles.registry import recognise

from .request import Request

BUILDER_VERSION = 1
Piece = dict[str, np.ndarray]
_MOST_TOKENS = 256


class Source(Protocol):
    """Where examples come from. name: for messages; origin: goes into dataset.json.

    default_ignored: the label not trained on, where the user says nothing.
    """

    name: str
    splits: list[str]
    default_ignored: int | None

    def pieces(self, split: str) -> Iterator[Piece]:
        """Some examples at a time: inputs and labels [n, S], the other columns [n]; int64.

        The same every time it is called. DataError naming the file and what is wrong in it.
        """
        ...

    def origin(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class _Scan:
    """What a look at all examples found; lowest and highest over inputs and trained labels."""

    seq_len: int
    lowest: int
    highest: int
    identifiers: int
    examples: dict[str, int]


def convert_rows(request: Request, source: Source) -> DatasetMeta:
    """Convert a source that may hold anything. Memory: one piece."""
    ignored = _ignored(request, source)
    say(f"looking through {source.name} ...")
    scan = _scan(source, ignored)
    vocab_size = _vocab_size(request, scan, source)
    stored_ignored = ignored
    if ignored is not None and not 0 <= ignored < vocab_size:
        stored_ignored = vocab_size  # the first number that is no token
        if vocab_size >= _MOST_TOKENS:
            raise DataError(
                f"{source.name}: {vocab_size} tokens leave no number for ignored labels"
            )
    found, board = recognise(scan.seq_len, vocab_size)
    kind = request.kind or "other"
    if kind not in ("other", found):
        raise ConfigError(
            f"--kind {kind} does not go with {vocab_size} tokens and {scan.seq_len} cells: leave "
            "it out (docs/conversion.md in a clone lists the kinds)"
        )
    if kind == "other":
        board = {side: board[side] for side in ("height", "width") if side in board}
    meta = DatasetMeta(
        kind=kind,
        storage="dense",
        vocab_size=vocab_size,
        seq_len=scan.seq_len,
        pad_id=request.pad_id or 0,
        ignore_label_id=stored_ignored,
        blank_identifier_id=0,
        num_puzzle_identifiers=scan.identifiers,
        board=board,
        builder={
            "name": "shards.convert",
            "arguments": request.recorded(),
            "versions": {"builder": BUILDER_VERSION, "hrm_scale": hrm_scale.__version__},
            "origin": source.origin(),
        },
    )
    try:
        check_values(meta)
    except ValueError as error:
        raise ConfigError(f"{source.name}: {error}: correct --vocab-size or --pad-id") from error
    say(f"writing {request.output_dir} ...")
    progress = Progress("converted", sum(scan.examples.values()))
    with DatasetWriter(
        request.output_dir,
        meta,
        compression=request.compression,
        overwrite=request.overwrite,
    ) as writer:
        for split in source.splits:
            with writer.split(split) as opened:
                first = 0
                for piece in source.pieces(split):
                    opened.write(_stored(piece, first, ignored, stored_ignored))
                    first += len(piece["inputs"])
                    progress.advance(len(piece["inputs"]))
        writer.write_identifiers(_names(scan.identifiers))
    from hrm_scale.data import open_dataset

    return open_dataset(request.output_dir).meta


def _ignored(request: Request, source: Source) -> int | None:
    if request.ignore_label_id is None:
        return source.default_ignored
    return None if request.ignore_label_id == "none" else int(request.ignore_label_id)


def _scan(source: Source, ignored: int | None) -> _Scan:
    examples: dict[str, int] = {}
    seq_len, lowest, highest, identifiers = 0, 0, 0, 1
    for split in source.splits:
        examples[split] = 0
        for piece in source.pieces(split):
            inputs, labels = piece["inputs"], piece["labels"]
            seq_len = seq_len or inputs.shape[1]
            if inputs.shape[1] != seq_len:
                raise DataError(
                    f"{source.name}, split {split}: examples of {inputs.shape[1]} cells after "
                    f"{seq_len}: pad them to one length first"
                )
            trained = labels if ignored is None else np.where(labels == ignored, 0, labels)
            lowest = min(lowest, int(inputs.min()), int(trained.min()))
            highest = max(highest, int(inputs.max()), int(trained.max()))
            numbers = piece.get("puzzle_identifiers")
            if numbers is not None:
                if int(numbers.min()) < 0 or int(numbers.max()) >= 1 << 31:
                    raise DataError(f"{source.name}: puzzle_identifiers hold negative or huge ones")
                identifiers = max(identifiers, int(numbers.max()) + 1)
            examples[split] += len(inputs)
        if not examples[split]:
            raise DataError(f"{source.name}, split {split}: holds no examples")
    return _Scan(seq_len, lowest, highest, identifiers, examples)


def _vocab_size(request: Request, scan: _Scan, source: Source) -> int:
    if scan.lowest < 0:
        raise DataError(
            f"{source.name}: holds the token {scan.lowest}: if that is a label not to train on, "
            f"say --ignore-label-id {scan.lowest}"
        )
    wanted = request.vocab_size or scan.highest + 1
    if request.vocab_size is None and request.charset is not None:
        wanted = max(wanted, len(request.charset) + 1)
    if scan.highest >= wanted or wanted > _MOST_TOKENS:
        raise DataError(
            f"{source.name}: holds the token {scan.highest}, allowed is 0 to "
            f"{min(wanted, _MOST_TOKENS) - 1}: give a larger --vocab-size (at most {_MOST_TOKENS})"
        )
    return wanted


def _stored(piece: Piece, first: int, ignored: int | None, stored_ignored: int | None) -> Piece:
    count = len(piece["inputs"])
    labels = piece["labels"]
    if ignored is not None and stored_ignored is not None:
        labels = np.where(labels == ignored, stored_ignored, labels)
    zeros = np.zeros(count, np.int32)
    groups = piece.get("groups", np.arange(first, first + count))
    columns: Piece = {
        "inputs": piece["inputs"].astype(np.uint8),
        "labels": labels.astype(np.uint8),
        "puzzle_identifiers": piece.get("puzzle_identifiers", zeros).astype(np.int32),
        "groups": groups.astype(np.int32),
    }
    if "puzzles" in piece:
        columns["puzzles"] = piece["puzzles"].astype(np.int32)
    return columns


def _names(count: int) -> list[str]:
    return ["<blank>", *map(str, range(1, count))]
