"""A published HRM or TRM folder to shards: same rows in the same order, names as published."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from hrm_scale.base.errors import ConfigError
from hrm_scale.base.progress import say
from hrm_scale.data.format.meta import AUGMENTATIONS_FILE, TEST_PUZZLES_FILE
from hrm_scale.data.read.array_folder import ArrayFolder
from hrm_scale.data.read.array_reader import COLUMNS

from ..builder.writing import builder_record
from .arc import ArcTable, locate, read_table, test_puzzles
from .rows import opened_writer
from .source import Request


def convert_arrays(request: Request) -> None:
    """Convert a published folder. Memory: one record (a whole group of puzzles at most)."""
    folder = ArrayFolder(request.source)
    kind = request.kind or folder.meta.kind
    if kind not in ("other", folder.meta.kind):
        raise ConfigError(
            f"--kind {kind}: {request.source} has {folder.meta.vocab_size} tokens and "
            f"{folder.meta.seq_len} cells, which is {folder.meta.kind}: leave it out"
        )
    if request.kind is None and kind != "other":
        say(f"note: recognised as {kind} by its numbers; type --kind other if it is something else")
    table: ArcTable | None = None
    if kind == "arc":
        table = read_table(folder)
        if table is None:
            say(
                "note: the names of the identifiers do not tell one run of variants for each task:"
                " they are kept as they are, without a table of augmentations"
            )
    meta = dataclasses.replace(
        folder.meta,
        kind=kind,
        splits={},
        fingerprint="",
        augmentation=table.augmentation() if table else {"kind": "none"},
        builder=builder_record(
            "convert", request, origin={"published arrays": folder.meta.fingerprint}
        ),
    )
    if table:
        counts = {
            split: {"groups": info.groups, "puzzles": info.puzzles, "examples": info.examples}
            for split, info in folder.meta.splits.items()
        }
        meta = dataclasses.replace(meta, extra={**meta.extra, "augmented": counts})
    total = sum(info.examples for info in folder.meta.splits.values())
    with opened_writer(request, meta, total) as (writer, progress):
        for split in folder.meta.splits:
            with writer.split(split) as opened:
                for piece in _pieces(folder, split, arc=kind == "arc"):
                    opened.write(piece)
                    progress.advance(len(piece["inputs"]))
        if table:
            writer.write_identifiers([[name, count] for name, _, count in table.tasks])
            writer.write_file(AUGMENTATIONS_FILE, table.augmentations_npy)
            if puzzles := test_puzzles(folder, table.tasks):
                writer.write_file(TEST_PUZZLES_FILE, puzzles)
        else:
            writer.write_identifiers(folder.identifiers())


def _pieces(folder: ArrayFolder, split: str, *, arc: bool) -> Iterator[dict[str, np.ndarray]]:
    reader = folder.reader(split)
    for record in range(reader.index.records):
        piece = reader.columns(record, COLUMNS)
        if arc:
            where = f"{folder.path / split}: example {int(reader.index.first[record])}"
            piece |= locate(piece["inputs"], piece["labels"], where)
        yield piece
