"""Tiny sound sets of every kind and storage, and the tools to damage them unnoticed by hashes."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from hrm_scale.data import DatasetMeta, DatasetWriter
from hrm_scale.data.format.meta import canonical_json, npy_header
from hrm_scale.puzzles.arc.grid import IDENTITY, augment, encode
from hrm_scale.puzzles.maze.rules import rule_labels
from hrm_scale.puzzles.sudoku.classes import class_keys
from hrm_scale.puzzles.sudoku.puzzle import Sudoku
from tests.support.sudoku_examples import puzzles_of

Columns = dict[str, np.ndarray]
CHUNK = 16


def save_npy(array: np.ndarray) -> bytes:
    return npy_header(array.dtype.str, array.shape) + array.tobytes()


# --- Sudoku ---------------------------------------------------------------------------------------


def sudoku_set(path: Path, *, storage: str = "online", count: int = 2, **options: Any) -> Path:
    """6x6: 40 train puzzles (dense: in count + 1 stripes) and 10 others."""
    puzzles = puzzles_of(6)
    keys = class_keys(puzzles.questions, puzzles.answers, Sudoku.of_size(6).geometry)
    puzzles = puzzles.take(np.sort(np.unique(keys, return_index=True)[1])[:50])
    train, test = puzzles.take(np.arange(40)), puzzles.take(np.arange(40, 50))
    puzzle = Sudoku.of_size(6)
    meta = DatasetMeta(
        kind="sudoku",
        storage=storage,
        vocab_size=8,
        seq_len=36,
        pad_id=0,
        ignore_label_id=0,
        blank_identifier_id=0,
        num_puzzle_identifiers=1,
        board=puzzle.board,
        augmentation={"kind": "sudoku", "count": count, "seed": 3},
        builder={"name": "test"},
        extra={"sources": puzzles.source_names},
    )
    options.setdefault("chunk_examples", CHUNK)
    with DatasetWriter(path, meta, **options) as writer:
        columns = train.columns()
        if storage == "online":
            writer.write_split("train", [columns])
        else:
            groups = columns["groups"]
            with writer.split("train") as split:
                for stripe in range(count + 1):
                    index = (groups + stripe) % (count + 1)
                    made = puzzle.symmetry.augment(
                        columns["inputs"], columns["labels"], groups, index, 3
                    )
                    split.write({**columns, "inputs": made[0], "labels": made[1]})
                    split.end_stripe()
        writer.write_split("test", [test.columns()])
    return path


# --- maze -----------------------------------------------------------------------------------------

SIDE = 6


def mazes(count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """(inputs, labels) of random solvable mazes of 6x6, uint8 [count, 36]."""
    random = np.random.default_rng(seed)
    boards = np.where(random.random((20 * count, SIDE * SIDE)) < 0.25, 1, 2).astype(np.uint8)
    ends = np.argsort(random.random(boards.shape), axis=1)[:, :2]
    np.put_along_axis(boards, ends[:, :1], 3, axis=1)
    np.put_along_axis(boards, ends[:, 1:], 4, axis=1)
    labels, moves = rule_labels(boards, SIDE)
    good = np.flatnonzero(moves >= 4)[:count]
    return boards[good], labels[good]


def maze_set(path: Path, **options: Any) -> Path:
    """30 train mazes and 10 others."""
    inputs, labels = mazes(40)
    meta = DatasetMeta(
        kind="maze",
        storage="dense",
        vocab_size=6,
        seq_len=SIDE * SIDE,
        pad_id=0,
        ignore_label_id=0,
        blank_identifier_id=0,
        num_puzzle_identifiers=1,
        board={"height": SIDE, "width": SIDE},
        builder={"name": "test"},
    )
    options.setdefault("chunk_examples", CHUNK)
    with DatasetWriter(path, meta, **options) as writer:
        for split, part in (("train", slice(0, 30)), ("test", slice(30, 40))):
            count = len(inputs[part])
            numbers = np.arange(count, dtype=np.int32)
            ratings = ((labels[part] == 5).sum(axis=1) + 1).astype(np.int32)
            columns = {"inputs": inputs[part], "labels": labels[part], "groups": numbers}
            columns |= {"puzzle_identifiers": np.zeros(count, np.int32), "ratings": ratings}
            writer.write_split(split, [columns])
    return path


# --- ARC ------------------------------------------------------------------------------------------

TASKS = ("aa000001", "aa000002", "aa000003", "aa000004")
IN_TEST = (2, 3)
ARC_COUNT = 3


def arc_tables() -> np.ndarray:
    """Variants of the blank and of four tasks, one original and three others each."""
    random = np.random.default_rng(4)
    rows = [IDENTITY]
    for task in range(len(TASKS)):
        rows.append(IDENTITY)
        for k in range(ARC_COUNT):
            colours = 1 + random.permutation(9)
            rows.append(np.array([(2 * k + task + 1) % 8, 0, *colours], np.uint8))
    return np.stack(rows)


def arc_pairs(task: int) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Random grids: three demonstrations, and a test pair."""
    random = np.random.default_rng(100 + task)
    pairs = []
    for k in range(4):
        sides = [tuple(random.integers(2, 7, 2)), tuple(random.integers(2, 31 if k == 0 else 9, 2))]
        if k == 1:
            sides[0] = (30, int(sides[0][1]))
        made = [random.integers(0, 10, side).astype(np.uint8) for side in sides]
        pairs.append((made[0], made[1]))
    return {"train": pairs[:3], "test": pairs[3:]}


