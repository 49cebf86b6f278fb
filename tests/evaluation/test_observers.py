"""Metrics as plug-ins: what they count on every process becomes one result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.models import tiny_model
from hrm_scale.data import open_dataset
from hrm_scale.evaluation.arc.task_votes import Candidate, TaskVotes, rank
from hrm_scale.evaluation.evaluate import collect, evaluate
from hrm_scale.evaluation.files import OutputFiles
from hrm_scale.evaluation.observers.base import Metric
from hrm_scale.evaluation.observers.measures import Measures
from hrm_scale.evaluation.observers.step_counts import StepCounts
from hrm_scale.evaluation.observers.tally import Tally
from hrm_scale.evaluation.observers.votes import Votes
from hrm_scale.optim.puzzle_table import DeviceTable
from hrm_scale.puzzles.maze.puzzle import Maze

CPU = torch.device("cpu")


class Counted(Metric):
    """A number and a list, as tensors or as objects."""

    def __init__(self, name: str, number: int, gathers: bool = False) -> None:
        self.name, self.gathers, self._number = name, gathers, number  # type: ignore[misc]

    def sums(self) -> Any:
        if self.gathers:
            return [self._number]
        return {"b": torch.tensor(self._number), "a": torch.full((2, 2), float(self._number))}

    def result(self, sums: Any) -> Any:
        return sums if self.gathers else (int(sums["b"]), sums["a"].tolist())


@dataclass
class TwoProcesses:
    """Rank 0 of two: the other one has counted the same."""

    device = CPU
    ranks = 2

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        return 2 * values

    def gather_objects(self, value: Any) -> list[Any]:
        return [value, value]


def test_sums_are_added_and_objects_gathered_over_processes() -> None:
    metrics = [Counted("one", 3), Counted("objects", 7, gathers=True), Counted("two", 5)]
    assert collect(metrics, TwoProcesses()) == {
        "one": (6, [[6.0, 6.0]] * 2),
        "objects": [[7], [7]],
        "two": (10, [[10.0, 10.0]] * 2),
    }
    assert collect(metrics[1:2], TwoProcesses()) == {"objects": [[7], [7]]}


def test_all_observers_see_one_pass_of_every_process(tmp_path: Path) -> None:
    dataset = open_dataset(write_online(tmp_path / "data", examples=60))  # 50 test rows
    model, table = tiny_model(), DeviceTable(1, 16, CPU)
    tally = Tally(model.config.vocab_size, dataset.meta.pad_id, "softmax_cross_entropy", CPU)
    steps = StepCounts([1, 4], CPU)
    for number in range(2):
        questions = dataset.eval_batches("test", 16, rank=number, ranks=2)
        what = (model, table, questions, [tally, steps])
        assert evaluate(*what, TwoProcesses(), report_steps=[1, 4])
    assert tally.result(tally.sums())["count"] == 50
    assert [row["count"] for row in steps.result(steps.sums())] == [50, 50]


@pytest.mark.parametrize("labels", [{"even": "an even sum"}, {"odd": "odd", "even": "even"}])
def test_properties_of_any_puzzle_are_counted_and_named(labels: dict[str, str]) -> None:
    class Sums(Maze):
        measured = labels

        def measures(self, inputs: np.ndarray, answers: np.ndarray) -> dict[str, np.ndarray]:
            even = answers.sum(1) % 2 == 0
            return {name: even if name == "even" else ~even for name in labels}

    measures = Measures(Sums(3, 3), CPU)
    result = measures.result({"paths": torch.tensor([4.0, *range(1, len(labels) + 1)])})
    assert result["count"] == 4
    assert [result[name]["rate"] for name in labels] == [0.25, 0.5][: len(labels)]
    table = measures.render(result).splitlines()
    assert [line.split("  ")[0] for line in table[1:]] == list(labels.values())[::-1]


def test_tasks_without_published_answers_have_no_curve() -> None:
    """The votes still make a submission."""
    session: Any = SimpleNamespace(config=SimpleNamespace(aggregated_voting=False))
    pair = rank([Candidate(b"12/34", 2, 1.5, 0)], None)
    votes = Votes(session, None, counts=(1, 2))  # type: ignore[arg-type]
    report = votes.finish([TaskVotes("task", (pair,))], OutputFiles(None))
    document = votes.document(report)
    assert document["arc"]["unknown"] == ("task",)
    assert "augmentations" not in document
    assert "task" in votes.render(report)
