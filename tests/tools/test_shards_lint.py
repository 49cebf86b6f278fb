"""`tools.shards lint`: seeded faults of every kind are found by code, sound sets have none."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hrm_scale.base.errors import DataError
from tests.tools.test_shards_sets import (
    ARC_COUNT,
    Columns,
    arc_set,
    edit_all,
    edit_meta,
    edit_record,
    edit_tar,
    maze_set,
    mazes,
    reseal,
    save_npy,
    sudoku_set,
)
from tools.shards.cli import main

SHARD = "train/shard-00000.tar"
INDEX = "train/index.json"
BUILDERS: dict[str, Callable[[Path], Path]] = {
    "sudoku": sudoku_set,
    "sudoku-dense": lambda path: sudoku_set(path, storage="dense"),
    "sudoku-zst": lambda path: sudoku_set(path, compression="zst"),
    "maze": maze_set,
    "arc": arc_set,
    "arc-dense": lambda path: arc_set(path, storage="dense"),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All sound sets, built once; tests work on copies."""
    folder = tmp_path_factory.mktemp("sound")
    for name, build in BUILDERS.items():
        build(folder / name)
    return folder


def findings(
    dataset: Path, capsys: pytest.CaptureFixture[str], *options: str
) -> list[dict[str, Any]]:
    """What lint finds; a fault must end it with one line and no other exception."""
    capsys.readouterr()
    message = ""
    try:
        main(["lint", str(dataset), "--json", *options])
    except DataError as error:
        message = str(error)
    assert "\n" not in message
    result = json.loads(capsys.readouterr().out)
    failed = result["errors"] > 0 or ("--strict" in options and result["warnings"] > 0)
    assert bool(message) == failed
    return result["findings"]