def arc_set(path: Path, *, storage: str = "online", **options: Any) -> Path:
    """Four tasks with three variants each; two of them are test tasks."""
    table, runs = arc_tables(), [["<blank>", 1], *([task, ARC_COUNT + 1] for task in TASKS)]
    files = {
        "augmentations.npy": save_npy(table),
        "identifiers.json": (json.dumps(runs) + "\n").encode(),
        "test_puzzles.json": json.dumps(_arc_json()).encode(),
    }
    train = [_arc_task(task, "train") for task in range(4)]
    test = [_arc_task(task, "test") for task in IN_TEST]
    copies = ARC_COUNT + 1
    meta = DatasetMeta(
        kind="arc",
        storage=storage,
        vocab_size=12,
        seq_len=900,
        pad_id=0,
        ignore_label_id=0,
        blank_identifier_id=0,
        num_puzzle_identifiers=len(table),
        board={"height": 30, "width": 30},
        augmentation={
            "kind": "arc",
            "count": ARC_COUNT,
            "seed": 42,
            "table_sha256": hashlib.sha256(files["augmentations.npy"]).hexdigest(),
            "names_sha256": hashlib.sha256(files["identifiers.json"]).hexdigest(),
        },
        builder={"name": "test"},
        extra={
            "augmented": {
                "train": {"groups": 4, "puzzles": 4 * copies, "examples": 14 * copies},
                "test": {"groups": 2, "puzzles": 2 * copies, "examples": 2 * copies},
            }
        },
    )
    options.setdefault("chunk_examples", 8)
    with DatasetWriter(path, meta, **options) as writer:
        if storage == "online":
            for name, numbers, tasks in (("train", range(4), train), ("test", IN_TEST, test)):
                parts = enumerate(zip(numbers, tasks, strict=True))
                writer.write_split(name, [_arc_online(pairs, t, i) for i, (t, pairs) in parts])
        else:
            with writer.split("train") as split:
                for stripe in range(copies):
                    for task, pairs in enumerate(train):
                        number = stripe * 4 + task
                        split.write(_arc_dense(pairs, task, (stripe + task) % copies, number, True))
                    split.end_stripe()
            writer.write_split(
                "test",
                [
                    _arc_dense(pairs, task, variant, copies * i + variant, False)
                    for i, (task, pairs) in enumerate(zip(IN_TEST, test, strict=True))
                    for variant in range(copies)
                ],
            )
        writer.write_identifiers([str(i) for i in range(len(table))])
    for name, content in files.items():
        (path / name).write_bytes(content)
    return path


def _arc_json() -> dict[str, Any]:
    return {
        TASKS[task]: {
            part: [{"input": x.tolist(), "output": y.tolist()} for x, y in pairs]
            for part, pairs in arc_pairs(task).items()
        }
        for task in IN_TEST
    }


def _arc_task(task: int, split: str) -> list[tuple[np.ndarray, np.ndarray]]:
    pairs = arc_pairs(task)
    if split == "test":
        return pairs["test"]
    return pairs["train"] + ([] if task in IN_TEST else pairs["test"])


def _arc_online(pairs: list[tuple[np.ndarray, np.ndarray]], task: int, puzzle: int) -> Columns:
    columns = _arc_dense(pairs, task, 0, puzzle, False)
    del columns["offsets"]
    columns["variants"] = np.full(len(pairs), ARC_COUNT + 1, np.int32)
    return columns


