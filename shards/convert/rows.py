"""Foreign examples, from whatever file, to a data set: one look at all of them, then writing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from hrm_scale.base.errors import ConfigError, DataError
from hrm_scale.base.progress import Progress, say
from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.data.format.meta_check import check_values
from hrm_scale.data.format.writer import DatasetWriter
from hrm_scale.puzzles.registry import recognise

from ..builder.writing import builder_record
from .source import Piece, Request, Source

_MOST_TOKENS = 256


@dataclass(frozen=True)
class _Scan:
    """What a look at all examples found; lowest and highest over inputs and trained labels."""

    seq_len: int
    lowest: int
    highest: int
    identifiers: int
    examples: dict[str, int]


def convert_rows(source: Source) -> None:
    """Convert a source that may hold anything. Memory: one piece."""
    request, ignored = source.request, source.ignored
    say(f"looking through {source.name} ...")
    scan = _scan(source, ignored)
    vocab_size = _vocab_size(scan, source)
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
        builder=builder_record("convert", request, origin=source.origin()),
    )
    try:
        check_values(meta)
    except ValueError as error:
        raise ConfigError(f"{source.name}: {error}: correct --vocab-size or --pad-id") from error
    with opened_writer(request, meta, sum(scan.examples.values())) as (writer, progress):
        for split in source.splits:
            with writer.split(split) as opened:
                first = 0
                for piece in source.pieces(split):
                    opened.write(_stored(piece, first, ignored, stored_ignored))
                    first += len(piece["inputs"])
                    progress.advance(len(piece["inputs"]))
        writer.write_identifiers(["<blank>", *map(str, range(1, scan.identifiers))])


@contextmanager
def opened_writer(
    request: Request, meta: DatasetMeta, total: int
) -> Iterator[tuple[DatasetWriter, Progress]]:
    """The writer of a converted data set, and the progress of its examples."""
    say(f"writing {request.output_dir} ...")
    progress = Progress("converted", total)
    codec, overwrite = request.compression, request.overwrite
    with DatasetWriter(request.output_dir, meta, compression=codec, overwrite=overwrite) as writer:
        yield writer, progress


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


def _vocab_size(scan: _Scan, source: Source) -> int:
    request = source.request
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
