"""Files of puzzles in every layout, packed or not, and what is wrong in them named by its line."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hrm_scale.base.errors import DataError
from hrm_scale.puzzles import Problem, Puzzle
from hrm_scale.puzzles import text_source as source
from hrm_scale.puzzles.arc.puzzle import Arc
from hrm_scale.puzzles.maze.puzzle import Maze
from hrm_scale.puzzles.reading import read_file, read_typed
from hrm_scale.puzzles.sudoku.puzzle import Sudoku

FOUR, MAZE, ARC = Sudoku(4, 4, 2, 2), Maze(4, 4), Arc()
SOLUTION, QUESTION = "1234341221434321", "1..4..1..1..4..1"
MAZES = ("S   #### G      ", "  S   # ## G    ")
TASK = {
    "train": [{"input": [[1]], "output": [[2]]}],
    "test": [{"input": [[3, 4]]}, {"input": [[5]], "output": [[6]]}],
}


def read(path: Path, board: Puzzle) -> list[Problem]:
    return read_file(str(path), board)[0]


def test_lines_and_tables(tmp_path: Path) -> None:
    lines = tmp_path / "puzzles.txt"
    lines.write_text(f"\n{QUESTION}\r\n\n{SOLUTION}\n")
    found = read(lines, FOUR)
    assert [puzzle.name for puzzle in found] == ["line 2", "line 4"]
    assert [FOUR.text(puzzle.question) for puzzle in found] == [QUESTION, SOLUTION]
    table = tmp_path / "puzzles.csv.gz"
    text = f"source,question,answer,rating\na,{QUESTION},{SOLUTION},3\nb,{QUESTION},,1\n"
    table.write_bytes(gzip.compress(text.encode()))
    first, second = read(table, FOUR)
    assert first.answer is not None
    assert FOUR.text(first.answer) == SOLUTION
    assert second.answer is None


def test_drawn_boards_are_separated_by_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / "drawn"
    board = "1 . | . 4\n. . | 1 .\n----+----\n. 1 | . .\n4 . | . 1"
    path.write_text(f"{board}\n \n\n{board}")
    found = read(path, FOUR)
    assert [puzzle.name for puzzle in found] == ["lines 1-5", "lines 8-12"]
    assert [FOUR.text(puzzle.question) for puzzle in found] == [QUESTION] * 2
    path.write_text(f"{board}\n\n{board[:-1]}\n")
    with pytest.raises(DataError, match=r"drawn lines 7-11: the puzzle has 15 cells \(row 4 has 3"):
        read(path, FOUR)


def test_blanks_of_a_maze_are_never_lost(tmp_path: Path) -> None:
    path = tmp_path / "mazes"
    path.write_text("\n".join(MAZES) + "\n")
    assert [MAZE.text(puzzle.question) for puzzle in read(path, MAZE)] == list(MAZES)
    # The last row of both is nothing but blanks, and so is none of the separators.
    drawn = ["\n".join(maze[at : at + 4] for at in range(0, 16, 4)) for maze in MAZES]
    path.write_text("\n\n".join(drawn))
    assert [MAZE.text(puzzle.question) for puzzle in read(path, MAZE)] == list(MAZES)
    path.write_text("answer,question\n" + "".join(f",{maze}\n" for maze in MAZES))
    assert [MAZE.text(puzzle.question) for puzzle in read(path, MAZE)] == list(MAZES)
    path.write_text(MAZES[0].rstrip() + "\n")
    with pytest.raises(DataError, match=r"line 1: the puzzle has 10 cells.*'_' for a free cell"):
        read(path, MAZE)


def test_arc_as_grids(tmp_path: Path) -> None:
    path = tmp_path / "grids"
    path.write_text("012/345\n9/9\n")
    assert [ARC.text(puzzle.question) for puzzle in read(path, ARC)] == ["012/345", "9/9"]
    path.write_text("0 1 2\n3 4 5\n\n9, 9\n")
    assert [ARC.text(puzzle.question) for puzzle in read(path, ARC)] == ["012/345", "99"]
    path.write_text("question,answer\n012/345,9/9\n")
    (puzzle,) = read(path, ARC)
    assert puzzle.answer is not None
    assert (ARC.text(puzzle.answer), puzzle.task) == ("9/9", None)


def test_arc_as_json(tmp_path: Path) -> None:
    path = tmp_path / "007bbfb7.json"
    path.write_text(json.dumps(TASK))
    puzzles, tasks = read_file(str(path), ARC)
    assert tasks is not None
    assert tasks.single
    assert [(p.name, p.task) for p in puzzles] == [
        ("007bbfb7 test 1", "007bbfb7"),
        ("007bbfb7 test 2", "007bbfb7"),
    ]
    assert [ARC.text(p.question) for p in puzzles] == ["34", "5"]
    assert puzzles[0].answer is None
    assert puzzles[1].answer is not None
    assert ARC.text(puzzles[1].answer) == "6"
    path = tmp_path / "challenges.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"one": TASK, "two": TASK}).encode()))
    puzzles, tasks = read_file(str(path), ARC)
    assert tasks is not None
    assert not tasks.single
    assert [p.task for p in puzzles] == ["one", "one", "two", "two"]
    puzzles, tasks = read_typed("[[0, 1], [2, 3]]", ARC)
    assert tasks is not None
    assert [ARC.text(p.question) for p in puzzles] == ["01/23"]
    assert read_typed("01/23", ARC)[1] is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "not valid JSON"),
        ("{}", "holds no task"),
        ("[]", "no grid"),
        ('{"a": 1}', "task a: no ARC task"),
        ('{"test": []}', "no ARC task"),
        ('{"test": [1]}', "test 1: expected an object"),
        ('{"test": [{"input": [[10]]}]}', "test 1, input: row 1, column 1 is 10"),
        ('{"test": [{"input": [[1.0]]}]}', "row 1, column 1 is 1.0"),
        ('{"test": [{"input": [[true]]}]}', "row 1, column 1 is True"),
        ('{"test": [{"input": [[1], [2, 3]]}]}', "not rectangular"),
        ('{"test": [{"input": [[1]], "output": 3}]}', "test 1, output: no grid"),
        ('{"a\\u001b[2J": {"test": [{"input": [[1]]}]}}', "cannot name a task"),
        ("[" * 100_000, "nested deeper"),
    ],
)
def test_what_is_wrong_in_json_is_named(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "t.json"
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        read(path, ARC)
    message = str(caught.value)
    assert message.startswith(f"file={path}")
    assert problem in message
    assert len(message.splitlines()) == 1
    assert "\x1b" not in message


def test_json_is_for_arc(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps(TASK))
    with pytest.raises(DataError, match=r"JSON, which is read for models of ARC.*sudokus"):
        read(path, FOUR)


def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    path = tmp_path / "puzzles"
    path.write_text(f"\n{QUESTION}\n\n123\n")
    with pytest.raises(DataError, match="puzzles line 4: the puzzle has 3 cells"):
        read(path, FOUR)
    path.write_text(f"\ufeff\nquestion,answer\n\n{QUESTION},\n,{SOLUTION}\n")
    with pytest.raises(DataError, match="puzzles line 5: the puzzle has 0 cells"):
        read(path, FOUR)
    path.write_text(f"question,answer\n{QUESTION},11{SOLUTION[2:]}\n")
    with pytest.raises(DataError, match="puzzles line 2, answer: the digits contradict"):
        read(path, FOUR)


def test_what_is_no_readable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read(tmp_path / "none.txt", FOUR)
    with pytest.raises(DataError, match="cannot be read: is not a regular file"):
        read(tmp_path, FOUR)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="cannot be read: is not a regular file"):
        read(tmp_path / "pipe", FOUR)
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(DataError, match="is empty"):
        read(tmp_path / "empty.txt", FOUR)
    (tmp_path / "head.csv").write_text("question\n\n")
    with pytest.raises(DataError, match="a header and no puzzle"):
        read(tmp_path / "head.csv", FOUR)
    path = tmp_path / "p.csv.gz"
    good = gzip.compress(f"question\n{QUESTION}\n".encode() * 9)
    for content in (good[:-4], good[:20], good[:12] + b"\xff\xff" + good[14:]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"p\.csv\.gz cannot be read"):
            read(path, FOUR)


def test_a_file_that_unpacks_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "MAX_BYTES", 1 << 20)
    path = tmp_path / "p.gz"
    path.write_bytes(gzip.compress(bytes(3 << 20)))
    assert path.stat().st_size < 1 << 13
    with pytest.raises(DataError, match="more than 1 MiB of text"):
        read(path, FOUR)


@pytest.mark.parametrize("packed", [False, True])
def test_standard_input_is_read_like_a_file(packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    data = f"question\n{QUESTION}\n".encode()
    stream = io.TextIOWrapper(io.BytesIO(gzip.compress(data) if packed else data))
    monkeypatch.setattr(sys, "stdin", stream)
    (puzzle,) = read_file("-", FOUR)[0]
    assert FOUR.text(puzzle.question) == QUESTION
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"123\n")))
    with pytest.raises(DataError, match="standard input line 1: the puzzle has 3 cells"):
        read_file("-", FOUR)


values: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 11) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["test", "input", "output", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=150)
@given(
    content=st.one_of(
        st.binary(max_size=60),
        st.text("1234.,question\n\r\t\"'/#SG ", max_size=60).map(str.encode),
        values.map(lambda value: json.dumps(value).encode()),
    )
)
@example(content=b"question,answer\n1..4..1..1..4..1,\n")
@example(content=b'answer,"question\n')
@example(content=b"the question is\n1..4..1..1..4..1\n")
@example(content=b"question,rating\n,\n")
@example(content=b'{"test": [{"input": [[1, 2]], "output": null}]}')
@example(content=b"\x1f\x8b")
def test_whatever_a_file_holds_gives_puzzles_or_one_error(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "p.csv.gz"
    for data in (content, gzip.compress(content, mtime=0)):
        path.write_bytes(data)
        for board in (FOUR, MAZE, ARC):
            message, found = "", []
            try:
                found = read(path, board)
            except DataError as error:
                message = str(error)
            if message:
                assert str(path) in message
                assert len(message.splitlines()) == 1
            else:
                assert found
                assert all(board.encode(p.question).ndim == 1 for p in found)
