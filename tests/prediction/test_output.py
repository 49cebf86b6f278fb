"""Predictions as text, tables, JSON, a page and an animation, made without a model."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hrm_scale.base.errors import ConfigError, EnvironmentProblem
from hrm_scale.prediction import files
from hrm_scale.prediction.animation import MOST
from hrm_scale.prediction.prediction import Attempt, Prediction, Trajectory
from hrm_scale.prediction.text import Style, describe, summary
from hrm_scale.puzzles import Problem, Puzzle
from hrm_scale.puzzles.arc.puzzle import Arc
from hrm_scale.puzzles.maze.puzzle import Maze
from hrm_scale.puzzles.sudoku.puzzle import Sudoku

FOUR, MAZE, ARC = Sudoku(4, 4, 2, 2), Maze(4, 4), Arc()
SOLUTION, QUESTION = "1234341221434321", "1..4..1..1..4..1"
PLAIN, COLOURED = Style(color=False), Style(color=True)
CODES = re.compile(r"\x1b\[[0-9;]*m")


def predicted(
    board: Puzzle,
    question: str,
    *answers: str,
    known: str | None = None,
    task: str | None = None,
    name: str = "line 1",
) -> Prediction:
    """A prediction whose answer after each step is one of `answers`; it would halt at step 2."""
    grids = [board.parse(text, "a", answer=True) for text in answers]
    steps = np.arange(1, len(answers) + 1)
    trajectory = Trajectory(np.stack([board.encode(grid) for grid in grids]), steps / 8, steps >= 2)
    right = None if known is None else board.parse(known, "k", answer=True)
    puzzle = Problem(name, board.parse(question, "q"), right, task)
    return Prediction(board, puzzle, trajectory, (Attempt(grids[-1]),))


def sudoku(*answers: str) -> Prediction:
    """The digits of a step may contradict each other, so they are put in afterwards."""
    prediction = predicted(FOUR, QUESTION, *[SOLUTION] * len(answers))
    for step, text in enumerate(answers):
        prediction.trajectory.tokens[step] = [0 if c == "?" else int(c) + 1 for c in text]
    last = FOUR.grid(prediction.trajectory.tokens[-1])
    return Prediction(FOUR, prediction.puzzle, prediction.trajectory, (Attempt(last),))


def test_a_name_from_a_file_is_one_line_that_prints() -> None:
    text = describe(predicted(FOUR, QUESTION, SOLUTION, name="a\x1b[2J\nb"), PLAIN, trace=False)
    assert text.startswith("a\\x1b[2J\\nb\n")


def test_question_and_answer_stand_side_by_side() -> None:
    text = describe(sudoku(SOLUTION, SOLUTION), PLAIN, trace=False)
    lines = text.splitlines()
    assert lines[0] == "line 1"
    assert lines[1].split() == ["1", ".", "|", ".", "4", "1", "2", "|", "3", "4"]
    assert set(lines[3]) == set("-+ ")
    assert lines[-1] == "solved; halt head 25.0% sure, would halt at step 2 of 2"
    assert "would not halt in 1 steps" in describe(sudoku(SOLUTION), PLAIN, trace=False)


def test_wrong_cells_are_marked_with_and_without_colours() -> None:
    prediction = sudoku("?" + SOLUTION[1:-1] + "2")
    plain = describe(prediction, PLAIN, trace=False)
    assert "?!" in plain
    assert plain.count("!") == 4
    coloured = describe(prediction, COLOURED, trace=False)
    assert coloured.count("\x1b[1;31m") == 4
    assert CODES.sub("", coloured) == plain


def test_the_trace_tells_what_every_step_changed() -> None:
    wrong = SOLUTION[:5] + "3" + SOLUTION[6:]
    text = describe(sudoku(wrong, SOLUTION, SOLUTION), PLAIN, trace=True)
    lines = text.splitlines()
    assert lines[1:5] == [
        "step  changed  wrong  halt head",
        "   1        -      3      12.5%",
        "   2        1      0      25.0%  would halt",
        "   3        0      0      37.5%  would halt",
    ]
    assert [line.split("   ")[0] for line in lines if line.startswith("step ")][1:] == ["step 1"]
    assert "step 2 to 3" in text
    assert "3 cells wrong" in text
    assert "3!3!1 2" in text
    assert "3 4*1 2" in text


def test_a_maze_is_one_drawing() -> None:
    question, answer = "S.. #.. ####G...", "Soo #.o ####G..."
    text = describe(predicted(MAZE, question, answer), PLAIN, trace=True)
    assert text.count("S o o\n##  o!\n########\nG!") == 2  # after the step, and as the answer
    assert "\nnote: " not in text
    unsolvable = replace(predicted(MAZE, question, answer), solutions="none")
    assert describe(unsolvable, PLAIN, trace=False).endswith(f"\nnote: {MAZE.note('none')}\n")
    coloured = describe(predicted(MAZE, question, answer), COLOURED, trace=False)
    assert "\x1b[48;5;240" in coloured


def test_arc_shows_input_attempts_and_the_known_answer() -> None:
    one = predicted(ARC, "012/345", "01", "012/335", known="012/345", task="abc")
    attempts = (Attempt(one.attempts[0].grid, 7), Attempt(ARC.parse("012/345", "x"), 2))
    prediction = Prediction(ARC, one.puzzle, one.trajectory, attempts, asked=9)
    text = describe(prediction, PLAIN, trace=True)
    assert "input 2x3   attempt 1 2x3   attempt 2 2x3   known answer 2x3" in text
    assert "3 3!5" in text
    assert "solved by the second attempt" in text
    assert "7 and 2 of 9 votes" in text
    assert "   1        -      -      12.5%  1x2" in text.splitlines()
    assert "   2        -      1      25.0%  2x3    would halt" in text.splitlines()
    assert "\x1b[48;5;203;" in describe(prediction, COLOURED, trace=False)
    assert "(no grid)" in describe(
        Prediction(ARC, one.puzzle, one.trajectory, (Attempt(np.empty((0, 0), np.uint8)),)),
        PLAIN,
        trace=False,
    )


def test_a_summary_counts() -> None:
    assert summary([True, False, True], ["one"] * 3) == "3 puzzles: 2 solved, 1 not"
    several = summary([True, None], [None, None])
    assert several == "2 puzzles: 1 solved, 0 not, 1 of unknown answer"
    told = summary([True] * 4, ["none", "several", "not checked", "several"])
    assert told.endswith("; 1 without a solution, 2 with several solutions")


def written(path: Path, *predictions: Prediction, single: bool = False) -> bytes:
    files.check_output(str(path))
    content = files.content_of(str(path), predictions[0].board, "a model", single=single)
    for prediction in predictions:
        content.add(prediction)
    files.write(str(path), content)
    return path.read_bytes()


def test_csv_and_json(tmp_path: Path) -> None:
    good, bad = sudoku(SOLUTION, SOLUTION), sudoku("?" + SOLUTION[1:])
    good = replace(good, solutions="several")
    rows = list(csv.DictReader(io.StringIO(written(tmp_path / "a.csv", good, bad).decode())))
    expected = {"name": "line 1", "question": QUESTION, "answer": SOLUTION}
    assert rows[0] == {**expected, "solved": "true", "steps": "2", "q": "0.25"} | {
        "solutions": "several"
    }
    assert (rows[1]["answer"][0], rows[1]["solved"], rows[1]["steps"]) == ("?", "false", "")
    found = json.loads(written(tmp_path / "a.json", good, bad))
    assert found[0] == {**expected, "solved": True, "steps": 2, "q": 0.25} | {
        "solutions": "several"
    }
    maze = predicted(MAZE, "S.. #.. ####G...", "Soo #.o ####G...")
    (row,) = csv.DictReader(io.StringIO(written(tmp_path / "m.csv", maze).decode()))
    assert row["question"] == "S   #   ####G   "


def test_arc_answers_have_the_form_of_the_file(tmp_path: Path) -> None:
    one = predicted(ARC, "12", "3/4", task="abc")
    two = predicted(ARC, "5", "6", task="abc")
    attempts = (Attempt(two.attempts[0].grid, 2), Attempt(np.empty((0, 0), np.uint8)))
    two = Prediction(ARC, two.puzzle, two.trajectory, attempts, asked=3)
    entries = [
        {"attempt_1": [[3], [4]], "attempt_2": [[3], [4]]},
        {"attempt_1": [[6]], "attempt_2": [[0]]},
    ]
    path = tmp_path / "a.json"
    assert json.loads(written(path, one, two)) == {"abc": entries}
    tests = json.loads(written(path, one, two, single=True))["test"]
    assert tests[0] == {"input": [[1, 2]], "output": [[3], [4]], **entries[0]}
    assert len(tests) == 2
    (row, _) = csv.DictReader(io.StringIO(written(tmp_path / "a.csv", one, two).decode()))
    assert (row["question"], row["answer"], row["answer_2"]) == ("12", "3/4", "3/4")
    assert row["solved"] == ""
    assert "solutions" not in row


def test_a_page_stands_alone_whatever_a_puzzle_is_called(tmp_path: Path) -> None:
    name = "</script><script>alert(1)</script><!--"
    prediction = replace(predicted(FOUR, QUESTION, SOLUTION, name=name), solutions="none")
    page = written(tmp_path / "a.html", prediction).decode()
    assert page.count("<script") == 2
    assert "alert(1)</script>" not in page
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(", page)
    assert "default-src 'none'" in page
    (data,) = re.findall(r'id="data">(.*?)</script>', page, re.DOTALL)
    document = json.loads(data)
    assert document["puzzles"][0]["name"] == name
    assert document["about"] == "a model · 1 puzzle: 1 solved, 0 not; 1 without a solution"
    assert document["puzzles"][0]["note"] == FOUR.note("none")
    assert document["drawing"] == json.loads(json.dumps(FOUR.drawing.as_json()))
    assert document["puzzles"][0]["steps"][0]["cells"] == "".join(
        chr(48 + int(c) + 1) for c in SOLUTION
    )


@pytest.mark.parametrize(
    "prediction",
    [
        sudoku("?" + SOLUTION[1:], SOLUTION, SOLUTION),
        predicted(MAZE, "S...#...####G...", *["Soo.#.o.####G..."] * 3),
        predicted(ARC, "012/345", "01", "9", "012/335", known="012/345"),
    ],
    ids=["sudoku", "maze", "arc"],
)
def test_an_animation_has_a_frame_a_step(tmp_path: Path, prediction: Prediction) -> None:
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "a.gif"
    written(path, *[prediction] * 3)
    with image.open(path) as animation:
        assert animation.n_frames == 3
        assert animation.info["loop"] == 0
        frames = []
        for number in range(3):
            animation.seek(number)
            shown = animation.convert("RGB")
            frames.append((animation.info["duration"], len(shown.getcolors(1 << 24)), shown))
    assert [duration for duration, _, _ in frames] == [600, 600, 2500]
    # Something is drawn, and something changes.
    assert all(colours > 4 for _, colours, _ in frames)
    assert frames[0][2].tobytes() != frames[1][2].tobytes()


def test_an_animation_says_what_it_leaves_out(tmp_path: Path) -> None:
    content = files.content_of("a.gif", FOUR, "", single=False)
    for _ in range(MOST + 1):
        content.add(sudoku(SOLUTION))
    assert "the first 16 puzzles" in files.write(str(tmp_path / "a.gif"), content)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a.png", "allowed are .json and .csv (answers), .html and .gif"),
        ("a", "the ending says what is written"),
        ("none/a.csv", "there is no folder"),
        ("folder.csv", "is a folder"),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_work(
    tmp_path: Path, name: str, problem: str
) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ConfigError) as caught:
        files.check_output(str(tmp_path / name))
    assert problem in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_without_pillow_the_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(EnvironmentProblem, match=r"pip install 'hrm_scale\[plot\]'"):
        files.check_output(str(tmp_path / "a.gif"))


def test_an_old_file_stays_when_writing_fails(tmp_path: Path) -> None:
    class Broken:
        def add(self, prediction: Prediction) -> None: ...

        def pieces(self):  # type: ignore[no-untyped-def]
            yield b"half"
            raise OSError("no more")

    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(OSError, match="no more"):
        files.write(str(path), Broken())
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.csv"]
