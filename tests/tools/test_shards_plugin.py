"""`tools.shards` on a kind that only a file outside the package defines: all of it works."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hrm_scale.base.errors import ConfigError, DataError
from hrm_scale.base.plugins import PUZZLE_FILES
from hrm_scale.data import DatasetMeta, DatasetWriter, open_dataset
from hrm_scale.puzzles.registry import puzzle_class, record_of
from tests.tools.test_shards_sets import Columns, edit_meta, edit_record
from tools.shards.cli import main

SOURCE = '''
from itertools import permutations

import numpy as np

from hrm_scale.puzzles import Dihedral, Fault, Product, Puzzle, Relabel, Token
from hrm_scale.puzzles.base import ONE_SOLUTION, SEVERAL_SOLUTIONS

class Latin(Puzzle):
    """Each row and column holds each digit once."""

    kind = "latin"
    blank = 1
    rating = "holes"
    one_solution = True
    symbols = range(2, 6)
    tokens = (Token("padding"), Token("hole", "."), *(Token(f"digit {d}", d) for d in "1234"))

    def __init__(self, height, width):
        super().__init__(height, width)
        if height != 4 or width != 4:
            raise ValueError("latin squares are 4x4")
        cells, count = height * width, len(self.tokens)
        self.symmetry = Product(Dihedral(4, 4, count), Relabel(self.symbols, count, cells))

    def faults(self, inputs, answers):
        changed = (inputs > 1) & (inputs != answers)
        boards = answers.reshape(-1, 4, 4)
        wrong = np.zeros(boards.shape, bool)
        for axis in (1, 2):
            sound = (np.sort(boards, axis=axis).swapaxes(axis, 2) == np.arange(2, 6)).all(2)
            wrong |= ~(sound[:, :, None] if axis == 2 else sound[:, None, :])
        return [
            Fault(changed, "digit changed", "digits changed"),
            Fault(wrong.reshape(answers.shape), "cell in a bad line", "cells in bad lines"),
        ]

    def count_solutions(self, questions):
        rows = np.array(list(permutations(range(2, 6))))
        boards = rows[np.indices((24,) * 4).reshape(4, -1).T]
        every = boards[((1 << boards).sum(1) == 60).all(1)].reshape(-1, 16)
        matches = [((every == q.ravel()) | (q.ravel() == 1)).all(1).sum() for q in questions]
        return [ONE_SOLUTION if count == 1 else SEVERAL_SOLUTIONS for count in matches]

    def remark(self, tokens):
        return f"{int((tokens == 1).sum())} holes"
'''
COUNT, ROWS, TEST = 3, 24, 6


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the kind, given as `--puzzle` gives it."""
    file = tmp_path / "my_latin.py"
    file.write_text(SOURCE)
    monkeypatch.setenv(PUZZLE_FILES, str(file))
    return file


