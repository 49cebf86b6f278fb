"""A run that gets no better ends by itself, its best checkpoint kept and named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.runs import arguments, call, metrics_of, train_here
from hrm_scale.checkpoint import read_checkpoint

pytestmark = pytest.mark.slow
# No accuracy is better than another one by more than 1: the first evaluation stays the best.
SETTINGS: dict[str, Any] = {
    "max_steps": 60,
    "evaluation__every_steps": 5,
    "evaluation__limit": 16,
    "early_stopping__metric": "accuracy",
    "early_stopping__min_delta": 1,
    "early_stopping__patience": 2,
    "checkpoint__keep_last": 1,
    "log__console": "line",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_online(tmp_path_factory.mktemp("early") / "data", examples=100)


def kept(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_it_ends_keeps_the_best_and_goes_on_when_asked_for_more(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    line = arguments(data, run, **SETTINGS)
    done = call("hrm_scale.train", *line)
    assert done.returncode == 0, done.stderr
    assert "early stopping: accuracy has not been better than" in done.stdout
    assert "(step 5) for 2 evaluations" in done.stdout
    assert kept(run) == ["best", "step-00000005", "step-00000015"]
    assert read_checkpoint(run / "checkpoints" / "best").step == 5
    # The last evaluation is of everything.
    evaluations = [line for line in metrics_of(run) if "eval/count" in line]
    assert [int(found["step"]) for found in evaluations] == [5, 10, 15, 15]
    assert evaluations[-1]["eval/count"] > evaluations[0]["eval/count"] == 16

    before = {path: path.read_bytes() for path in run.rglob("*.json*") if "heart" not in path.name}
    again = call("hrm_scale.train", *line)
    assert again.returncode == 0, again.stderr
    changed = [path.name for path, content in before.items() if path.read_bytes() != content]
    assert changed in ([], ["events.jsonl"])

    more = call("hrm_scale.train", *line, "early_stopping.patience=4")
    assert more.returncode == 0, more.stderr
    assert kept(run) == ["best", "step-00000005", "step-00000025"]


def test_without_patience_it_goes_to_the_end(data: Path, tmp_path: Path) -> None:
    settings = {**SETTINGS, "early_stopping__patience": "null", "max_steps": 30}
    trainer = train_here(data, tmp_path, **settings)
    assert trainer.parts.state.step == 30
    assert "best" in kept(tmp_path)


def test_the_best_is_saved_where_evaluations_are_not(data: Path, tmp_path: Path) -> None:
    settings = {**SETTINGS, "checkpoint_every_eval": "false", "max_steps": 12}
    train_here(data, tmp_path / "kept", **settings)
    assert kept(tmp_path / "kept") == ["best", "step-00000005", "step-00000012"]
    train_here(data, tmp_path / "not", **settings, checkpoint__keep_best="false")
    assert kept(tmp_path / "not") == ["step-00000012"]
