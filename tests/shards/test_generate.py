"""python -m shards.generate: which puzzles are kept, and what to type next."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from hrm_scale.base.plugins import PUZZLE_FILES, take_plugins
from hrm_scale.puzzles import Dihedral, Fault, Generated, Product, Puzzle, Token
from hrm_scale.puzzles.symmetry import Lines
from shards.builder.boards import Boards, Distinct
from shards.generate.build import distinct
from shards.generate.cli import main

FILE = Path(__file__).parents[2] / "examples" / "my_puzzle.py"


class Marks(Puzzle):
    """Boards of two tokens, of which the generator makes only a few."""

    kind = "marks"
    tokens = (Token("padding"), Token("one", "a"), Token("two", "b"))

    def faults(self, inputs: np.ndarray, answers: np.ndarray) -> list[Fault]:
        return [Fault(inputs != answers, "cell differs", "cells differ")]

    def generate(self, count: int, seed: int) -> Generated:
        boards = np.ones((count, self.cells), np.uint8)
        marked = np.random.default_rng(seed).integers(0, self.cells, count)
        boards[np.arange(count), marked] = 2
        return Generated(boards, boards.copy())


def test_puzzles_equal_up_to_symmetry_are_kept_once() -> None:
    puzzle = Marks(3, 3)
    puzzle.symmetry = Dihedral(3, 3, 3)
    kept = distinct(puzzle, 3, 0)
    places = {int(np.flatnonzero(board == 2)[0]) for board in kept.inputs}
    assert len(places & {0, 2, 6, 8}) == len(places & {1, 3, 5, 7}) == len(places & {4}) == 1


def test_symmetries_too_many_to_list_leave_out_exact_copies_with_a_note(
    capsys: pytest.CaptureFixture[str],
) -> None:
    puzzle = Marks(9, 9)
    puzzle.symmetry = Product(Lines(9, 9, 3, 3), Lines(9, 9, 3, 3, axis=1))
    kept = distinct(puzzle, 20, 0)
    assert len(kept) == len({board.tobytes() for board in kept.inputs}) == 20
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert len(notes) == 1


def test_what_was_seen_in_an_earlier_round_is_not_new() -> None:
    puzzle = Marks(2, 2)
    made = puzzle.generate(4, 0)
    boards = Boards(puzzle, made.inputs, made.labels)
    found = Distinct(4)
    keys = np.array([5, 3, 5, 4], np.uint64)
    assert found.add(boards, keys, usable=keys != 4).tolist() == [True, True, False, False]
    assert found.add(boards, keys).tolist() == [False, False, False, True]
    assert found.missing == 1
    assert (found.boards().inputs == made.inputs[[0, 1, 3]]).all()


def test_the_next_commands_repeat_the_plugin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PUZZLE_FILES, "")
    folder, file = tmp_path / "my data", tmp_path / "my queens.py"
    file.write_text(FILE.read_text())
    words = ["queens", "--size", "5", "--count", "4", "--output-dir", str(folder)]
    assert main(take_plugins([*words, "--puzzle", str(file)])) == 0
    commands = capsys.readouterr().err.splitlines()[-1].split("`")[1::2]
    info, train = map(shlex.split, commands)
    assert info[3:] == ["info", str(folder), "--puzzle", str(file)]
    assert train[3:] == [f"data_path={folder}", "--puzzle", str(file)]
