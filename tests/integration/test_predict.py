"""`hrm_scale.predict` as a user types it: every kind of puzzle, every output, every error."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.runs import command, environment, make_halting_likely, train_here
from hrm_scale.base.errors import EXIT_CONFIG, EXIT_DATA, ConfigError, run_cli
from hrm_scale.data import open_dataset
from hrm_scale.evaluation.restore import Restored, restore
from hrm_scale.predict import main
from hrm_scale.prediction.known_tasks import MOST_VARIANTS, known_tasks, unknown_note
from hrm_scale.prediction.solving import rows_to_ask, solve
from hrm_scale.puzzles.arc.grid import crop, undo
from hrm_scale.puzzles.arc.puzzle import Arc
from hrm_scale.puzzles.arc.task_files import tasks_of_json
from shards.maze import cli as maze
from tests.support.arc_sets import build_arc, write_tasks
from tests.support.contrast import faint

CPU = torch.device("cpu")
QUESTION = "1..4..1..1..4..1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data sets and runs: sudoku, maze and arc."""
    folder = tmp_path_factory.mktemp("predict")
    write_online(folder / "sudoku-data", examples=160)
    train_here(folder / "sudoku-data", folder / "sudoku", make_halting_likely, max_steps=2)
    options = ["--source", "generate", "--size", "6", "--count", "8", "--test-size", "2"]
    assert maze.main([*options, "--min-path", "5", "--output-dir", str(folder / "maze-data")]) == 0
    train_here(folder / "maze-data", folder / "maze", max_steps=2)
    raw = write_tasks(folder / "raw", training=2, evaluation=2)
    build_arc(raw, folder / "arc-data", "--num-aug", "3")
    build_arc(raw, folder / "arc-dense", "--num-aug", "3", "--storage", "dense")
    train_here(folder / "arc-data", folder / "arc", max_steps=2, global_batch_size=2)
    return folder


@pytest.fixture(scope="module")
def arc(folder: Path) -> Restored:
    return restore(folder / "arc", device=CPU)


def questions(folder: Path, count: int) -> list[str]:
    rows = open_dataset(folder / "sudoku-data").read("train", ["inputs"], 0, count)["inputs"]
    return ["".join(str(token - 1) for token in row) for row in rows]


