"""What the guard lets pass, what it says, and when the best evaluation is far behind."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hrm_scale.base.errors import EXIT_NON_FINITE, NonFiniteError
from hrm_scale.config.schema import EarlyStoppingConfig, GuardsConfig
from hrm_scale.engine.plain import PlainEngine
from hrm_scale.models import Carry, Outputs
from hrm_scale.training.early_stopping import EarlyStopping
from hrm_scale.training.guards import Fault, Guard, free_lost_slots
from hrm_scale.training.step import MicroStep, StepResult

NAN = math.nan


def carry(rows: int = 4) -> Carry:
    return Carry(
        z=(torch.zeros(rows, 3, 2), torch.ones(rows, 3, 2)),
        steps=torch.ones(rows, dtype=torch.int32),
        halted=torch.zeros(rows, dtype=torch.bool),
        data={"inputs": torch.zeros(rows, 3, dtype=torch.int32)},
    )


def result(loss: float) -> StepResult:
    nothing = torch.zeros(0)
    outputs = Outputs(nothing, nothing, nothing, None)
    return StepResult([carry()], {}, [MicroStep(torch.tensor(loss), outputs, None)])


class Setting:
    """A guard, what it said, and the checkpoint it believes in."""

    def __init__(self, folder: Path, checkpoint: str | None = "step-00000010", **config: Any):
        self.said: list[str] = []
        self.engine = PlainEngine("cpu")
        self.guard = Guard(GuardsConfig(**config), self.engine, folder, self.said.append)
        self.guard.last_checkpoint = lambda: None if checkpoint is None else Path(checkpoint)

    def check(self, step: int, loss: float = 1.0, norm: float = 1.0) -> bool:
        return self.guard.check(step, (8 * step - 8, 8 * step), result(loss), norm)


def test_finite_numbers_pass_without_a_word(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    assert setting.check(1)
    assert setting.said == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("loss", "norm", "what"),
    [(NAN, NAN, "loss is nan"), (1.0, math.inf, "gradient norm is inf")],
)
def test_raise_names_step_samples_checkpoint_and_batch(
    loss: float, norm: float, what: str, tmp_path: Path
) -> None:
    with pytest.raises(NonFiniteError) as caught:
        Setting(tmp_path).check(12, loss, norm)
    text = str(caught.value)
    assert f"{what} at step 12, samples [88, 96)" in text
    assert "last good checkpoint: step-00000010" in text
    assert "step-00000012-rank-00000.safetensors" in text
    assert "\n" not in text
    assert caught.value.exit_code == EXIT_NON_FINITE


def test_without_a_checkpoint_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match="no checkpoint yet"):
        Setting(tmp_path, checkpoint=None).check(1, NAN, NAN)


def test_a_batch_that_cannot_be_written_is_said_and_no_more(tmp_path: Path) -> None:
    setting = Setting(tmp_path / "missing", non_finite="skip")
    assert not setting.check(1, NAN, NAN)
    assert "could not be written" in setting.said[0]


def test_the_limit_counts_within_a_thousand_steps_only(tmp_path: Path) -> None:
    setting = Setting(tmp_path, non_finite="skip", limit=2)
    for step in (1, 500, 1001, 1500, 2001):
        assert not setting.check(step, NAN, NAN)
    assert setting.guard.skipped == 5
    with pytest.raises(NonFiniteError, match=r"guards\.limit=2"):
        setting.check(2002, NAN, NAN)


def test_a_step_that_nobody_has_read_is_named_when_it_is_noticed(tmp_path: Path) -> None:
    setting = Setting(tmp_path)
    for step, loss in ((3, 1.0), (4, NAN), (5, NAN)):
        setting.guard.remember(step, (8 * step - 8, 8 * step), result(loss))
    with pytest.raises(NonFiniteError, match=r"not finite at step 4, samples \[24, 32\)"):
        setting.check(6, NAN, NAN)
    # What was unread before a step that is well was well too, and is forgotten.
    setting.guard.remember(7, (48, 56), result(NAN))
    assert setting.check(8)
    with pytest.raises(NonFiniteError, match=r"loss is nan at step 9"):
        setting.check(9, NAN, NAN)
    setting.guard.remember(7, (48, 56), result(NAN))
    with pytest.raises(NonFiniteError, match=r"at step 7, samples \[48, 56\)"):
        setting.guard.reported(8, {"train/lm_loss": NAN})


def test_the_earliest_fault_of_all_ranks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = Setting(tmp_path)
    setting.guard.remember(5, (32, 40), result(NAN))
    others = [None, Fault(4, (24, 32), "loss is not finite"), Fault(6, (40, 48), "lost")]
    monkeypatch.setattr(setting.engine, "gather_objects", lambda mine: [*others, mine])
    with pytest.raises(NonFiniteError, match=r"at step 4, samples \[24, 32\)"):
        setting.check(7, NAN, NAN)


def test_the_limit_counts_over_a_restart(tmp_path: Path) -> None:
    first, second = (Setting(tmp_path, non_finite="skip", limit=2) for _ in range(2))
    for step in (1, 2):
        assert not first.check(step, NAN, NAN)
    second.guard.load_state_dict(json.loads(json.dumps(first.guard.state_dict())))
    assert second.guard.skipped == 2
    with pytest.raises(NonFiniteError, match=r"guards\.limit=2"):
        second.check(3, NAN, NAN)


def test_a_spike_that_goes_on_is_not_told_again_after_a_restart(tmp_path: Path) -> None:
    first, second = (Setting(tmp_path, loss_spike=3.0) for _ in range(2))
    for step in range(1, 21):
        first.guard.reported(step, {"train/lm_loss": 1.0})
    first.guard.reported(21, {"train/lm_loss": 9.0})
    second.guard.load_state_dict(json.loads(json.dumps(first.guard.state_dict())))
    second.guard.reported(22, {"train/lm_loss": 9.0})
    assert (len(first.said), second.said) == (1, [])


def test_a_spike_is_told_once_and_survives_a_restart(tmp_path: Path) -> None:
    setting = Setting(tmp_path, loss_spike=3.0)
    for step in range(1, 21):
        setting.guard.reported(step, {"train/lm_loss": 1.0 + step / 100})
    saved = json.loads(json.dumps(setting.guard.state_dict()))
    other = Setting(tmp_path, loss_spike=3.0)
    other.guard.load_state_dict(saved)
    for guarded in (setting, other):
        assert guarded.said == []
        for step, loss in ((21, 4.0), (22, 4.0), (23, 1.0), (24, 9.0)):
            guarded.guard.reported(step, {"train/lm_loss": loss})
        assert len(guarded.said) == 2
        assert "train/lm_loss is 4 at step 21, 3.6 times" in guarded.said[0]
        assert "at step 24" in guarded.said[1]


def test_few_reports_and_null_make_no_spike(tmp_path: Path) -> None:
    few, off = Setting(tmp_path), Setting(tmp_path, loss_spike=None)
    for step in range(1, 9):
        few.guard.reported(step, {"train/lm_loss": 1.0})
    for step in range(1, 50):
        off.guard.reported(step, {"train/lm_loss": 1.0})
    for setting in (few, off):
        setting.guard.reported(50, {"train/lm_loss": 1000.0})
        assert setting.said == []


def test_slots_whose_state_is_lost_begin_anew() -> None:
    whole = carry()
    z = whole.z[1].clone()
    z[2, 1, 0] = math.inf
    (freed,) = free_lost_slots([replace(whole, z=(whole.z[0], z))])
    assert freed.halted.tolist() == [False, False, True, False]


def early(**config: Any) -> EarlyStopping:
    return EarlyStopping(EarlyStoppingConfig(**config))


def test_nothing_is_best_before_anything_is_solved() -> None:
    stopping = early(patience=2)
    for step in range(10):
        assert not stopping.observe(step, {"exact_accuracy": 0.0})
    assert not stopping.exhausted
    assert stopping.observe(10, {"exact_accuracy": 0.1})
    for step in (11, 12):
        assert not stopping.exhausted
        assert not stopping.observe(step, {"exact_accuracy": 0.1})
    assert stopping.exhausted
    assert "0.1000 (step 10) for 2 evaluations" in stopping.describe()


def test_a_loss_is_better_when_it_is_lower_by_min_delta() -> None:
    stopping = early(metric="lm_loss", min_delta=0.1, patience=3)
    assert not stopping.observe(1, {"lm_loss": NAN})
    assert stopping.observe(2, {"lm_loss": 1.0})
    assert not stopping.observe(3, {"lm_loss": 0.95})
    assert stopping.observe(4, {"lm_loss": 0.85})
    assert not stopping.observe(5, {"lm_loss": NAN})
    assert stopping.waited == 1


@settings(deadline=None, max_examples=50)
@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=30), cut=st.integers(0, 30))
@example(values=[0.1, 0.5, 0.2], cut=2)
def test_a_restart_changes_nothing(values: list[float], cut: int) -> None:
    straight, broken = early(patience=3), early(patience=3)
    for step, value in enumerate(values):
        if step == cut:
            saved = json.loads(json.dumps(broken.state_dict()))
            broken = early(patience=3)
            broken.load_state_dict(saved)
        observed = {"exact_accuracy": value}
        assert straight.observe(step, observed) == broken.observe(step, observed)
        assert straight.exhausted == broken.exhausted
    assert straight.state_dict() == broken.state_dict()
    assert straight.best == (max(values) or None)


def test_another_metric_begins_anew() -> None:
    stopping, other = early(), early(metric="lm_loss")
    stopping.observe(1, {"exact_accuracy": 0.5})
    other.load_state_dict(stopping.state_dict())
    assert other.best is None
