"""`order`: which rows a process reads at a position of the training order, and how well mixed."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from hrm_scale.base.batch_shape import BatchShape
from hrm_scale.base.errors import ConfigError, DataError
from hrm_scale.base.machine import require_memory
from hrm_scale.base.untrusted import printable
from hrm_scale.data import Dataset
from hrm_scale.data.format.meta import read_json
from hrm_scale.data.order.order import Piece
from hrm_scale.data.read.stream import split_order
from hrm_scale.puzzles.arc.augment import draw_offsets, draw_variants, turned_shapes
from hrm_scale.puzzles.symmetry import draw_augmentations

from .open_source import open_one

_LISTED = 16
_ROW_BYTES = 64  # at least, of one row of a batch


def show_order(arguments: argparse.Namespace) -> None:
    """Print what a rank reads. ConfigError for sizes that do not divide."""
    dataset = open_one(arguments.directory)
    world = arguments.world
    shape = BatchShape(
        arguments.batch, arguments.accumulation, world, ("--batch", "--accumulation")
    )
    if arguments.rank >= world:
        raise ConfigError(
            f"--rank {arguments.rank}: with --world {world} ranks are 0 to {world - 1}"
        )
    seed, window, position = arguments.seed, arguments.window, None
    if arguments.state is not None:
        state = _state(arguments.state)
        if state["fingerprint"] != dataset.meta.fingerprint:
            raise DataError(
                f"{arguments.state}: tells of data set {state['fingerprint'][:12]}…, "
                f"{dataset.name} is {dataset.meta.fingerprint[:12]}…: give the data set of that run"
            )
        seed, window, position = state["seed"], state["window"], int(state["position"])
    reads = _Reads(dataset, arguments.split, seed, window)
    if position is None:
        position = reads.order.epoch_start(arguments.epoch) + arguments.at
    for option, count in (("--batch", arguments.batch), ("--count", arguments.count or 1)):
        require_memory(_ROW_BYTES * count, f"{option} {count}", "give a smaller one")
    count = arguments.count or min(shape.rows, _LISTED)
    spans = _spans(position, count, shape, arguments.rank)
    epoch, offset = reads.order.epoch_of(position)
    described: dict[str, Any] = {
        "split": arguments.split,
        "seed": seed,
        "window": window,
        "position": position,
        "epoch": epoch,
        "offset": offset,
        "rank": arguments.rank,
        "world": world,
        "accumulation": shape.accumulation,
        "rows_per_micro_batch": shape.rows,
        "shuffle": reads.shuffle(position, shape.global_batch_size),
        "rows": [row for start, stop in spans for row in reads.rows(start, stop)],
    }
    print(json.dumps(described, indent=1) if arguments.json else _text(described))


def _spans(position: int, count: int, shape: BatchShape, rank: int) -> list[tuple[int, int]]:
    """The positions this rank reads from `position` on: its part of each micro-batch in turn."""
    spans: list[tuple[int, int]] = []
    for micro in range(-(-count // shape.rows)):
        start, stop = shape.slots(micro, rank)
        taken = min(count - micro * shape.rows, stop - start)
        spans.append((position + start, position + start + taken))
    return spans


class _Reads:
    """The order of a split, told in records, shards, groups and names."""

    def __init__(self, dataset: Dataset, split: str, seed: int, window: int | None) -> None:
        self._meta, self._seed = dataset.meta, seed
        self._index = dataset.index(split)
        self._reader = dataset.reader(split)
        self.order = split_order(dataset, split, self._reader, seed, window)
        self._names: list[str] = []
        self._variants: np.ndarray | None = None
        if self._meta.num_puzzle_identifiers > 1:
            self._names = dataset.identifiers()
        self._augments = self._meta.storage == "online" and self._meta.is_augmented
        if self._augments and self._meta.has_variants:
            self._variants = dataset.augmentations()

    def rows(self, start: int, stop: int) -> list[dict[str, Any]]:
        """One entry for each position."""
        found, at = [], start
        for piece in self.order.pieces(start, stop):
            for k, (record, row) in enumerate(zip(*self._places(piece), strict=True)):
                found.append(self._row(piece, k, int(record), int(row), at + k))
            at += len(piece.rows)
        return found

    def shuffle(self, position: int, batch: int) -> dict[str, Any]:
        """How mixed the global batch at a position is, and is to be expected to be."""
        pieces = self.order.pieces(position, position + batch)
        places = [self._places(piece) for piece in pieces]
        records, rows = (np.concatenate([place[k] for place in places]) for k in (0, 1))
        counts = self._index.examples[list(pieces[0].records)]
        total = int(counts.sum())
        # Examples of a puzzle come together; what is mixed are the puzzles.
        fresh = (records[1:] != records[:-1]) | (rows[1:] != rows[:-1] + 1)
        drawn = min(1 + int(fresh.sum()), total)
        # Of a window's records, those that a random choice of its rows touches.
        kept = np.clip((total - counts) / max(1, total), 0, 1) ** drawn
        alike = float((counts * (counts - 1)).sum() / max(1, total * (total - 1)))
        return {
            "window_records": len(counts),
            "window_rows": total,
            "records_in_batch": len(np.unique(records)),
            "records_expected": round(float((1 - kept).sum()), 2),
            "neighbours_from_one_record": round(
                float((records[1:] == records[:-1])[fresh].mean()) if fresh.any() else 0.0, 4
            ),
            "neighbours_expected": round(alike, 4),
        }

    def _places(self, piece: Piece) -> tuple[np.ndarray, np.ndarray]:
        """(record, row in it) of each row of a piece."""
        records = np.array(piece.records)
        starts = np.concatenate([[0], np.cumsum(self._index.examples[records])])
        which = np.searchsorted(starts, piece.rows, side="right") - 1
        return records[which], piece.rows - starts[which]

    def _row(self, piece: Piece, k: int, record: int, row: int, position: int) -> dict[str, Any]:
        names = [n for n in ("groups", "puzzles", "puzzle_identifiers") if n in self._index.columns]
        columns = self._reader.columns(record, names)
        identifier = int(columns["puzzle_identifiers"][row])
        group = int(columns["groups"][row])
        result: dict[str, Any] = {
            "position": position,
            "epoch": piece.epoch,
            "offset": piece.offset + k,
            "shard": self._index.shards[int(self._index.shard[record])].name,
            "record": record,
            "row": row,
            "example": int(self._index.first[record]) + row,
            "group": group,
        }
        if "puzzles" in columns:
            result["puzzle"] = int(columns["puzzles"][row])
        if self._variants is not None:
            variant, moved = self._arc_draw(piece.epoch, record, row, group, identifier)
            result |= {"augmentation": variant, "moved": moved}
            identifier += variant
        elif self._augments:
            count = self._meta.augmentation["count"]
            drawn = draw_augmentations(count, self._seed, piece.epoch, piece.offset + k, 1)
            result["augmentation"] = int(drawn[0])
        result["identifier"] = identifier
        if self._names:
            result["name"] = self._names[identifier]
        return result

    def _arc_draw(
        self, epoch: int, record: int, row: int, group: int, first: int
    ) -> tuple[int, list[int]]:
        """Variant of the group in this epoch, and where it moves this row."""
        assert self._variants is not None
        columns = self._reader.columns(record, ["variants", "shapes", "groups"])
        groups = np.array([group])
        variant = int(
            draw_variants(self._seed, epoch, groups, columns["variants"][row : row + 1])[0]
        )
        if not 0 <= first + variant < len(self._variants):
            raise DataError(
                f"record {record}, row {row}: identifier {first} cannot have {variant} variants: "
                "type `python -m tools.shards lint DIR`"
            )
        own = np.flatnonzero(columns["groups"] == group)
        shapes = turned_shapes(
            columns["shapes"][row : row + 1], self._variants[first + variant][None]
        )
        inside = np.array([row - own[0]])
        moved = draw_offsets(self._seed, epoch, groups, inside, np.array([len(own)]), shapes)
        return variant, moved[0].tolist()


def _state(path: Path) -> dict[str, Any]:
    """The data state in a JSON file, or in a checkpoint or run folder."""
    if path.is_dir():
        from hrm_scale.checkpoint.loaded import read_checkpoint

        content = read_checkpoint(path, check="size").state["data"]
    else:
        if not path.exists():
            raise DataError(f"{path}: no such file: give a checkpoint, a run, or its data state")
        content = read_json(path)
        content = content.get("data", content)
    wanted = {"fingerprint": str, "seed": int, "position": int}
    sound = isinstance(content, dict) and "window" in content
    if not sound or any(not isinstance(content.get(k), kind) for k, kind in wanted.items()):
        raise DataError(f"{path}: holds no data state (fingerprint, seed, window, position)")
    return content


def _text(described: dict[str, Any]) -> str:
    mixed = described["shuffle"]
    lines = [
        f"split {described['split']}, seed {described['seed']}, window "
        f"{described['window'] or 'all'}: position {described['position']} is row "
        f"{described['offset']} of epoch {described['epoch']}",
        f"rank {described['rank']} of {described['world']} reads "
        f"{described['rows_per_micro_batch']} rows of each micro-batch, "
        f"{described['accumulation']} to a step",
        f"shuffle: windows of {mixed['window_records']} records, {mixed['window_rows']} rows; this "
        f"global batch touches {mixed['records_in_batch']} records, expected "
        f"{mixed['records_expected']}; neighbours share a record "
        f"{100 * mixed['neighbours_from_one_record']:.1f} %, expected "
        f"{100 * mixed['neighbours_expected']:.1f} %",
    ]
    rows = described["rows"]
    names = list(rows[0])
    table = [names, *([printable(row.get(name, "")) for name in names] for row in rows)]
    widths = [max(len(line[k]) for line in table) for k in range(len(names))]
    lines += [
        "  ".join(f"{cell:>{w}}" for cell, w in zip(line, widths, strict=True)) for line in table
    ]
    return "\n".join(map(printable, lines))
