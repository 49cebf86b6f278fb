"""Reading puzzles, drawing boards, and naming what is wrong with an answer."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hrm_scale.errors import DataError
from hrm_scale.evaluation import predict
from hrm_scale.evaluation.predict import Puzzle, read_puzzles, solve_and_describe
from hrm_scale.evaluation.sudoku import contradictions, draw, parse_puzzle
from tests.unit.data_sets import BOARDS, puzzles, solved_boards

BOARD = BOARDS[4]
SOLUTION = "1234341221434321"
QUESTION = "1..4..1..1..4..1"


def digits(text: str) -> np.ndarray:
    return np.array([int(c) for c in text.replace(".", "0")], dtype=np.uint8)


def test_a_puzzle_is_read_row_by_row_in_every_usual_layout() -> None:
    plain = parse_puzzle(QUESTION, BOARD, "x")
    assert plain.dtype == np.uint8
    assert plain.tolist() == digits(QUESTION).tolist()
    assert parse_puzzle(QUESTION.replace(".", "0"), BOARD, "x").tolist() == plain.tolist()
    drawn = "1 . | . 4\n. . | 1 .\n----+----\n. 1 | . .\n4 . | . 1\n"
    assert parse_puzzle(drawn, BOARD, "x").tolist() == plain.tolist()


@pytest.mark.parametrize("size", [4, 6, 9])
def test_boards_of_every_size_are_read_back(size: int) -> None:
    inputs, _ = puzzles(size, 5)
    for tokens in inputs - 1:
        text = "".join(map(str, tokens))
        assert parse_puzzle(text, BOARDS[size], "x").tolist() == tokens.tolist()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has 0 cells"),
        (QUESTION[:-1], "has 15 cells"),
        (QUESTION + ".", "has 17 cells"),
        ("5" + QUESTION[1:], "character 1 of the puzzle is '5'"),
        (QUESTION[:3] + "x" + QUESTION[4:], "character 4 of the puzzle is 'x'"),
        (QUESTION[:-1] + "²", "character 16 of the puzzle is '²'"),
        ("11" + "." * 14, "the 1 in row 1, column 1 stands twice"),
        ("1" + "." * 4 + "1" + "." * 10, "stands twice in its row, column or box"),
    ],
)
def test_bad_puzzles_are_named(text: str, problem: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_puzzle(text, BOARD, "puzzles.txt line 7")
    message = str(caught.value)
    assert message.startswith("puzzles.txt line 7: ")
    assert problem in message
    assert "\n" not in message


@settings(max_examples=150)
@given(st.one_of(st.text(max_size=20), st.text("0123456789.|-+ x", min_size=14, max_size=20)))
@example("\x00" * 16)
@example("１" * 16)
def test_whatever_is_typed_gives_a_board_or_one_error(text: str) -> None:
    message = ""
    try:
        board = parse_puzzle(text, BOARD, "puzzle")
    except DataError as error:
        message = str(error)
    if message:
        assert "\n" not in message
    else:
        assert board.shape == (16,)
        assert board.max() <= 4
        assert not contradictions(board, BOARD).any()


@settings(max_examples=60)
@given(
    content=st.one_of(
        st.binary(max_size=60), st.text("1234.,question\n\r\t\"'", max_size=60).map(str.encode)
    )
)
@example(content=b"question,answer\n1..4..1..1..4..1,\n")
@example(content=b"question\n\n")
@example(content=b'answer,"question\n')
@example(content=b"the question is\n1..4..1..1..4..1\n")
@example(content=b"question,rating\n,\n")
def test_whatever_a_file_holds_gives_puzzles_or_one_error(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for name in ("p.txt", "p.csv", "p.csv.gz"):
        path = tmp_path_factory.getbasetemp() / name
        path.write_bytes(content)
        message = ""
        try:
            found = read_puzzles(None, str(path), BOARD)
        except DataError as error:
            message = str(error)
        if message:
            assert str(path) in message
            assert len(message.splitlines()) == 1
        else:
            assert all(puzzle.question.shape == (16,) for puzzle in found)


def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    path = tmp_path / "puzzles"
    path.write_text(f"\n{QUESTION}\n\n123\n")
    with pytest.raises(DataError, match="puzzles line 4: the puzzle has 3 cells"):
        read_puzzles(None, str(path), BOARD)
    path.write_text(f"\ufeff\nquestion,answer\n\n{QUESTION},\n,{SOLUTION}\n")
    with pytest.raises(DataError, match="puzzles line 5: the puzzle has 0 cells"):
        read_puzzles(None, str(path), BOARD)


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "p.csv.gz"
    good = gzip.compress(f"question\n{QUESTION}\n".encode() * 9)
    for content in (good[:-4], good[:20], good[:12] + b"\xff\xff" + good[14:], b"", b"question"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"p\.csv\.gz"):
            read_puzzles(None, str(path), BOARD)


def test_files_of_lines_and_tables(tmp_path: Path) -> None:
    lines = tmp_path / "puzzles.txt"
    lines.write_text(f"{QUESTION}\n\n{SOLUTION}\n")
    found = read_puzzles(None, str(lines), BOARD)
    assert [puzzle.answer for puzzle in found] == [None, None]
    assert found[1].question.tolist() == digits(SOLUTION).tolist()
    table = tmp_path / "puzzles.csv.gz"
    text = f"source,question,answer,rating\na,{QUESTION},{SOLUTION},3\nb,{QUESTION},,1\n"
    table.write_bytes(gzip.compress(text.encode()))
    first, second = read_puzzles(None, str(table), BOARD)
    assert first.answer is not None
    assert first.answer.tolist() == digits(SOLUTION).tolist()
    assert second.answer is None
    with pytest.raises(DataError, match="does not exist"):
        read_puzzles(None, str(tmp_path / "none.txt"), BOARD)
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(DataError, match="is empty"):
        read_puzzles(None, str(tmp_path / "empty.txt"), BOARD)


@pytest.mark.parametrize("size", [4, 6, 9])
def test_solutions_have_no_contradiction_and_every_swap_has(size: int) -> None:
    rng = np.random.default_rng(size)
    for solution in solved_boards(size, 5) - 1:
        assert not contradictions(solution, BOARDS[size]).any()
        one, two = rng.choice(size * size, 2, replace=False)
        spoiled = solution.copy()
        spoiled[one] = solution[two]
        clash = contradictions(spoiled, BOARDS[size])
        assert clash.any() == (solution[one] != solution[two])
        assert not clash.any() or clash[one]


def test_contradictions_are_in_rows_columns_and_boxes_only() -> None:
    board = np.zeros(16, dtype=np.uint8)
    board[[0, 5]] = 1  # one box
    board[[3, 15]] = 2  # one column
    board[[8, 10]] = 3  # one row
    board[[1, 14]] = 4  # nothing in common
    assert np.flatnonzero(contradictions(board, BOARD)).tolist() == [0, 3, 5, 8, 10, 15]


def test_the_drawing_shows_both_boards_and_marks() -> None:
    wrong = np.zeros(16, dtype=bool)
    wrong[15] = True
    answer = digits(SOLUTION).astype(np.int64)
    answer[2] = -1
    text = draw(digits(QUESTION), answer, wrong, BOARD, color=False)
    lines = text.splitlines()
    assert len(lines) == 5
    assert lines[0].split() == ["1", ".", "|", ".", "4", "1", "2", "|", "?", "4"]
    assert set(lines[2]) == set("-+ ")
    assert lines[4].endswith("1!")
    assert "\x1b" not in text
    assert "\x1b[1;31m1\x1b[0m!" in draw(digits(QUESTION), answer, wrong, BOARD, color=True)


@dataclass
class Board:
    board: dict[str, int]


@dataclass
class Steps:
    halt_max_steps: int


@dataclass
class Model:
    config: Steps


@dataclass
class Answering:
    """Stands for a restored model where only its numbers are asked for."""

    meta: Board
    model: Model


def describe(
    monkeypatch: pytest.MonkeyPatch, answer: str, known: str | None = None, halt: int = 3
) -> str:
    result = np.array([[-1 if c == "?" else int(c) for c in answer]])
    monkeypatch.setattr(predict, "_solve", lambda *_: (result, np.array([0.75]), np.array([halt])))
    puzzle = Puzzle("line 1", digits(QUESTION), None if known is None else digits(known))
    restored: Any = Answering(Board(BOARD), Model(Steps(4)))
    (text,) = solve_and_describe(restored, [puzzle], color=False)
    return text


def test_a_right_answer_is_called_solved(monkeypatch: pytest.MonkeyPatch) -> None:
    text = describe(monkeypatch, SOLUTION, SOLUTION)
    assert text.startswith("line 1\n")
    assert "\nsolved; halt head 75.0% sure, would halt at step 3 of 4\n" in text
    assert "!" not in text
    assert "would not halt in 4 steps" in describe(monkeypatch, SOLUTION, halt=0)


def test_faults_are_named_and_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    # 16 cells, the last clue answered with 2: it clashes with the 2 of its row and of its column.
    text = describe(monkeypatch, SOLUTION[:-1] + "2", SOLUTION)
    assert "not solved: 1 clues changed" in text
    assert "3 cells contradict each other" in text
    assert "1 cells differ from the known answer" in text
    assert text.count("!") == 3
    unsure = describe(monkeypatch, "1?" + SOLUTION[2:])
    assert "1 cells contradict" in unsure
    assert "?!" in unsure


def test_a_valid_board_that_is_not_the_known_answer_is_not_solved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = "1324241331424231"
    assert not contradictions(digits(other), BOARD).any()
    text = describe(monkeypatch, other, SOLUTION)
    assert "cells differ from the known answer" in text
    assert "solved;" not in text
