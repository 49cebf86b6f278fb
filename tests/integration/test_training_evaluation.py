"""Evaluating in between leaves training as it was; settings decide when it happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.runs import assert_same_bits, metrics_of, saved_steps, tensors_of, train_here


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_online(tmp_path_factory.mktemp("runs") / "data", examples=60)


@pytest.mark.parametrize("refill", ["always", "on_halt"])
def test_training_is_the_same_with_and_without_evaluation(
    data: Path, refill: str, tmp_path: Path
) -> None:
    settings = {"max_steps": 13, "data__refill": refill, "log__every": 1}
    often = {"evaluation__every_steps": 3, "evaluation__batch_size": 7, "evaluation__limit": 20}
    train_here(data, tmp_path / "never", **settings)
    train_here(data, tmp_path / "often", **settings, **often)
    assert_same_bits(tensors_of(tmp_path / "never"), tensors_of(tmp_path / "often"))
    never, several = metrics_of(tmp_path / "never"), metrics_of(tmp_path / "often")
    evaluated = [line["step"] for line in several if "eval/count" in line]
    assert evaluated == [3, 6, 9, 12, 13]
    counts = [line["eval/count"] for line in several if "eval/count" in line]
    assert counts == [20, 20, 20, 20, 50]  # everything at the end
    training = [[line for line in lines if "train/lr" in line] for lines in (never, several)]
    assert training[0] == training[1]
    assert [line["step"] for line in training[0]] == list(range(1, 14))


def test_checkpoints_are_kept_as_asked(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = {"checkpoint__every_steps": 2, "checkpoint__keep_last": 3}
    train_here(data, run, max_steps=9, **settings)
    assert saved_steps(run) == [6, 8, 9]
    train_here(data, tmp_path / "none", max_steps=3, checkpoint__at_end="false")
    assert saved_steps(tmp_path / "none") == []


def test_a_run_without_act_or_table_trains(data: Path, tmp_path: Path) -> None:
    changes = {"arch__act_enabled": "false", "arch__puzzle_emb_ndim": 0}
    trainer = train_here(data, tmp_path / "run", max_steps=5, **changes)
    assert trainer.parts.table is None
    last = [line for line in metrics_of(tmp_path / "run") if "train/lr" in line][-1]
    assert "train/q_continue_loss" not in last


def test_a_loss_that_is_no_number_ends_the_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is updated or saved."""
    from hrm_scale.base.errors import NonFiniteError
    from hrm_scale.training import step as step_module

    real, calls = step_module.act_loss, []

    def poisoned(*args: object) -> object:
        loss, metrics = real(*args)  # type: ignore[arg-type]
        calls.append(1)
        return (loss * float("nan") if len(calls) == 6 else loss), metrics

    monkeypatch.setattr(step_module, "act_loss", poisoned)
    with pytest.raises(
        NonFiniteError, match=r"loss is nan at step 6, samples \[40, 48\)"
    ) as caught:
        train_here(data, tmp_path / "run", max_steps=9, checkpoint__every_steps=2)
    assert "step-00000004" in str(caught.value)
    assert saved_steps(tmp_path / "run") == [2, 4]