@pytest.mark.parametrize("name", BUILDERS)
def test_a_sound_set_gives_no_finding(
    name: str, sound: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert findings(sound / name, capsys, "--strict") == []


# --- damage that hashes show ----------------------------------------------------------------------


def member(dataset: Path, column: str, record: int) -> tuple[int, int]:
    """(offset, size) of a member of the train split."""
    entry = json.loads((dataset / INDEX).read_text())["records"]["members"][column]
    return entry["offset"][record], entry["size"][record]


def flip_a_bit(dataset: Path) -> None:
    offset, size = member(dataset, "labels", 1)
    content = bytearray((dataset / SHARD).read_bytes())
    content[offset + size - 3] ^= 4
    (dataset / SHARD).write_bytes(content)


def truncate(dataset: Path) -> None:
    content = (dataset / SHARD).read_bytes()
    (dataset / SHARD).write_bytes(content[: len(content) * 2 // 3])


def drop_member(dataset: Path) -> None:
    edit_tar(dataset / SHARD, lambda members: members.pop(2) and None)


def empty_shard(dataset: Path) -> None:
    (dataset / SHARD).write_bytes(b"")


def add_link(dataset: Path) -> None:
    link = tarfile.TarInfo("000009.inputs.npy")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
    edit_tar(dataset / SHARD, lambda members: members.append((link, b"")))
    reseal_shards_only(dataset)


def add_foreign_member(dataset: Path) -> None:
    foreign = tarfile.TarInfo("program.sh")
    edit_tar(dataset / SHARD, lambda members: members.append((foreign, b"echo")))
    reseal_shards_only(dataset)


def add_unlisted_member(dataset: Path) -> None:
    more = tarfile.TarInfo("000099.inputs.npy")
    content = save_npy(np.zeros((3, 36), np.uint8))
    edit_tar(dataset / SHARD, lambda members: members.append((more, content)))
    reseal_shards_only(dataset)


def reseal_shards_only(dataset: Path) -> None:
    """Hashes of the shards are right; members and index stay as they were."""
    import hashlib

    data = (dataset / SHARD).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    index = json.loads((dataset / INDEX).read_text())
    index["shards"][0] |= {"bytes": len(data), "sha256": digest}
    (dataset / INDEX).write_text(json.dumps(index))
    edit_meta(dataset, splits={"train": {"sha256": [digest]}})


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.path,)


def pickle_member(dataset: Path) -> None:
    buffer = io.BytesIO()
    trap = np.array([Trap(str(dataset.parent / "ran"))], dtype=object)
    np.save(buffer, trap, allow_pickle=True)
    assert pickle.dumps(trap)
    replace_member(dataset, "inputs", buffer.getvalue())


def wrong_dtype(dataset: Path) -> None:
    replace_member(dataset, "groups", save_npy(np.arange(16, dtype=np.int64)))


def wrong_shape(dataset: Path) -> None:
    replace_member(dataset, "labels", save_npy(np.full((16, 35), 2, np.uint8)))


def replace_member(dataset: Path, column: str, content: bytes) -> None:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        for i, (info, old) in enumerate(members):
            if info.name == f"000001.{column}.npy":
                # Longer members would already not fit the shape that the index states.
                members[i] = (info, content.ljust(len(old), b"\0"))

    edit_tar(dataset / SHARD, change)
    index = json.loads((dataset / INDEX).read_text())
    examples = index["records"]["examples"]
    with contextlib.suppress(ValueError):
        reseal(dataset)
    index = json.loads((dataset / INDEX).read_text())
    index["records"]["examples"] = examples
    (dataset / INDEX).write_text(json.dumps(index))


def stale_index(dataset: Path) -> None:
    index = json.loads((dataset / INDEX).read_text())
    index["shards"][0]["sha256"] = "0" * 64
    (dataset / INDEX).write_text(json.dumps(index))


def index_elsewhere(dataset: Path) -> None:
    index = json.loads((dataset / INDEX).read_text())
    offsets = index["records"]["members"]["inputs"]["offset"]
    offsets[0], offsets[1] = offsets[1], offsets[0]
    (dataset / INDEX).write_text(json.dumps(index))


def index_outside(dataset: Path) -> None:
    index = json.loads((dataset / INDEX).read_text())
    index["records"]["members"]["inputs"]["offset"][0] = 1 << 40
    (dataset / INDEX).write_text(json.dumps(index))


def wrong_fingerprint(dataset: Path) -> None:
    content = json.loads((dataset / "dataset.json").read_text())
    content["vocab_size"] += 1
    (dataset / "dataset.json").write_text(json.dumps(content))


def wrong_counts(dataset: Path) -> None:
    edit_meta(dataset, splits={"train": {"groups": 39, "puzzles": 41}})


# --- damage that only meaning shows: everything is sealed again -----------------------------------


def change(split: str, record: int, edit: Callable[[Columns], object]) -> Callable[[Path], None]:
    def damage(dataset: Path) -> None:
        edit_record(dataset, split, record, lambda columns: edit(columns) and None)

    return damage


def assign(column: str, at: Any, value: Any) -> Callable[[Columns], None]:
    def edit(columns: Columns) -> None:
        columns[column][at] = value

    return edit


def unsolve(columns: Columns) -> None:
    """Two digits of a solution swapped where the question is blank."""
    at = np.flatnonzero(columns["inputs"][3] == 1)[:2]
    other = next(i for i in range(36) if columns["labels"][3][i] != columns["labels"][3][at[0]])
    pair = [at[0], other]
    columns["labels"][3][pair] = columns["labels"][3][pair[::-1]]
    columns["inputs"][3][pair] = 1


def lose_clue(columns: Columns) -> None:
    at = int(np.flatnonzero(columns["inputs"][2] > 1)[0])
    columns["inputs"][2][at] = columns["inputs"][2][at] % 6 + 2


def repeat_record(dataset: Path) -> None:
    """Record 1 becomes record 0 under its own group numbers."""
    kept: Columns = {}

    def edit(record: int, columns: Columns) -> None:
        if record == 0:
            kept.update({name: columns[name].copy() for name in ("inputs", "labels")})
        elif record == 1:
            columns.update({name: array.copy() for name, array in kept.items()})

    edit_all(dataset, "train", edit)


def repeat_example(columns: Columns) -> None:
    for name in ("inputs", "labels"):
        columns[name][5] = columns[name][4]


def leak(turn: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """The first test example becomes a train example under a symmetry."""

    def damage(dataset: Path) -> None:
        taken: Columns = {}
        edit_record(dataset, "train", 0, lambda columns: taken.update(columns))

        def edit(columns: Columns) -> None:
            for name in ("inputs", "labels"):
                columns[name][0] = turn(taken[name][7])

        edit_record(dataset, "test", 0, lambda columns: edit(columns))

    return damage


def relabel_sudoku(tokens: np.ndarray) -> np.ndarray:
    """Digits 1 ... 6 turned around, and two rows of a band exchanged."""
    board = np.where(tokens > 1, 9 - tokens, 1).reshape(6, 6)
    return board[[1, 0, 2, 3, 4, 5]].ravel().astype(np.uint8)


def turn_maze(tokens: np.ndarray) -> np.ndarray:
    return np.rot90(tokens.reshape(6, 6)).ravel()


def detour(columns: Columns) -> None:
    """A maze whose marked path is one cell longer on each side than it must be."""
    board = np.full((6, 6), 2, np.uint8)
    answer = board.copy()
    board[2, 1], board[2, 4] = 3, 4
    answer[2, 1], answer[2, 4] = 3, 4
    answer[1, 1:5] = 5
    columns["inputs"][0], columns["labels"][0] = board.ravel(), answer.ravel()


def break_path(columns: Columns) -> None:
    at = int(np.flatnonzero(columns["labels"][1] == 5)[0])
    columns["labels"][1][at] = 2


def second_start(columns: Columns) -> None:
    at = int(np.flatnonzero(columns["labels"][1] == 2)[0])
    columns["inputs"][1][at] = columns["labels"][1][at] = 3


def break_frame(columns: Columns) -> None:
    at = int(np.flatnonzero(columns["inputs"][0] == 1)[0])
    columns["inputs"][0][at] = 0


def cell_outside(columns: Columns) -> None:
    columns["labels"][1][899 if columns["labels"][1][899] == 0 else 29] = 5


def recolour(columns: Columns) -> None:
    """One cell of a copy has another colour than its variant gives it."""
    at = int(np.flatnonzero(columns["inputs"][0] > 1)[0])
    columns["inputs"][0][at] = 2 + (columns["inputs"][0][at] - 1) % 10


def leak_arc(dataset: Path) -> None:
    """The first test pair becomes a train pair of another task, recoloured."""
    taken: Columns = {}
    edit_record(dataset, "train", 0, lambda columns: taken.update(columns))
    tokens = np.array([0, 1, 2, *np.roll(np.arange(3, 12), 1)], np.uint8)

    def edit(columns: Columns) -> None:
        for name in ("inputs", "labels"):
            columns[name][0] = tokens[taken[name][0]]
        columns["shapes"][0] = taken["shapes"][0]

    edit_record(dataset, "test", 0, lambda columns: edit(columns))
    (dataset / "test_puzzles.json").unlink()


def scatter_puzzle(dataset: Path) -> None:
    """Two rows of different puzzles of one group... exchanged, so that one comes again."""
    edit_record(dataset, "test", 0, lambda columns: assign("puzzles", 3, 0)(columns))


def edit_table(row: int, values: Any) -> Callable[[Path], None]:
    def damage(dataset: Path) -> None:
        import hashlib

        table = np.load(dataset / "augmentations.npy")
        table[row] = values
        content = save_npy(table)
        (dataset / "augmentations.npy").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        edit_meta(dataset, augmentation={"table_sha256": digest})

    return damage


def edit_text(name: str, old: str, new: str) -> Callable[[Path], None]:
    def damage(dataset: Path) -> None:
        text = (dataset / name).read_text()
        assert old in text
        (dataset / name).write_text(text.replace(old, new))

    return damage


def edit_test_puzzles(dataset: Path) -> None:
    puzzles = json.loads((dataset / "test_puzzles.json").read_text())
    grid = next(iter(puzzles.values()))["test"][0]["output"]
    grid[0][0] = (grid[0][0] + 1) % 10
    (dataset / "test_puzzles.json").write_text(json.dumps(puzzles))


FAULTS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "bit flip": ("sudoku", flip_a_bit, "E104"),
    "bit flip, shard hash": ("arc", flip_a_bit, "E102"),
    "bit flip in zstd": ("sudoku-zst", flip_a_bit, "E108"),
    "truncated tar": ("sudoku", truncate, "E105"),
    "empty shard": ("maze", empty_shard, "E105"),
    "missing member": ("sudoku", drop_member, "E204"),
    "member not in the index": ("sudoku", add_unlisted_member, "E205"),
    "link in the tar": ("sudoku", add_link, "E106"),
    "foreign member": ("maze", add_foreign_member, "E106"),
    "pickled member": ("sudoku", pickle_member, "E107"),
    "wrong dtype": ("sudoku", wrong_dtype, "E108"),
    "wrong shape": ("sudoku", wrong_shape, "E108"),
    "missing shard": ("maze", lambda d: (d / SHARD).unlink(), "E101"),
    "missing split": ("maze", lambda d: shutil.rmtree(d / "test"), "E101"),
    "further shard": ("maze", lambda d: (d / "train/shard-00001.tar").touch(), "E103"),
    "further file": ("maze", lambda d: (d / "notes.txt").touch(), "W103"),
    "stale index": ("sudoku", stale_index, "E202"),
    "index points elsewhere": ("sudoku", index_elsewhere, "E203"),
    "index points outside": ("arc", index_outside, "E201"),
    "index is no JSON": ("arc", lambda d: (d / INDEX).write_text('{"version": 1,'), "E201"),
    "dataset.json is no JSON": ("arc", lambda d: (d / "dataset.json").write_text("{"), "E001"),
    "wrong fingerprint": ("maze", wrong_fingerprint, "E002"),
    "wrong counts": ("sudoku", wrong_counts, "E206"),
    "wrong augmented counts": (
        "arc",
        lambda d: edit_meta(d, extra={"augmented": {"train": {"puzzles": 7}}}),
        "E206",
    ),
    "token out of range": ("sudoku", change("train", 1, assign("inputs", (0, 0), 9)), "E301"),
    "identifier out of range": (
        "arc-dense",
        change("test", 0, assign("puzzle_identifiers", 0, 99)),
        "E307",
    ),
    "blank identifier": ("arc", change("train", 0, assign("puzzle_identifiers", 0, 0)), "E308"),
    "group over two records": ("sudoku", change("train", 1, assign("groups", 0, 15)), "E303"),
    "group not in one run": ("sudoku", change("train", 1, assign("groups", 5, 2)), "E304"),
    "other groups in a stripe": (
        "sudoku-dense",
        change("train", 4, assign("groups", 5, 77)),
        "E305",
    ),
    "puzzle not contiguous": ("arc-dense", scatter_puzzle, "E306"),
    "identifier of another task": (
        "arc-dense",
        change("train", 1, assign("puzzle_identifiers", slice(0, 2), 1 + 2 * (ARC_COUNT + 1))),
        "E308",
    ),
    "Sudoku not solved": ("sudoku", change("train", 0, unsolve), "E401"),
    "clue lost": ("sudoku", change("train", 2, lose_clue), "E402"),
    "padding in a Sudoku": ("sudoku", change("train", 0, assign("inputs", (1, 4), 0)), "E403"),
    "another Sudoku in a stripe": (
        "sudoku-dense",
        change("train", 3, lambda c: [c["inputs"].sort(axis=0), c["labels"].sort(axis=0)][:0]),
        "E401",
    ),
    "other number of clues in a stripe": (
        "sudoku-dense",
        change("train", 3, lambda c: assign("inputs", 6, c["labels"][6])(c)),
        "E405",
    ),
    "record twice": ("sudoku", repeat_record, "E502"),
    "example twice": ("sudoku", change("train", 0, repeat_example), "W502"),
    "leak of a Sudoku": ("sudoku", leak(relabel_sudoku), "E501"),
    "leak of a maze": ("maze", leak(turn_maze), "E501"),
    "leak of an ARC pair": ("arc", leak_arc, "W501"),
    "two starts": ("maze", change("train", 0, second_start), "E411"),
    "path broken": ("maze", change("train", 0, break_path), "E412"),
    "path not shortest": ("maze", change("train", 0, detour), "E412"),
    "frame broken": ("arc", change("train", 0, break_frame), "E421"),
    "frame broken in a copy": ("arc-dense", change("train", 5, break_frame), "E421"),
    "colour outside the grid": ("arc", change("train", 0, cell_outside), "E422"),
    "shape of 0": ("arc", change("train", 0, assign("shapes", (0, 1), 0)), "E423"),
    "offsets outside": ("arc-dense", change("train", 2, assign("offsets", 1, 29)), "E423"),
    "test moved": ("arc-dense", change("test", 0, assign("offsets", 1, 2)), "E423"),
    "not the variant": ("arc-dense", change("train", 5, recolour), "E424"),
    "wrong variants column": ("arc", change("train", 0, assign("variants", 0, 9)), "E425"),
    "variant's identifier in an online set": (
        "arc",
        change("test", 0, assign("puzzle_identifiers", 0, 2 + 2 * (ARC_COUNT + 1))),
        "E425",
    ),
    "no permutation": ("arc", edit_table(3, 1), "E011"),
    "first is not the original": (
        "arc",
        edit_table(1, [2, *range(10)]),
        "E011",
    ),
    "table changed": (
        "arc-dense",
        lambda d: np.save(d / "augmentations.npy", np.zeros((17, 11), np.uint8)),
        "E011",
    ),
    "table lost": ("arc", lambda d: (d / "augmentations.npy").unlink(), "E011"),
    "names changed": ("arc", edit_text("identifiers.json", "aa000002", "aa00002b"), "E010"),
    "names lost": ("sudoku", lambda d: (d / "identifiers.json").unlink(), "E010"),
    "test puzzles changed": ("arc", edit_test_puzzles, "E012"),
    "test puzzles broken": ("arc", lambda d: (d / "test_puzzles.json").write_text("[1"), "E012"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_seeded_fault_is_found(
    name: str, sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind, damage, code = FAULTS[name]
    dataset = tmp_path / "set"
    shutil.copytree(sound / kind, dataset)
    damage(dataset)
    found = findings(dataset, capsys)
    codes = sorted({finding["code"] for finding in found})
    assert code in codes, found
    assert "E000" not in codes, found
    assert all(str(dataset) in f["path"] or f["path"] in ("dataset.json",) for f in found)
    assert not (tmp_path / "ran").exists()


def test_mazes_of_the_fixture_are_as_many_as_asked_for() -> None:
    assert len(mazes(40)[0]) == 40
