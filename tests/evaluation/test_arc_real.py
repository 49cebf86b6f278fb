"""The published ARC-AGI evaluation tasks, asked from online and from dense storage."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from hrm_scale.base.untrusted import parse_json
from hrm_scale.data import Dataset, open_dataset
from hrm_scale.evaluation.arc.aggregate import task_line
from hrm_scale.evaluation.arc.rows import ArcRows
from hrm_scale.evaluation.arc.score import score, submission
from hrm_scale.evaluation.arc.subsample import augmentation_curve
from hrm_scale.evaluation.arc.task_votes import TaskVotes
from hrm_scale.evaluation.arc.votes import ArcVotes
from shards.arc import cli as arc

pytestmark = pytest.mark.slow
BATCH, COUNTS = 700, (1, 5)


@pytest.fixture(scope="module")
def sets(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    folder, archive = tmp_path_factory.mktemp("arc"), shared / "data" / "arc" / "ARC-AGI.tar.gz"
    for storage in ("online", "dense"):
        options = ["--num-aug", "20", "--storage", storage]
        out = str(folder / storage)
        assert arc.main(["--dataset-dirs", str(archive), *options, "--output-dir", out]) == 0
    return {storage: open_dataset(folder / storage) for storage in ("online", "dense")}


def ask_oracle(rows: ArcRows, wrong: int | None = None) -> list[TaskVotes]:
    """Votes of a model that knows every answer; every `wrong`-th row asks in vain."""
    votes = ArcVotes(rows, counts=COUNTS, draws=3)
    most = 0
    for start in range(0, len(rows), BATCH):
        numbers = np.arange(start, min(start + BATCH, len(rows)))
        inputs, labels, _ = rows.read(numbers)
        if wrong is not None:
            labels[numbers % wrong == 0] = inputs[numbers % wrong == 0]
        votes.add(numbers, labels, np.full(len(numbers), 0.5))
        most = max(most, votes.held)
    assert votes.held == 0
    assert most < rows.expected().max()
    return votes.merge([votes.parts()])


def test_both_storages_hold_the_rows_that_dense_says(sets: dict[str, Dataset]) -> None:
    dense = sets["dense"]
    info = dense.split("test")
    assert info.examples == 8787  # of the published builder as well
    names = ["inputs", "labels", "puzzle_identifiers"]
    columns = dense.read("test", names, 0, info.examples)
    wanted = Counter(zip(*[map(bytes, columns[name]) for name in names], strict=True))
    for dataset in sets.values():
        rows = ArcRows(dataset)
        assert len(rows.tasks) == 400
        found = rows.read(np.arange(len(rows)))
        assert Counter(zip(*[map(bytes, column) for column in found], strict=True)) == wanted


def test_an_oracle_is_always_right(sets: dict[str, Dataset]) -> None:
    found = {storage: ask_oracle(ArcRows(dataset)) for storage, dataset in sets.items()}
    lines = {storage: [task_line(task) for task in votes] for storage, votes in found.items()}
    assert lines["online"] == lines["dense"]
    result = score(found["online"])
    assert (result.tasks, result.pairs, result.unknown) == (400, 419, ())
    assert {e.value for k in (result.fraction, result.all_pairs) for e in k.values()} == {1.0}
    assert {point.value for point in augmentation_curve(found["online"], COUNTS)} == {1.0}
    puzzles = parse_json(sets["online"].read_file("test_puzzles.json"))
    for task, entries in submission(found["dense"]).items():
        answers = [pair["output"] for pair in puzzles[task]["test"]]
        assert [entry["attempt_1"] for entry in entries] == answers


def test_errors_are_outvoted(sets: dict[str, Dataset]) -> None:
    votes = ask_oracle(ArcRows(sets["online"]), wrong=3)
    assert score(votes).all_pairs[1].value == 1.0
    points = {(p.scoring, p.k, p.count): p.value for p in augmentation_curve(votes, COUNTS)}
    assert points["all", 1, 1] < points["all", 1, 5] < points["all", 1, None] == 1.0
