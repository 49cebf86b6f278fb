"""The rows that are asked, the same from online and dense storage and from published folders."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.tiny.data_sets import write_online
from hrm_scale.base.errors import DataError
from hrm_scale.data import open_dataset
from hrm_scale.evaluation.arc.questions import arc_questions, chosen_rows
from hrm_scale.evaluation.arc.rows import ArcRows
from hrm_scale.evaluation.arc.score import score, submission
from hrm_scale.evaluation.arc.votes import ArcVotes
from hrm_scale.puzzles.arc.grid import crop, undo
from shards.arc import cli as arc
from tests.support.arc_asked import asked, variants
from tests.support.arc_sets import build_arc, random_tasks, write_tasks
from tests.support.published import arc_tasks, write_arc


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tasks(tmp_path_factory.mktemp("raw"), training=3, evaluation=4)


@pytest.fixture(scope="module", params=["online", "dense", "dense-zst"])
def built(
    raw: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Path:
    storage, _, codec = request.param.partition("-")
    path = tmp_path_factory.mktemp(request.param) / "set"
    more = ("--storage", storage, "--compression", codec or "none", "--num-aug", "5")
    return build_arc(raw, path, *more)


def check_rows(rows: ArcRows, tasks: dict) -> None:
    """Every row is a test pair of its task under its variant, every variant asks every pair."""
    numbers = np.arange(len(rows))
    inputs, labels, identifiers = rows.read(numbers)
    assert (inputs.dtype, labels.dtype, identifiers.dtype) == (np.uint8, np.uint8, np.int32)
    owner, pairs = rows.task_of(numbers), rows.pairs(numbers)
    assert (np.diff(owner) >= 0).all()
    found: Counter = Counter()
    for at, variant in enumerate(rows.variants(numbers)):
        task = rows.tasks[owner[at]].name
        pair = tasks[task]["test"][pairs[at]]
        assert undo(crop(inputs[at]), variant).tolist() == pair["input"]
        assert undo(crop(labels[at]), variant).tolist() == pair["output"]
        found[task, int(identifiers[at]), int(pairs[at])] += 1
    assert set(found.values()) == {1}
    expected = rows.expected()
    assert expected.sum() == len(rows)
    for number, task in enumerate(rows.tasks):
        kinds = {key[1:] for key in found if key[0] == task.name}
        count = len(tasks[task.name]["test"])
        assert len(kinds) == expected[number] == count * len({kind[0] for kind in kinds})


def test_rows_of_built_sets(built: Path) -> None:
    dataset = open_dataset(built)
    rows = ArcRows(dataset)
    tasks = random_tasks(4, seed=2)
    assert [task.name for task in rows.tasks] == sorted(tasks)
    assert len(rows) == dataset.meta.extra["augmented"]["test"]["examples"]
    assert max(len(content["test"]) for content in tasks.values()) > 1
    check_rows(rows, tasks)


def test_online_rows_are_the_dense_ones(raw: Path, tmp_path: Path) -> None:
    paths = [
        build_arc(raw, tmp_path / storage, "--storage", storage, "--num-aug", "5")
        for storage in ("online", "dense")
    ]
    online, dense = (ArcRows(open_dataset(path)) for path in paths)
    numbers = np.random.default_rng(0).permutation(len(dense))
    assert len(online) == len(dense) == open_dataset(paths[1]).split("test").examples
    for one, other in zip(online.read(numbers), dense.read(numbers), strict=True):
        assert np.array_equal(one, other)
    assert online.tasks == dense.tasks
    assert np.array_equal(online.pairs(numbers), dense.pairs(numbers))


@pytest.mark.parametrize("hrm", [True, False])
def test_rows_of_published_folders(tmp_path: Path, hrm: bool) -> None:
    tasks = arc_tasks(6)
    rows = ArcRows(open_dataset(write_arc(tmp_path, tasks, hrm=hrm)))
    content = {
        name: {"test": [{"input": a.tolist(), "output": b.tolist()} for a, b in splits["test"]]}
        for name, splits in tasks.items()
    }
    assert [task.name for task in rows.tasks] == ["task_1", "task_3", "task_5"]
    check_rows(rows, content)


def test_expected_counts_the_chosen_rows(built: Path) -> None:
    rows = ArcRows(open_dataset(built))
    chosen = np.array([0, 1, len(rows) - 1])
    assert rows.expected(chosen).tolist() == [2, 0, 0, 1]
    assert rows.expected(chosen[:0]).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(("ranks", "limit"), [(1, None), (3, None), (4, 9), (3, 2)])
def test_every_row_is_asked_once_whoever_asks_it(
    built: Path, ranks: int, limit: int | None
) -> None:
    dataset = open_dataset(built)
    rows = ArcRows(dataset)
    chosen = chosen_rows(rows, limit, seed=3)
    shares = [
        [
            index
            for part in arc_questions(rows, chosen, dataset.meta, 5, rank, ranks)
            for index in part.index.tolist()
        ]
        for rank in range(ranks)
    ]
    assert len({len(share) for share in shares}) == 1
    # In the order of rows, so that the rows of a task lie together on one rank.
    asked_for = [index for share in shares for index in share if index >= 0]
    assert asked_for == (list(range(len(rows))) if chosen is None else sorted(chosen.tolist()))
    assert len(asked_for) == (limit or len(rows))


def test_rows_of_the_blank_identifier_have_no_task(tmp_path: Path) -> None:
    asked(tmp_path, {"one": [([[1]], [[2]])], "two": [([[3]], [[4]])]}, variants(3))
    file = tmp_path / "test" / "all__puzzle_identifiers.npy"
    np.save(file, np.array([1, 0, 3, 4, 5, 6], np.int32))
    rows = ArcRows(open_dataset(tmp_path))
    numbers = np.arange(6)
    assert rows.task_of(numbers).tolist() == [0, -1, 0, 1, 1, 1]
    assert rows.expected().tolist() == [2, 3]
    votes = ArcVotes(rows)
    votes.add(numbers, rows.read(numbers)[1], np.ones(6))
    assert votes.held == 0
    assert [task.pairs[0].votes for task in votes.merge([votes.parts()])] == [2, 3]
    np.save(file, np.zeros(6, np.int32))
    with pytest.raises(DataError, match="no row names a task"):
        ArcRows(open_dataset(tmp_path))


# --- answers that are not published ---------------------------------------------------------------


def kaggle_files(folder: Path, *, solved: bool) -> str:
    for number, subset in enumerate(("training", "evaluation")):
        tasks = random_tasks(3, seed=number + 1)
        answers = {n: [p.pop("output") for p in t["test"]] for n, t in tasks.items()}
        (folder / f"x_{subset}_challenges.json").write_text(json.dumps(tasks))
        if solved or subset == "training":
            (folder / f"x_{subset}_solutions.json").write_text(json.dumps(answers))
    return str(folder / "x")


@pytest.mark.parametrize("solved", [True, False])
def test_unknown_answers_are_padding_and_not_scored(tmp_path: Path, solved: bool) -> None:
    prefix = kaggle_files(tmp_path, solved=solved)
    options = ("--subsets", "training", "evaluation", "--num-aug", "2")
    assert (
        arc.main(["--input-file-prefix", prefix, *options, "--output-dir", str(tmp_path / "o")])
        == 0
    )
    rows = ArcRows(open_dataset(tmp_path / "o"))
    numbers = np.arange(len(rows))
    inputs, labels, _ = rows.read(numbers)
    assert labels.any(axis=1).tolist() == [solved] * len(rows)
    assert {task.answers is not None for task in rows.tasks} == {solved}
    votes = ArcVotes(rows, counts=(1, 2))
    votes.add(numbers, inputs, np.ones(len(rows)))
    merged = votes.merge([votes.parts()])
    result = score(merged)
    names = tuple(sorted(random_tasks(3, seed=2)))
    assert (result.tasks, result.unknown) == ((3, ()) if solved else (0, names))
    # They are asked all the same: somebody else knows the answers.
    content = submission(merged)
    assert list(content) == list(names)
    assert (
        content[names[0]][0]["attempt_1"] == random_tasks(3, seed=2)[names[0]]["test"][0]["input"]
    )


def test_one_black_cell_for_every_answer_is_no_answer(tmp_path: Path) -> None:
    tasks = {
        "known": [([[1]], [[0]]), ([[2]], [[3]])],
        "unknown": [([[1]], [[0]]), ([[2]], [[0]])],
    }
    rows = asked(tmp_path, tasks, variants(2))
    assert [task.answers for task in rows.tasks] == [(b"0", b"3"), None]
    labels = rows.read(np.arange(8))[1]
    assert labels.any(axis=1).tolist() == [True] * 4 + [False] * 4


# --- data sets that cannot be voted on ------------------------------------------------------------


def test_what_is_no_arc_set_is_refused(tmp_path: Path) -> None:
    write_online(tmp_path / "sudoku")
    with pytest.raises(DataError, match=r"of kind 'sudoku', votes are for ARC"):
        ArcRows(open_dataset(tmp_path / "sudoku"))


def test_a_mixture_is_refused(built: Path, tmp_path: Path) -> None:
    (tmp_path / "mix.yaml").write_text(f"sources: [{{path: '{built}'}}]")
    with pytest.raises(DataError, match="mixture"):
        ArcRows(open_dataset(tmp_path / "mix.yaml"))


def test_an_unknown_split_is_refused(built: Path) -> None:
    with pytest.raises(DataError, match="has no split 'tset'"):
        ArcRows(open_dataset(built), "tset")


def test_moved_grids_are_refused(tmp_path: Path) -> None:
    path = write_arc(tmp_path, arc_tasks(6), hrm=False)
    with pytest.raises(DataError, match=r"row \d+ does not begin with a colour"):
        ArcRows(open_dataset(path), "train")


def test_a_row_that_asks_something_else_is_named(tmp_path: Path) -> None:
    asked(tmp_path, {"one": [([[1]], [[2]])]}, variants(3))
    file = tmp_path / "test" / "all__inputs.npy"
    inputs = np.load(file)
    inputs[2, :2] = 3
    np.save(file, inputs)
    rows = ArcRows(open_dataset(tmp_path))
    assert rows.pairs(np.array([0, 1])).tolist() == [0, 0]
    with pytest.raises(DataError, match="row 2 asks none of the test pairs of task one"):
        rows.pairs(np.arange(3))


def test_variants_without_their_task_are_refused(tmp_path: Path) -> None:
    asked(tmp_path, {"one": [([[1]], [[2]])]}, variants(3))
    np.save(tmp_path / "test" / "all__puzzle_identifiers.npy", np.array([2, 2, 3], np.int32))
    with pytest.raises(DataError, match="variants of task one, but not the task itself"):
        ArcRows(open_dataset(tmp_path))