def _arc_dense(
    pairs: list[tuple[np.ndarray, np.ndarray]], task: int, variant: int, puzzle: int, move: bool
) -> Columns:
    identifier = 1 + task * (ARC_COUNT + 1) + variant
    row = arc_tables()[identifier]
    random = np.random.default_rng(puzzle)
    inputs, labels, shapes, offsets = [], [], [], []
    for number, pair in enumerate(pairs):
        grids = [augment(grid, row) for grid in pair]
        room = 31 - np.max([grid.shape for grid in grids], axis=0)
        offset = random.integers(0, room) if move and number else np.zeros(2, int)
        made = [encode(grid, *offset.tolist()) for grid in grids]
        inputs.append(made[0])
        labels.append(made[1])
        shapes.append([*grids[0].shape, *grids[1].shape])
        offsets.append(offset)
    count = len(pairs)
    return {
        "inputs": np.stack(inputs),
        "labels": np.stack(labels),
        "puzzle_identifiers": np.full(count, identifier, np.int32),
        "groups": np.full(count, task, np.int32),
        "puzzles": np.full(count, puzzle, np.int32),
        "shapes": np.array(shapes, np.uint8),
        "offsets": np.array(offsets, np.uint8),
    }


# --- damage ---------------------------------------------------------------------------------------


def edit_tar(path: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]) -> None:
    """Write a tar again after `change` has edited its members."""
    with tarfile.open(path) as old:
        members = [(m, old.extractfile(m).read() if m.isreg() else b"") for m in old]  # type: ignore[union-attr]
    change(members)
    with path.open("wb") as stream:
        for member, content in members:
            member.size = len(content)
            stream.write(member.tobuf(tarfile.USTAR_FORMAT))
            stream.write(content + bytes(-len(content) % 512))
        stream.write(bytes(1024))


def edit_record(
    dataset: Path, split: str, record: int, change: Callable[[Columns], Columns | None]
) -> None:
    """Change the columns of one record and reseal the set: all hashes are right again."""

    def edit(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        at = [i for i, (m, _) in enumerate(members) if m.name.startswith(f"{record:06d}.")]
        columns = {members[i][0].name.split(".")[1]: np.load(io.BytesIO(members[i][1])) for i in at}
        columns = change(columns) or columns
        for i in at:
            member = members[i][0]
            members[i] = (member, save_npy(columns[member.name.split(".")[1]]))

    edit_tar(dataset / split / "shard-00000.tar", edit)
    reseal(dataset)


def edit_all(dataset: Path, split: str, change: Callable[[int, Columns], None]) -> None:
    """Change every record of a split in place, in order, and reseal."""
    index = json.loads((dataset / split / "index.json").read_text())
    for record in range(len(index["records"]["examples"])):
        edit_record(dataset, split, record, lambda columns, r=record: change(r, columns))


def reseal(dataset: Path, **changes: Any) -> None:
    """New hashes everywhere: index, dataset.json, fingerprint; `changes` go into dataset.json."""
    content = json.loads((dataset / "dataset.json").read_text())
    for split, info in content["splits"].items():
        file = dataset / split / "index.json"
        index = json.loads(file.read_text())
        info["sha256"] = []
        for number, shard in enumerate(index["shards"]):
            path = dataset / split / shard["name"]
            data = path.read_bytes()
            shard["bytes"], shard["sha256"] = len(data), hashlib.sha256(data).hexdigest()
            info["sha256"].append(shard["sha256"])
            _reseal_members(path, number, index["records"])
        info["examples"] = sum(index["records"]["examples"])
        file.write_text(json.dumps(index))
    merge(content, changes)
    write_meta(dataset, content)


def _reseal_members(path: Path, number: int, records: dict[str, Any]) -> None:
    data = path.read_bytes()
    with tarfile.open(path) as tar:
        for member in tar:
            record, column = member.name.split(".")[:2]
            at = int(record)
            entry = records["members"].get(column)
            if entry is None or at >= len(records["shard"]) or records["shard"][at] != number:
                continue
            start, stop = member.offset_data, member.offset_data + member.size
            entry["offset"][at], entry["size"][at] = start, member.size
            entry["xxh3"][at] = f"{xxhash.xxh3_64_intdigest(data[start:stop]):016x}"
            if column == "groups":
                records["examples"][at] = len(np.load(io.BytesIO(data[start:stop])))


def write_meta(dataset: Path, content: dict[str, Any]) -> None:
    """`dataset.json` with the right fingerprint."""
    plain = {k: v for k, v in content.items() if k not in ("builder", "fingerprint")}
    content["fingerprint"] = hashlib.sha256(canonical_json(plain)).hexdigest()
    (dataset / "dataset.json").write_text(json.dumps(content))


def edit_meta(dataset: Path, **changes: Any) -> None:
    content = json.loads((dataset / "dataset.json").read_text())
    merge(content, changes)
    write_meta(dataset, content)


def merge(content: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(content.get(key), dict):
            merge(content[key], value)
        else:
            content[key] = value