def squares(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Questions and answers, uint8 [count, 16], no two the same up to symmetry."""
    random = np.random.default_rng(2)
    labels = []
    for _ in range(20 * count):
        rows, columns = random.permutation(4), random.permutation(4)
        labels.append(((rows[:, None] + columns) % 4 + 2).ravel())
    answers = np.array(labels, np.uint8)
    questions = np.where(random.random(answers.shape) < 0.5, answers, 1).astype(np.uint8)
    keys = puzzle_class("latin").of_size(4).symmetry.keys(questions, answers)  # type: ignore[union-attr]
    chosen = np.sort(np.unique(keys, return_index=True)[1])[:count]
    return questions[chosen], answers[chosen]


@pytest.fixture
def online(plugin: Path, tmp_path: Path) -> Path:
    puzzle = puzzle_class("latin").of_size(4)
    inputs, labels = squares(ROWS + TEST)
    meta = DatasetMeta(
        kind="latin",
        storage="online",
        vocab_size=len(puzzle.tokens),
        seq_len=puzzle.cells,
        pad_id=0,
        ignore_label_id=0,
        blank_identifier_id=0,
        num_puzzle_identifiers=1,
        board=puzzle.board,
        augmentation={"kind": "latin", "count": COUNT, "seed": 4},
        builder={"name": "test", "puzzle": record_of(puzzle)},
    )
    path = tmp_path / "online"
    with DatasetWriter(path, meta, chunk_examples=16) as writer:
        for split, part in (("train", slice(0, ROWS)), ("test", slice(ROWS, ROWS + TEST))):
            count = len(inputs[part])
            columns = {"inputs": inputs[part], "labels": labels[part]}
            columns["puzzle_identifiers"] = np.zeros(count, np.int32)
            columns["groups"] = np.arange(count, dtype=np.int32)
            columns["ratings"] = (inputs[part] == 1).sum(axis=1).astype(np.int32)
            writer.write_split(split, [columns])
        writer.write_identifiers(["<blank>"])
    return path


def said(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> Any:
    capsys.readouterr()
    assert main([str(word) for word in argv] + ["--json"]) == 0
    return json.loads(capsys.readouterr().out)


def counts(path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, int]:
    """How often lint finds each code."""
    capsys.readouterr()
    with contextlib.suppress(DataError):
        main(["lint", str(path), "--json", *options])
    return json.loads(capsys.readouterr().out)["counts"]


def test_info_names_what_the_file_names(online: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(online)]) == 0
    text = capsys.readouterr().out
    holes = open_dataset(online).read("train", ["ratings"], 0, ROWS)["ratings"]
    for words in ("latin 4x4", "my_latin.py, class Latin", "1 = hole", "2 = digit 1"):
        assert words in text
    assert f"holes: min {holes.min()}" in text
    train = said(capsys, "info", online)["splits"]["train"]
    assert train["filled"]["max"] == holes.max()
    assert sum(int(n) * count for n, count in train["clues"].items()) == (16 - holes).sum()


def test_preview_draws_and_augments(online: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored = open_dataset(online).read("train", ["inputs", "labels", "groups"], 5, 6)
    assert main(["preview", str(online), "--index", "5"]) == 0
    text = capsys.readouterr().out
    assert f"{(stored['inputs'] == 1).sum()} holes" in text
    first = "".join(".1234"[token - 1] + " " for token in stored["inputs"][0][:4])
    assert f"\n{first}" in text
    (shown,) = said(capsys, "preview", online, "--index", "5", "--aug", "2")
    symmetry = open_dataset(online).meta.puzzle.symmetry
    made = symmetry.augment(*stored.values(), np.array([2]), 4)  # type: ignore[union-attr]
    assert shown["inputs"] == made[0][0].tolist() != stored["inputs"][0].tolist()
    assert shown["labels"] == made[1][0].tolist()
    with pytest.raises(ConfigError, match="variants 0 to 3"):
        main(["preview", str(online), "--index", "5", "--aug", "4"])


def test_order_names_the_augmentation(online: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = said(capsys, "order", online, "--batch", "16", "--count", "16")["rows"]
    assert {row["augmentation"] for row in rows} <= set(range(COUNT + 1))
    assert len({row["augmentation"] for row in rows}) > 1


def test_repacked_as_dense_it_holds_every_augmentation(
    online: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dense = tmp_path / "dense"
    assert main(["repack", str(online), str(dense), "--storage", "dense"]) == 0
    dataset = open_dataset(dense)
    assert dataset.split("train").examples == ROWS * (COUNT + 1)
    assert len(dataset.split("train").stripe_records) == COUNT + 1
    assert main(["lint", str(dense), "--strict"]) == 0

    def exchange(columns: Columns) -> None:
        for name in ("inputs", "labels"):
            columns[name][[0, 1]] = columns[name][[1, 0]]

    edit_record(dense, "train", 2, exchange)
    assert counts(dense, capsys) == {"E405": 2}


def test_lint_knows_its_rules_and_its_symmetries(
    online: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lint", str(online), "--strict"]) == 0
    text = capsys.readouterr().out
    assert f"{ROWS} boards of latin 4x4" in text
    assert "none in train up to symmetry" in text
    taken: Columns = {}
    edit_record(online, "train", 0, lambda columns: taken.update(columns))
    renamed = np.array([0, 1, 3, 4, 5, 2], np.uint8)

    def leak(columns: Columns) -> None:
        for name in ("inputs", "labels"):
            columns[name][2] = np.rot90(renamed[taken[name][7]].reshape(4, 4)).ravel()

    def spoil(columns: Columns) -> None:
        columns["inputs"][3] = 1
        columns["labels"][3][0] = columns["labels"][3][1]

    edit_record(online, "test", 0, leak)
    edit_record(online, "train", 1, spoil)
    assert counts(online, capsys) == {"E430": 1, "E501": 1}


def test_lint_searches_for_second_solutions(
    online: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    puzzle = open_dataset(online).meta.puzzle
    inputs = open_dataset(online).read("train", ["inputs"], 0, ROWS)["inputs"]
    inputs = np.concatenate(
        [inputs, open_dataset(online).read("test", ["inputs"], 0, TEST)["inputs"]]
    )
    several = puzzle.count_solutions(list(map(puzzle.grid, inputs))).count("several")
    assert 0 < several < ROWS
    assert counts(online, capsys, "--unique") == {"E404": several}


def test_where_symmetries_cannot_be_listed_lint_says_so(
    online: Path, plugin: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = plugin.with_name("my_larger.py")
    lines = "Lines(4, 4, 1, count), Lines(4, 4, 1, count, axis=1)"
    text = SOURCE.replace("Relabel(self.symbols, count, cells)", lines)
    other.write_text(f"from hrm_scale.puzzles.symmetry import Lines{text}")
    monkeypatch.setenv(PUZZLE_FILES, str(other))
    taken: Columns = {}
    edit_record(online, "train", 0, lambda columns: taken.update(columns))

    def leak(columns: Columns) -> None:
        for name in ("inputs", "labels"):
            columns[name][2] = taken[name][7]
            columns[name][3] = np.rot90(taken[name][7].reshape(4, 4)).ravel()

    edit_record(online, "test", 0, leak)
    assert counts(online, capsys) == {"E501": 1}
    capsys.readouterr()
    with pytest.raises(DataError):
        main(["lint", str(online)])
    assert "4608 symmetries are too many to list" in capsys.readouterr().out


def test_a_board_that_the_kind_does_not_have_is_a_fault(
    online: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_meta(online, augmentation={"kind": "none"}, board={"height": 2, "width": 8})
    assert counts(online, capsys) == {"E000": 1}


@pytest.mark.parametrize("command", ["info", "preview", "lint", "verify"])
def test_without_the_file_it_is_one_line_that_names_it(
    command: str, online: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PUZZLE_FILES)
    with pytest.raises(ConfigError) as caught:
        main([command, str(online)])
    assert "my_latin.py" in str(caught.value)
    assert "--puzzle" in str(caught.value)
    assert "\n" not in str(caught.value)
