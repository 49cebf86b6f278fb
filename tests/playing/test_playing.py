"""The page to play on, without a browser: what it is told about models, puzzles and answers."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.tiny.data_sets import write_online
from hrm_scale.base.errors import ConfigError, DataError, HrmError
from hrm_scale.data import open_dataset
from hrm_scale.evaluation.restore import restore
from hrm_scale.models.act import refill
from hrm_scale.playing.api import PlayApi
from hrm_scale.playing.examples import open_examples
from tests.support.play_sets import KINDS, api_of, train_run
from tests.support.viewer_sets import arc_set

Json = dict[str, Any]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    return {kind: train_run(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}


@pytest.fixture(scope="module")
def apis(runs: dict[str, tuple[Path, Path]]) -> dict[str, PlayApi]:
    return {kind: api_of(*runs[kind]) for kind in KINDS}


def question_of(api: PlayApi) -> Json:
    if api.about()["has_tasks"]:
        task = api.task(api.about()["tasks"][0])
        return {"puzzle": rows_of(task["tests"][0]["input"]), "task": task["name"]}
    example = api.example(1)
    return {"puzzle": example["puzzle"], "answer": example["answer"]}


def rows_of(grid: Json) -> str:
    """A grid of ARC as text."""
    rows = np.array(grid["tokens"]).reshape(grid["shape"]) - 2
    return "/".join("".join(map(str, row)) for row in rows.tolist())


def steps_of(api: PlayApi, question: Json) -> list[Json]:
    *steps, end = api.solve(question)
    assert end == {"end": "done"}
    return steps


@pytest.mark.parametrize("kind", KINDS)
def test_about(apis: dict[str, PlayApi], runs: dict[str, tuple[Path, Path]], kind: str) -> None:
    about = apis[kind].about()
    restored = restore(runs[kind][0], device=torch.device("cpu"))
    assert kind in about["title"].lower()
    assert about["has_tasks"] == (kind == "arc")
    assert about["parameters"] == sum(p.numel() for p in restored.model.parameters())
    assert restored.table is not None
    assert about["table"] == restored.table.num_identifiers * 16
    assert (about["trained"], about["most"]) == (3, 12)
    drawing = about["drawing"]
    assert drawing["height"] * drawing["width"] == restored.meta.seq_len
    assert len(drawing["tokens"]) == restored.meta.vocab_size
    rows, columns = about["start"]["shape"]
    assert len(about["start"]["tokens"]) == rows * columns
    assert set(about["start"]["tokens"]) <= set(about["editable"])
    assert (about["examples"] > 0) == (kind != "arc")
    assert about["tasks"] == (["aa11", "bb22", "cc33", "dd44", "ee55"] if kind == "arc" else [])


@pytest.mark.parametrize("kind", KINDS)
def test_steps_are_those_of_the_model(
    apis: dict[str, PlayApi], runs: dict[str, tuple[Path, Path]], kind: str
) -> None:
    """Against `ActModel.forward`, the way training computes them."""
    api, restored = apis[kind], restore(runs[kind][0], device=torch.device("cpu"))
    question = question_of(api)
    board = restored.meta.puzzle
    tokens = board.encode(board.parse(question["puzzle"], "x"))
    identifier = 0
    if kind == "arc":
        identifier = {n: i for n, i, _ in open_dataset(runs[kind][1]).tasks()}[question["task"]]
    inputs = torch.from_numpy(tokens.astype(np.int32)[None])
    batch = {
        "inputs": inputs,
        "labels": inputs.clone(),
        "puzzle_identifiers": torch.tensor([identifier], dtype=torch.int32),
    }
    assert restored.table is not None
    carry = refill(restored.model.initial_carry(batch), batch)
    vectors = restored.table.lookup(batch["puzzle_identifiers"])
    for number, step in enumerate(steps_of(api, question), start=1):
        with torch.no_grad():
            carry, outputs = restored.model(carry, vectors)
        grid = board.grid(outputs.logits[0].argmax(-1).numpy().astype(np.uint8))
        assert step["step"] == number
        assert (step["height"], step["width"]) == grid.shape
        assert step["cells"] == grid.ravel().tolist()
        assert step["halt_probability"] == round(float(outputs.q_halt_logits.sigmoid()), 4)
        assert step["halts"] == bool(outputs.q_halt_logits > outputs.q_continue_logits)
        assert len(step["sure"]) == grid.size
        assert all(0 <= percent <= 100 for percent in step["sure"])
    assert number == 3


def test_the_known_answer_decides_where_it_is_given(apis: dict[str, PlayApi]) -> None:
    api = apis["sudoku"]
    example = api.example(1)
    answer = [int(digit) + 1 for digit in example["answer"]]
    for step in steps_of(api, question_of(api)):
        differing = {at for at in range(16) if step["cells"][at] != answer[at]}
        assert differing <= set(step["wrong"])
        assert step["solved"] == (not differing)
    other = apis["arc"]
    question = question_of(other)
    assert steps_of(other, question)[0]["solved"] is None
    assert steps_of(other, {**question, "answer": "0"})[0]["solved"] is not None


@pytest.mark.parametrize(
    ("kind", "puzzle", "solutions"),
    [
        ("sudoku", "1..4..2..3..4..1", "none"),
        ("sudoku", "." * 16, "several"),
        ("sudoku", "1.34..1..1..4..1", "one"),
        ("maze", "S#" + "#" * 10 + " " * 23 + "G", "none"),
        ("arc", "01/23", None),
    ],
)
def test_every_step_says_how_many_solutions_the_puzzle_has(
    apis: dict[str, PlayApi], kind: str, puzzle: str, solutions: str | None
) -> None:
    for step in steps_of(apis[kind], {"puzzle": puzzle}):
        assert step["solutions"] == solutions
        assert bool(step["note"]) == (solutions in ("none", "several"))


def test_more_steps_go_on_where_fewer_ended(apis: dict[str, PlayApi]) -> None:
    api = apis["sudoku"]
    question = question_of(api)
    long = steps_of(api, {**question, "steps": 12})
    assert [step["step"] for step in long] == list(range(1, 13))
    assert long[:3] == steps_of(api, question)


def test_another_path_is_another_path_and_the_same_every_time(apis: dict[str, PlayApi]) -> None:
    api = apis["sudoku"]
    question = question_of(api)
    found = [steps_of(api, {**question, "path": path}) for path in (0, 1, 2, 1)]
    assert found[1] == found[3]
    for one, other in itertools.combinations(found[:3], 2):
        assert one[0]["sure"] != other[0]["sure"]


def test_a_new_question_ends_the_one_before(apis: dict[str, PlayApi]) -> None:
    api = apis["maze"]
    question = question_of(api)
    first = api.solve({**question, "steps": 12})
    assert [next(first)["step"], next(first)["step"]] == [1, 2]
    second = api.solve(question)
    assert list(first) == [{"end": "replaced"}]
    assert [line.get("step") for line in second] == [1, 2, 3, None]
    third = api.solve(question)
    next(third)
    api.close()
    assert list(third) == [{"end": "replaced"}]


def test_a_question_that_is_wrong_ends_nothing(apis: dict[str, PlayApi]) -> None:
    api = apis["sudoku"]
    first = api.solve(question_of(api))
    next(first)
    with pytest.raises(HrmError):
        api.solve({"puzzle": "12"})
    assert list(first)[-1] == {"end": "done"}


@pytest.mark.parametrize(
    ("kind", "asked", "words"),
    [
        ("sudoku", {"puzzle": "12"}, "has 2 cells"),
        ("sudoku", {"puzzle": "5" + "." * 15}, "is '5'; allowed are the digits 1 to 4"),
        ("sudoku", {"puzzle": "11" + "." * 14}, "the 1 in row 1, column 1 stands twice"),
        ("sudoku", {}, "has 0 cells"),
        ("sudoku", {"puzzle": 7}, "puzzle is not a text"),
        ("sudoku", {"puzzle": "." * 10_000}, "puzzle is not a text of at most"),
        ("sudoku", {"puzzle": "." * 16, "steps": 13}, "steps=13 is not a whole number from 1 to"),
        ("sudoku", {"puzzle": "." * 16, "steps": True}, "steps=True is not a whole number"),
        ("sudoku", {"puzzle": "." * 16, "path": -1}, "path=-1 is not a whole number"),
        ("sudoku", {"puzzle": "." * 16, "seed": 1}, "a question has no fields but"),
        ("sudoku", ["puzzle"], "a question has no fields but"),
        ("sudoku", {"puzzle": "." * 16, "answer": "1"}, "answer: the puzzle has 1 cell"),
        ("maze", {"puzzle": " " * 36}, "the maze has 0 S"),
        ("maze", {"puzzle": "x" + " " * 35}, "is 'x'"),
        ("arc", {"puzzle": "01/2"}, "not rectangular"),
        ("arc", {"puzzle": "/".join(["0"] * 31)}, "31x1"),
        ("arc", {"puzzle": "0", "task": "aa12"}, "Did you mean 'aa11'?"),
        ("arc", {"puzzle": "0", "task": 3}, "task is not a text"),
    ],
)
def test_wrong_questions_are_one_line(
    apis: dict[str, PlayApi], kind: str, asked: object, words: str
) -> None:
    with pytest.raises((ConfigError, DataError)) as caught:
        apis[kind].solve(asked)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_examples_are_the_test_split(
    apis: dict[str, PlayApi], runs: dict[str, tuple[Path, Path]]
) -> None:
    for kind in ("sudoku", "maze"):
        api, dataset = apis[kind], open_dataset(runs[kind][1])
        board = dataset.meta.puzzle
        count = dataset.meta.splits["test"].examples
        assert api.about()["examples"] == count
        rows = dataset.read("test", ["inputs", "labels"], 0, count)
        for number in (0, 1, count - 1, count):
            example = api.example(number)
            assert example["number"] == number % count
            puzzle, answer = board.parse(example["puzzle"], "x"), example["answer"]
            assert puzzle.ravel().tolist() == rows["inputs"][number % count].tolist()
            solution = board.parse(answer, "x", answer=True)
            assert solution.ravel().tolist() == rows["labels"][number % count].tolist()


def test_texts_are_read_by_the_puzzle(apis: dict[str, PlayApi]) -> None:
    for text in ("1..4..1..1..4..1", "1 . | . 4\n. . | 1 .\n----+----\n. 1 | . .\n4 . | . 1\n"):
        (found,) = apis["sudoku"].read({"text": text})
        cells = [int(c) + 1 for c in "1004001001004001"]
        question = {"shape": [4, 4], "tokens": cells}
        assert found == {"demonstrations": [], "tests": [{"input": question, "output": None}]}
        assert list(apis["sudoku"].read({"text": "source,1..4..1..1..4..1,7"})) == [found]
    task = {
        "train": [{"input": [[1]], "output": [[2, 2]]}],
        "test": [{"input": [[4], [5]]}, {"input": [[6]], "output": [[7]]}],
    }
    (found,) = apis["arc"].read({"text": json.dumps(task)})
    assert [rows_of(side) for side in found["demonstrations"][0].values()] == ["1", "22"]
    assert [rows_of(test["input"]) for test in found["tests"]] == ["4/5", "6"]
    assert found["tests"][0]["output"] is None
    assert rows_of(found["tests"][1]["output"]) == "7"


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("sudoku", "1..4", "has 4 cells"),
        ("sudoku", "11" + "." * 14, "contradict each other"),
        ("maze", "S....." * 6, "the maze has 6 S"),
        ("arc", '{"train": [], "test": [{"input": [[10]]}]}', "allowed are the colours 0 to 9"),
        ("arc", '{"train": [{"input": 7}], "test": [{"input": [[1]]}]}', "demonstration 1, input"),
        ("arc", '{"test": 1}', "no ARC task"),
        ("sudoku", "1" * (1 << 18), "text is not a text of at most"),
    ],
)
def test_texts_that_hold_no_puzzle(
    apis: dict[str, PlayApi], kind: str, text: str, words: str
) -> None:
    with pytest.raises(HrmError, match=words) as caught:
        apis[kind].read({"text": text})
    assert "\n" not in str(caught.value)


def test_clues_that_contradict_each_other_are_found(apis: dict[str, PlayApi]) -> None:
    for clues, wrong in (("11", [0, 1]), ("1...1", [0, 4]), ("12..2", [1, 4]), ("1234", [])):
        tokens = [1 if c == "." else int(c) + 1 for c in clues.ljust(16, ".")]
        assert list(apis["sudoku"].check({"puzzle": tokens})) == [{"wrong": wrong}]
    for puzzle in ("1" * 16, [1] * 15, [0] * 16, [True] * 16, [99] * 16, None):
        with pytest.raises(ConfigError, match="puzzle is not a list of 16 tokens"):
            apis["sudoku"].check({"puzzle": puzzle})


def test_a_task_gets_its_identifier_only_from_the_data_it_was_trained_on(
    runs: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    restored = restore(runs["arc"][0], device=torch.device("cpu"))
    assert restored.table is not None
    # So little training leaves the rows of most identifiers as they were, all the same.
    rows = torch.randn(restored.table.num_identifiers, restored.table.width)
    restored.table.load_rows(rows)
    api = PlayApi(restored, open_dataset(runs["arc"][1]))
    other = PlayApi(restored, arc_set(tmp_path, num_aug=2))
    question = question_of(api)
    blank = {"puzzle": question["puzzle"]}
    known, unknown = (steps_of(api, asked)[0]["sure"] for asked in (question, blank))
    assert known != unknown
    assert [api.task("aa11")["known"], other.task("aa11")["known"]] == [True, False]
    assert steps_of(other, question)[0]["sure"] == unknown


def test_where_examples_come_from(runs: dict[str, tuple[Path, Path]], tmp_path: Path) -> None:
    run, data = runs["sudoku"]
    restored = restore(run, device=torch.device("cpu"))
    found = open_examples(restored, None)
    assert found is not None
    assert found.path == data
    other = write_online(tmp_path / "other", size=4, examples=30)
    chosen = open_examples(restored, str(other))
    assert chosen is not None
    assert chosen.path == other
    with pytest.raises(ConfigError, match=r"has kind=maze, the checkpoint was trained with sudoku"):
        open_examples(restored, str(runs["maze"][1]))
    with pytest.raises(DataError, match="no such data set"):
        open_examples(restored, str(tmp_path / "nothing"))
    moved = tmp_path / "moved"
    data.rename(moved)
    try:
        assert open_examples(restored, None) is None
        write_online(data, size=4, examples=30)
        assert open_examples(restored, None) is None, "other data now lie under that name"
    finally:
        data.rename(tmp_path / "wrong")
        moved.rename(data)
    lonely = api_of(run, None)
    # Without data the kind's own samples are there.
    assert lonely.about()["examples"] == len(restored.meta.puzzle.samples()) > 0
    taken = lonely.example(1)
    *steps, end = lonely.solve({"puzzle": taken["puzzle"], "answer": taken["answer"], "steps": 2})
    assert (len(steps), end["end"], steps[0]["solutions"]) == (2, "done", "one")
    with pytest.raises(DataError, match="start with data_path=DIR"):
        lonely.task("x")
    arc = api_of(runs["arc"][0], None)
    assert arc.about()["examples"] == 0
    with pytest.raises(DataError, match="start with data_path=DIR"):
        arc.example(0)
