"""Sudokus of 16x16 from the builder to a model's answer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.tiny.runs import call, train_here
from hrm_scale.data import open_dataset
from shards.sudoku.cli import main as build
from tests.support.play_sets import api_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(run, data set): two steps on augmented boards."""
    folder = tmp_path_factory.mktemp("large")
    data, run = folder / "data", folder / "run"
    size = ["--source", "generate", "--size", "16", "--count", "8", "--test-size", "2"]
    assert build([*size, "--num-aug", "5", "--output-dir", str(data)]) == 0
    settings = {"max_steps": 2, "global_batch_size": 4, "arch.halt_max_steps": 2}
    train_here(data, run, **settings)
    return run, data


def question_of(data: Path) -> str:
    dataset = open_dataset(data)
    puzzle = dataset.meta.puzzle
    return puzzle.text(puzzle.grid(dataset.read("test", ["inputs"], 0, 1)["inputs"][0]))


def test_a_model_predicts_a_typed_puzzle(trained: tuple[Path, Path], tmp_path: Path) -> None:
    run, data = trained
    question, out = question_of(data), tmp_path / "answer.json"
    line = (f"checkpoint={run}", f"puzzle={question.lower()}", f"output={out}")
    done = call("hrm_scale.predict", *line)
    assert done.returncode == 0, done.stderr
    (prediction,) = json.loads(out.read_text())
    assert prediction["question"] == question
    assert len(prediction["answer"]) == 256
    refused = call("hrm_scale.predict", f"checkpoint={run}", f"puzzle=H{question[1:]}")
    assert refused.returncode == 3
    assert "'H'" in refused.stderr
    assert "A to G" in refused.stderr


def test_a_model_is_played_with(trained: tuple[Path, Path]) -> None:
    run, data = trained
    api = api_of(run, data)
    glyphs = [token["glyph"] for token in api.about()["drawing"]["tokens"]]
    assert glyphs == ["", ".", *"123456789ABCDEFG"]
    *steps, end = api.solve({"puzzle": question_of(data)})
    assert (len(steps), end) == (2, {"end": "done"})
    board = np.array([0, *[1] * 255])
    board[[0, 255]] = 17
    assert next(api.check({"puzzle": board.tolist()}))["wrong"] == []
    board[15] = 17
    assert next(api.check({"puzzle": board.tolist()}))["wrong"] == [0, 15, 255]
