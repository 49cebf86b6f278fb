"""python -m shards.maze: from arguments to a data set, and what it says on the way."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest

from hrm_scale.base.errors import ConfigError, DataError
from hrm_scale.data import open_dataset
from hrm_scale.puzzles.maze.layout import turn
from hrm_scale.puzzles.maze.paths import FREE, PATH, is_shortest_path
from hrm_scale.puzzles.maze.rules import CHARACTERS, bad_rows, follows_rule, rule_labels
from shards.builder.boards import Boards
from shards.maze.cli import main
from shards.maze.csv import read_csv
from shards.maze.generate import generate

SIDE = 8
COUNT = 24


@pytest.fixture(scope="module")
def mazes() -> Boards:
    return generate(COUNT, SIDE, seed=4, min_path=12)


def text(board: np.ndarray) -> str:
    return "".join(CHARACTERS[token - 1] for token in board)


def rows_of(mazes: Boards) -> list[list[str]]:
    return [
        ["made", text(q), text(a), str(n)]
        for q, a, n in zip(mazes.inputs, mazes.labels, mazes.ratings, strict=True)
    ]


def write(path: Path, rows: list[list[str]], header: str = "source,question,answer,rating") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(header + "\n" + "".join(",".join(row) + "\n" for row in rows))
    return path


def columns(folder: Path, split: str) -> dict[str, np.ndarray]:
    data = open_dataset(folder)
    names = list(data.index(split).columns)
    return data.read(split, names, 0, data.split(split).examples)


def test_a_file_is_read_as_it_stands(tmp_path: Path, mazes: Boards) -> None:
    path = write(tmp_path / "a.csv", rows_of(mazes))
    read = read_csv(path)
    assert (read.inputs == mazes.inputs).all()
    assert (read.labels == mazes.labels).all()
    assert (read.ratings == mazes.ratings).all()
    # Blanks at both ends are cells.
    assert (mazes.inputs[:, 0] == FREE).any()
    assert (mazes.inputs[:, -1] == FREE).any()


def test_builds_from_csv(tmp_path: Path, mazes: Boards, capsys: pytest.CaptureFixture[str]) -> None:
    rows = rows_of(mazes)
    write(tmp_path / "in" / "train.csv", [[q, a] for _, q, a, _ in rows[:20]], "question,answer")
    packed = write(tmp_path / "test.csv", rows[20:])
    (tmp_path / "in" / "test.csv.gz").write_bytes(gzip.compress(packed.read_bytes()))
    out = tmp_path / "out"
    assert main(["--source", "csv", "--input", str(tmp_path / "in"), "--output-dir", str(out)]) == 0
    said = capsys.readouterr().err
    assert "train: 20 of 20 labels follow the label rule" in said
    train, test = columns(out, "train"), columns(out, "test")
    assert (train["inputs"] == mazes.inputs[:20]).all()
    assert (test["labels"] == mazes.labels[20:]).all()
    assert (train["ratings"] == mazes.ratings[:20]).all()
    assert train["ratings"].dtype == np.int32
    assert (train["puzzle_identifiers"] == 0).all()
    assert train["groups"].tolist() == list(range(20))
    meta = open_dataset(out).meta
    assert (meta.kind, meta.vocab_size, meta.seq_len) == ("maze", 6, SIDE * SIDE)
    assert meta.board == {"height": SIDE, "width": SIDE}
    assert meta.extra["labels_following_rule"] == {"train": 1.0, "test": 1.0}
    assert meta.extra["statistics"]["train"]["moves"]["max"] == mazes.ratings[:20].max()


def test_one_file_is_split_by_layout(tmp_path: Path, mazes: Boards) -> None:
    # Every maze twice, once turned: both copies belong to one split.
    turned = (
        turn(mazes.inputs, np.full(COUNT, 3), SIDE),
        turn(mazes.labels, np.full(COUNT, 3), SIDE),
    )
    doubled = Boards.concatenate([mazes, Boards(mazes.puzzle, *turned, mazes.ratings)])
    path = write(tmp_path / "a.csv", rows_of(doubled))
    out = tmp_path / "out"
    arguments = ["--source", "csv", "--input", str(path), "--output-dir", str(out)]
    assert main([*arguments, "--test-size", "10"]) == 0
    train, test = (columns(out, split)["inputs"] for split in ("train", "test"))
    assert (len(train), len(test)) == (2 * COUNT - 10, 10)
    originals = {board.tobytes(): i % COUNT for i, board in enumerate(doubled.inputs)}
    parts = [{originals[board.tobytes()] for board in split} for split in (train, test)]
    assert not parts[0] & parts[1]
    assert main([*arguments, "--subsample-size", "7", "--overwrite"]) == 0
    assert open_dataset(out).split("train").examples == 7


def test_what_is_unusual_is_said(
    tmp_path: Path, mazes: Boards, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rows_of(mazes)
    # Another shortest path where there is one: the label of the maze mirrored, mirrored back.
    mirror = np.full(COUNT, 4)
    other = turn(rule_labels(turn(mazes.inputs, mirror, SIDE), SIDE)[0], mirror, SIDE)
    differing = int((other != mazes.labels).any(axis=1).sum())
    assert differing > 0
    for row, label in zip(rows, other, strict=True):
        row[2] = text(label)
    write(tmp_path / "in" / "train.csv", rows)
    write(tmp_path / "in" / "test.csv", rows[:3])
    arguments = ["--source", "csv", "--input", str(tmp_path / "in")]
    assert main([*arguments, "--output-dir", str(tmp_path / "out"), "--test-size", "5"]) == 0
    said = capsys.readouterr().err
    assert f"train: {COUNT - differing} of {COUNT} labels follow the label rule" in said
    assert "note: 3 test mazes" in said
    assert "test has only 3 mazes, 5 were asked for" in said


@pytest.mark.parametrize(
    ("column", "change", "words"),
    [
        (1, lambda q, a: q.strip(), r"row 3 \(line 4\): question has \d+ characters, expected 64"),
        (1, lambda q, a: q.replace("S", "s"), "question has 's' at character"),
        (1, lambda q, a: q.replace("S", " "), r"row 3 \(line 4\): question has 0 S"),
        (1, lambda q, a: q.replace(" ", "o", 1), "question has 'o' at character"),
        (2, lambda q, a: q, "answer has 0 cells 'o', the shortest path has"),
        (2, lambda q, a: a.replace("G", " "), "answer has ' ' where the question has 'G'"),
        (2, lambda q, a: a.replace("#", "x", 1), "answer has 'x' at character"),
    ],
)
def test_a_bad_row_is_one_line_with_file_and_row(
    tmp_path: Path, mazes: Boards, column: int, change: object, words: str
) -> None:
    rows = rows_of(mazes)
    # A maze that begins with a blank, so that a strip shortens it.
    rows[2] = list(rows[int(np.flatnonzero(mazes.inputs[:, 0] == FREE)[0])])
    rows[2][column] = change(rows[2][1], rows[2][2])  # type: ignore[operator]
    path = write(tmp_path / "bad.csv", rows)
    with pytest.raises(DataError) as caught:
        read_csv(path)
    message = str(caught.value)
    assert "\n" not in message
    assert f"{path}: 1 of {COUNT} rows" in message
    assert re.search(words, message), message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "the header lacks question, answer"),
        ("question,answer\n", "holds no mazes"),
        ("question,answer\n###,###\n", "question has 3 characters, a square number"),
        ("question,answer\n#,#\n", "question has 1 characters, a square number"),
    ],
)
def test_files_that_are_no_mazes(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=words):
        read_csv(path)


@pytest.mark.parametrize("aug", ["turn", "relabel"])
def test_augmentation_stores_each_maze_once_a_stripe_and_says_what_it_breaks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], aug: str
) -> None:
    out = tmp_path / "out"
    arguments = ["--source", "generate", "--size", SIDE, "--min-path", 12, "--count", COUNT]
    assert main([*map(str, arguments), "--output-dir", str(out), "--aug", aug]) == 0
    said = capsys.readouterr().err
    data = open_dataset(out)
    train = columns(out, "train")
    info = data.split("train")
    assert (info.groups, info.examples) == (COUNT, 8 * COUNT)
    assert len(info.stripe_records) == 8
    stripes = train["groups"].reshape(8, COUNT)
    assert (np.sort(stripes, axis=1) == np.arange(COUNT)).all()
    numbers = train["transformations"].reshape(8, COUNT)
    assert (np.sort(numbers, axis=0) == np.arange(8)[:, None]).all()
    assert len(np.unique(numbers[0])) > 1  # not all originals in one epoch
    inverse = np.array([0, 3, 2, 1, 4, 5, 6, 7])[train["transformations"]]
    undone = turn(train["inputs"], inverse, SIDE)
    first = undone[:COUNT][np.argsort(stripes[0])]
    assert (undone == first[train["groups"]]).all()
    assert not bad_rows(train["inputs"], train["labels"], SIDE).any()
    follows = follows_rule(train["inputs"], train["labels"], SIDE)
    broken = 1 - follows[train["transformations"] != 0].mean()
    assert data.meta.extra["turned_labels_breaking_rule"] == pytest.approx(broken)
    assert (broken > 0.2) if aug == "turn" else (broken == 0)
    assert f"{broken:.1%} of the" in said or f"{broken:.1%} of these" in said
    assert "break the label rule" in said
    assert data.split("test").examples == 6
    assert "transformations" not in data.index("test").columns
    assert (train["labels"] == PATH).sum(axis=1).tolist() == (train["ratings"] - 1).tolist()
    assert is_shortest_path(train["inputs"], train["labels"], SIDE).all()


def test_same_arguments_same_bytes(tmp_path: Path) -> None:
    arguments = ["--source", "generate", "--size", "6", "--count", "10", "--min-path", "8"]
    for name in ("a", "b"):
        main([*arguments, "--output-dir", str(tmp_path / name)])
    main([*arguments, "--output-dir", str(tmp_path / "c"), "--seed", "1"])
    contents = [
        {
            p.relative_to(tmp_path / n): p.read_bytes()
            for p in (tmp_path / n).rglob("*")
            if p.is_file()
        }
        for n in ("a", "b", "c")
    ]
    assert contents[0] == contents[1]
    assert contents[0] != contents[2]


def test_a_path_that_no_board_has_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no shortest path on a board of 30x30"):
        main(["--source", "generate", "--min-path", "900", "--output-dir", str(tmp_path / "o")])
    assert not (tmp_path / "o").exists()