def shown(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert main([f"{argument}" for argument in arguments]) == 0
    return capsys.readouterr().out


def test_many_puzzles_in_every_form_of_output(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = questions(folder, 130)
    listed = tmp_path / "some.txt.gz"
    listed.write_bytes(gzip.compress("\n".join(asked).encode()))
    checkpoint = f"checkpoint={folder / 'sudoku'}"
    text = shown(capsys, checkpoint, f"file={listed}", f"output={tmp_path / 'a.csv'}")
    verdicts = [line for line in text.splitlines() if "; halt head" in line]
    assert len(verdicts) == 130
    assert "130 puzzles: " in text
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [row["question"] for row in rows] == [q.replace("0", ".") for q in asked]
    # A puzzle's answer does not depend on the batch it is asked in.
    alone = tmp_path / "b.json"
    shown(capsys, checkpoint, f"puzzle={asked[129]}", f"output={alone}")
    (single,) = json.loads(alone.read_text())
    assert {key: str(single[key]) for key in ("question", "answer")} == {
        key: rows[129][key] for key in ("question", "answer")
    }
    assert single["q"] == pytest.approx(float(rows[129]["q"]), abs=1e-5)


def test_puzzles_without_exactly_one_solution_are_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed, out = tmp_path / "some.txt", tmp_path / "a.json"
    listed.write_text(f"1..4..2..3..4..1\n{QUESTION}\n1.34..1..1..4..1\n")
    text = shown(capsys, f"checkpoint={folder / 'sudoku'}", f"file={listed}", f"output={out}")
    notes = [line for line in text.splitlines() if line.startswith("note: ")]
    assert ["no solution" in note for note in notes] == [True, False]
    assert [one["solutions"] for one in json.loads(out.read_text())] == ["none", "several", "one"]


def test_a_pipe_and_the_trace(folder: Path) -> None:
    done = subprocess.run(
        command("hrm_scale.predict", f"checkpoint={folder / 'sudoku'}", "file=-", "trace=true"),
        input=f"{QUESTION}\n",
        env={**environment(), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1] == "step  changed  wrong  halt head"
    assert [line.split()[0] for line in lines[2:6]] == ["1", "2", "3", "4"]
    assert "answer" in lines


def test_mazes_are_drawn_and_judged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = open_dataset(folder / "maze-data").read("test", ["inputs"], 0, 1)["inputs"]
    text = "".join("?# SG"[token] for token in rows[0])
    drawn = "\n".join(text[at : at + 6] for at in range(0, 36, 6))
    outputs = [
        shown(capsys, f"checkpoint={folder / 'maze'}", f"puzzle={form}")
        for form in (text, drawn, text.replace(" ", "."))
    ]
    assert len(set(outputs)) == 1
    assert outputs[0].splitlines()[1 + 6].startswith("not solved: ")


def test_a_known_task_is_asked_in_the_variants_that_the_builder_makes(
    folder: Path, arc: Restored
) -> None:
    path = next((folder / "raw" / "evaluation").glob("*.json"))
    puzzles = tasks_of_json(path.read_text(), path.stem, "x").puzzles()
    known = known_tasks(arc, None)
    assert known.note == ""
    assert unknown_note(known, puzzles) == ""
    rows = list(rows_to_ask(arc, Arc(), puzzles, known))
    dense = open_dataset(folder / "arc-dense")
    columns = dense.read("test", ["inputs", "puzzle_identifiers"], 0, 1 << 20)
    own = np.isin(columns["puzzle_identifiers"], [row.identifier for row in rows])
    built = [
        (int(number), tokens.tobytes())
        for tokens, number in zip(
            columns["inputs"][own], columns["puzzle_identifiers"][own], strict=True
        )
    ]
    assert len(built) == 4 * len(puzzles)
    assert sorted(built) == sorted((row.identifier, row.tokens.tobytes()) for row in rows)


def test_votes_are_counted_over_the_variants(folder: Path, arc: Restored) -> None:
    path = next((folder / "raw" / "evaluation").glob("*.json"))
    puzzles = tasks_of_json(path.read_text(), path.stem, "x").puzzles()[:1]
    known = known_tasks(arc, None)
    (prediction,) = solve(arc, Arc(), puzzles, known)
    assert prediction.asked == 4
    votes: dict[str, int] = {}
    for row in rows_to_ask(arc, Arc(), puzzles, known):
        inputs = torch.from_numpy(row.tokens[None].astype(np.int32))
        assert arc.table is not None
        reasoner, vectors = arc.reasoner, arc.table.lookup(torch.tensor([row.identifier]))
        z, embedding = reasoner.start(1, CPU), reasoner.embed(inputs, vectors)
        for _ in range(4):
            z = reasoner.step(z, embedding)
        grid = undo(crop(reasoner.logits(z).argmax(-1)[0].numpy()), row.variant)
        text = "/".join("".join(map(str, line)) for line in grid.tolist())
        votes[text] = votes.get(text, 0) + 1
    most = sorted(votes.values(), reverse=True)[:2]
    assert [attempt.votes for attempt in prediction.attempts] == most
    for attempt in prediction.attempts:
        assert votes[prediction.board.text(attempt.grid)] == attempt.votes


def test_arc_tasks_are_answered_in_the_form_of_their_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = next((folder / "raw" / "evaluation").glob("*.json"))
    task = json.loads(path.read_text())
    out = tmp_path / "answer.json"
    checkpoint = f"checkpoint={folder / 'arc'}"
    text = shown(capsys, checkpoint, f"file={path}", f"output={out}")
    assert "does not know" not in text
    assert "votes" in text
    tests = json.loads(out.read_text())["test"]
    assert [test["input"] for test in tests] == [test["input"] for test in task["test"]]
    assert tests[0]["output"] == tests[0]["attempt_1"]
    several = tmp_path / "challenges.json"
    several.write_text(json.dumps({path.stem: task, "stranger": task}))
    text = shown(capsys, checkpoint, f"file={several}", f"output={out}")
    assert text.startswith("note: the model does not know stranger: it reads a task from a learned")
    submission = json.loads(out.read_text())
    assert list(submission) == [path.stem, "stranger"]
    assert {len(entries) for entries in submission.values()} == {len(task["test"])}
    assert set(submission["stranger"][0]) == {"attempt_1", "attempt_2"}


def test_names_come_from_the_right_data_set_only(
    folder: Path, tmp_path: Path, arc: Restored
) -> None:
    shutil.copytree(folder / "arc", tmp_path / "run")
    moved = tmp_path / "moved"
    (folder / "arc-data").rename(moved)
    try:
        gone = known_tasks(arc, None)
        assert "not on this machine" in gone.note
        assert gone.identifiers == {}
        assert known_tasks(arc, str(moved)).note == ""
        dense = known_tasks(arc, str(folder / "arc-dense"))
        assert "of the same size" in dense.note
        assert set(dense.identifiers) == set(known_tasks(arc, str(moved)).identifiers)
        build_arc(folder / "raw", folder / "arc-data", "--num-aug", "2")
        assert "is no longer the data set" in known_tasks(arc, None).note
        with pytest.raises(ConfigError, match="the data set that it was trained on"):
            known_tasks(arc, str(folder / "arc-data"))
    finally:
        shutil.rmtree(folder / "arc-data", ignore_errors=True)
        moved.rename(folder / "arc-data")
    blank = arc.meta.blank_identifier_id
    assert [len(known_tasks(arc, None).rows(name, blank)) for name in (None, "x")] == [1, 1]
    assert MOST_VARIANTS == 100


@pytest.mark.parametrize(
    ("kind", "arguments", "code", "problem"),
    [
        ("sudoku", ["puzzle=1..4..1..1..4.."], EXIT_DATA, "15 cells"),
        ("sudoku", ["puzzle=1..4", "output=a.png"], EXIT_CONFIG, "allowed are .json and .csv"),
        ("sudoku", ["puzzle=1..4", "output=none/a.csv"], EXIT_CONFIG, "there is no folder none"),
        ("sudoku", ["file=none.txt"], EXIT_DATA, "file=none.txt does not exist"),
        ("sudoku", ["file=-"], EXIT_DATA, "standard input is empty"),
        ("maze", [f"puzzle={'S' * 36}"], EXIT_DATA, "the maze has 36 S"),
        ("arc", ["puzzle=01/2"], EXIT_DATA, "not rectangular"),
        ("arc", ['puzzle={"test": [{"input": 3}]}'], EXIT_DATA, "test 1, input: no grid"),
        ("arc", ["puzzle=1", "data_path=none"], EXIT_DATA, "no such data set"),
    ],
)
def test_bad_input_is_one_line(
    folder: Path,
    kind: str,
    arguments: list[str],
    code: int,
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    with pytest.raises(SystemExit) as ended:
        run_cli(main, [f"checkpoint={folder / kind}", *arguments])
    assert ended.value.code == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert problem in line


# --- the page in a browser ------------------------------------------------------------------------


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that fails the test for anything the browser complains about."""
    phone = {"width": 360, "height": 740}
    page = browser.new_page(viewport=phone, color_scheme="dark", reduced_motion="reduce")
    page.set_default_timeout(15000)
    complaints: list[str] = []
    page.on("console", lambda m: complaints.extend([m.text] * (m.type == "error")))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    page.close()
    assert complaints == []


GROUND = "getComputedStyle(document.body).backgroundColor"


@pytest.mark.slow
def test_the_page_plays_steps_on_a_phone(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], page: Any
) -> None:
    for kind, asked in (
        ("sudoku", f"puzzle={QUESTION}"),
        ("maze", "puzzle=S....." + "#....." * 4 + "....G."),
        ("arc", "puzzle=012/345"),
    ):
        out = tmp_path / f"{kind}.html"
        shown(capsys, f"checkpoint={folder / kind}", asked, f"output={out}")
        page.goto(out.as_uri())
        page.wait_for_selector(".state:not(:empty)")
        assert page.inner_text("#count") == "1 / 4"
        assert page.locator(".note").count() == (kind != "arc"), "several solutions"
        ground = page.evaluate(GROUND)
        assert faint(page, 4.5) == []
        page.click("#forward")
        assert page.inner_text("#count") == "2 / 4"
        assert "changed" in page.inner_text(".state")
        page.keyboard.press("ArrowRight")
        chart = page.locator(".halt-chart")
        box = chart.bounding_box()
        chart.click(position={"x": box["width"] - 9, "y": box["height"] / 2})
        assert page.inner_text("#count") == "4 / 4"
        page.click("#play")
        page.locator("#count", has_text="3 / 4").wait_for()
        page.click("#theme")
        assert page.evaluate(GROUND) != ground
        assert faint(page, 4.5) == []
        # Nothing reaches beyond the screen, and something is drawn.
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.locator(".board .fill").count() > 1


@pytest.mark.slow
def test_the_page_stops_where_the_model_would_halt(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], page: Any
) -> None:
    listed, answers, out = tmp_path / "a.txt", tmp_path / "a.json", tmp_path / "a.html"
    listed.write_text("\n".join(questions(folder, 60)))
    checkpoint = f"checkpoint={folder / 'sudoku'}"
    shown(capsys, checkpoint, f"file={listed}", f"output={answers}")
    one = next(one for one in json.loads(answers.read_text()) if one["steps"] in (2, 3))
    shown(capsys, checkpoint, f"puzzle={one['question']}", f"output={out}")
    page.goto(out.as_uri())
    for last in (one["steps"], 4):
        page.click("#play")
        page.wait_for_selector("#play[aria-label=Pause]")
        page.wait_for_selector("#play[aria-label=Play]")
        assert page.inner_text("#count") == f"{last} / 4"
