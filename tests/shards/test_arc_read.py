"""ARC files as found in the world: what is read from them, and one line for what cannot be."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hrm_scale.base.errors import DataError, HrmError
from shards.arc.cli import main
from shards.arc.read import read_folders, read_kaggle
from shards.arc.task import UNKNOWN_OUTPUT, grid_of

GRID = [[0, 1], [2, 3]]
PAIR = {"input": GRID, "output": [[9]]}
TASK = {"train": [PAIR], "test": [PAIR], "name": "ignored"}


def write(folder: Path, files: dict[str, Any]) -> Path:
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def good(folder: Path) -> Path:
    other = {**TASK, "train": [PAIR, {"input": [[5]], "output": [[6]]}]}
    return write(folder, {"training/a.json": other, "evaluation/b.json": TASK})


def test_folders_name_their_tasks_and_the_evaluation(tmp_path: Path) -> None:
    folder = write(good(tmp_path), {"training/._a.json": "left behind", ".git/x.json": "no"})
    tasks = {task.name: task for task in read_folders([folder], "evaluation")}
    assert sorted(tasks) == ["a", "b"]
    assert (tasks["a"].evaluation, tasks["b"].evaluation) == (False, True)
    assert len(tasks["a"].train_pairs) == 3
    assert len(tasks["b"].train_pairs) == 1
    question, answer = tasks["b"].tests[0]
    assert np.array_equal(question, GRID)
    assert answer.tolist() == [[9]]


def test_an_archive_is_read_like_the_folder_it_holds(tmp_path: Path) -> None:
    good(tmp_path / "ARC" / "data")
    write(tmp_path / "ARC", {"other/training/c.json": "not a task", "data/list.txt": "a"})
    archive = tmp_path / "arc.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "ARC", "ARC")
        evil = tarfile.TarInfo("../../data/training/evil.json")
        evil.type, evil.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(evil, io.BytesIO())
    found = [(t.name, t.subset, t.digest) for t in read_folders([archive], "evaluation")]
    wanted = [
        (t.name, t.subset, t.digest) for t in read_folders([tmp_path / "ARC/data"], "evaluation")
    ]
    assert sorted(found) == sorted(wanted)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ARC", "arc.tar.gz"]


BAD_TASKS: dict[str, tuple[Any, str]] = {
    "not json": ("{", "not valid JSON"),
    "not text": ("\udcff", "not valid JSON"),
    "deep": ("[" * 100_000, "nested deeper"),
    "twice": ('{"train": [], "train": []}', "occurs twice"),
    "a list": ([], "holds a list, expected an ARC task"),
    "no test": ({"train": [PAIR]}, "'test' is missing"),
    "empty": ({"train": [], "test": [PAIR]}, "'train' is empty"),
    "pair": ({"train": [3], "test": [PAIR]}, "train pair 1: is a int"),
    "no output": ({"train": [PAIR, {"input": GRID}], "test": [PAIR]}, "train pair 2, output: the"),
    "ragged": (
        {"train": [PAIR], "test": [{"input": [[1], [1, 2]], "output": GRID}]},
        "rectangular",
    ),
    "no cells": ({"train": [PAIR], "test": [{"input": [[]], "output": GRID}]}, "is 1x0"),
    "tall": ({"train": [PAIR], "test": [{"input": [[1]] * 31, "output": GRID}]}, "is 31x1"),
    "colour": ({"train": [PAIR], "test": [{"input": [[10]], "output": GRID}]}, "holds 10, colours"),
    "negative": ({"train": [PAIR], "test": [{"input": [[-1]], "output": GRID}]}, "holds -1"),
    "a bool": ({"train": [PAIR], "test": [{"input": [[True]], "output": GRID}]}, "holds True"),
    "text": ({"train": [PAIR], "test": [{"input": [["1"]], "output": GRID}]}, "holds '1'"),
    "fraction": ({"train": [PAIR], "test": [{"input": [[1.0]], "output": GRID}]}, "holds 1.0"),
}


@pytest.mark.parametrize("name", BAD_TASKS)
def test_a_bad_task_is_one_line_that_names_the_file(tmp_path: Path, name: str) -> None:
    content, words = BAD_TASKS[name]
    file = good(tmp_path) / "training" / "bad.json"
    text = content if isinstance(content, str) else json.dumps(content)
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError) as caught:
        read_folders([tmp_path], "evaluation")
    message = str(caught.value)
    assert words in message
    assert str(file) in message
    assert "\n" not in message


def test_bad_folders(tmp_path: Path) -> None:
    folder = good(tmp_path / "ARC" / "data")
    (tmp_path / "empty").mkdir()
    for given, words in (
        ([folder, tmp_path / "ARC" / "." / "data"], "given twice"),
        ([tmp_path / "none"], "no such folder"),
        ([folder / "training" / "a.json"], "neither a folder nor an archive"),
        ([tmp_path / "empty"], "no tasks"),
        ([tmp_path / "ARC"], f"give {folder}"),
        ([folder / "training"], "give the folder above it"),
        ([tmp_path / "none.tar.gz"], "no such file"),
    ):
        with pytest.raises(DataError, match=words):
            read_folders(given, "evaluation")
    (tmp_path / "x.tar").write_bytes(b"no archive")
    with pytest.raises(DataError, match="not an archive"):
        read_folders([tmp_path / "x.tar"], "evaluation")


def test_names_that_augmented_puzzles_have_are_refused(tmp_path: Path) -> None:
    write(tmp_path, {"training/x|||t3|||0123456789.json": TASK})
    with pytest.raises(DataError, match="cannot name a task"):
        read_folders([tmp_path], "evaluation")


def kaggle(folder: Path) -> str:
    write(
        folder,
        {
            "p_training_challenges.json": {"a": {"train": [PAIR], "test": [{"input": GRID}]}},
            "p_training_solutions.json": {"a": [[[4]]]},
            "p_test_challenges.json": {"b": {"train": [PAIR], "test": [{"input": GRID}] * 2}},
        },
    )
    return str(folder / "p")


def test_kaggle_pairs_and_missing_solutions(tmp_path: Path) -> None:
    prefix = kaggle(tmp_path)
    a, b = read_kaggle(prefix, ["training", "test"], "test")
    assert (a.name, a.evaluation, a.unsolved, a.tests[0][1].tolist()) == ("a", False, False, [[4]])
    assert (b.evaluation, b.unsolved, len(b.tests)) == (True, True, 2)
    assert all(answer.tolist() == UNKNOWN_OUTPUT for _, answer in b.tests)


def test_kaggle_mistakes(tmp_path: Path) -> None:
    prefix = kaggle(tmp_path)
    for subsets, words in (
        (["training", "training"], "given twice"),
        (["nothing", "test"], "no such file"),
        (["training"], None),
    ):
        if words is None:
            assert len(read_kaggle(prefix, subsets, "test")) == 1
            continue
        with pytest.raises(DataError, match=words):
            read_kaggle(prefix, subsets, "test")
    with pytest.raises(DataError, match=r"p_test_solutions\.json: no such file"):
        read_kaggle(prefix, ["training", "test"], "training")
    write(tmp_path, {"p_training_solutions.json": {}})
    with pytest.raises(DataError, match="task a: no solution"):
        read_kaggle(prefix, ["training", "test"], "test")
    write(tmp_path, {"p_training_solutions.json": {"a": [[[1]], [[2]]]}})
    with pytest.raises(DataError, match="1 test inputs and 2 solutions"):
        read_kaggle(prefix, ["training", "test"], "test")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--num-aug", "-1"], "--num-aug"),
        (["--num-augs", "1"], "Did you mean '--num-aug'"),
        (["--subsets", "a"], "goes with --input-file-prefix"),
        (["--input-file-prefix", "p"], "needs --subsets"),
        (["--input-file-prefix", "p", "--subsets", "a"], "none of --subsets"),
        (["--input-file-prefix", "p", "--dataset-dirs", "d"], "exclude each other"),
        (["--dataset-dirs", "nowhere"], "no such folder"),
    ],
)
def test_wrong_arguments(tmp_path: Path, arguments: list[str], words: str) -> None:
    with pytest.raises(HrmError, match=words):
        main([*arguments, "--output-dir", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_grids_keep_their_cells() -> None:
    grid = grid_of([[0, 9], [1, 2], [3, 4]], "here")
    assert grid.dtype == np.uint8
    assert grid.tolist() == [[0, 9], [1, 2], [3, 4]]


def test_a_zip_is_read_like_the_folder_it_holds(tmp_path: Path) -> None:
    good(tmp_path / "ARC" / "data")
    archive = tmp_path / "arc.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for file in sorted((tmp_path / "ARC").rglob("*.json")):
            packed.write(file, file.relative_to(tmp_path))
    found = sorted((t.name, t.subset, t.digest) for t in read_folders([archive], "evaluation"))
    tasks = read_folders([tmp_path / "ARC" / "data"], "evaluation")
    assert found == sorted((t.name, t.subset, t.digest) for t in tasks)
