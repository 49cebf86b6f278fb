"""The demo: it fits itself to the machine, keeps its model, and says what to type next."""

from __future__ import annotations

import re
import shlex
from argparse import Namespace
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from benchmarks.tiny.runs import metrics_of, saved_steps
from hrm_scale import demo
from hrm_scale.base.errors import EXIT_GOAL_MISSED, CheckpointError, ConfigError, EnvironmentProblem
from hrm_scale.checkpoint import read_checkpoint
from hrm_scale.config.compose import compose
from hrm_scale.training.trainer import Trainer

BUILD = "data_build=python -m shards.sudoku --source generate --num-aug 10 --count 40 --test-size 8"
TINY = (
    *("global_batch_size=8", "arch.hidden_size=16", "arch.num_heads=1", "engine.device=cpu"),
    *("arch.H_cycles=1", "arch.L_cycles=1", "arch.halt_max_steps=2"),
)

TRAINER: dict[str, Any] = {
    "state": Namespace(step=3),
    "horizon": Namespace(total_steps=9),
    "clock": Namespace(eta_seconds=lambda steps: 5.0 * steps),
}


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The demo of tiny models on few boards, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    for name in ("HRM_SCALE_COMMAND", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(demo, "PROGRESS_EVERY", 0.05)
    boards = {
        name: [f"data_path=data/{name}", f"{BUILD} --size {name[0]}", *TINY, f"max_steps={steps}"]
        for name, steps in (("6x6", 3), ("4x4", 2))
    }
    monkeypatch.setattr(demo, "BOARDS", boards)
    return tmp_path


@pytest.mark.parametrize(
    "setting", ["size=6", "data_path=data/mine", "experiment=sudoku_cpu", "lr=fast", "--overwrite"]
)
def test_settings_are_checked_before_any_work(small: Path, setting: str) -> None:
    with pytest.raises(ConfigError):
        demo.main([setting])
    assert not list(small.iterdir())


def test_the_model_stays_and_the_last_lines_can_be_typed(
    small: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert demo.main([]) == EXIT_GOAL_MISSED  # three steps teach nothing
    out = capsys.readouterr().out
    run = small / demo.RUN
    assert read_checkpoint(run).state["dataset"]["board"]["height"] == 6
    for named in re.findall(r"(?:^|[ =])((?:checkpoints|data)/[^\s,]+)", out, re.MULTILINE):
        assert Path(named).exists(), named
    play, predict = (shlex.split(line) for line in out.splitlines()[-2:])
    assert play[:3] == ["python", "-m", "hrm_scale.play"]
    assert Path(compose(play[3:], "play").run.checkpoint).samefile(run)
    assert predict[:3] == ["python", "-m", "hrm_scale.predict"]
    assert len(compose(predict[3:], "predict").run.puzzle or "") == 36

    # Typed again it evaluates the model that is there, and says how to begin anew.
    monkeypatch.setattr(demo, "GOAL", 0.0)
    (small / "launch.sh").touch()
    before = metrics_of(run)
    assert demo.main([]) == 0
    out = capsys.readouterr().out
    assert "delete it" in out
    assert out.splitlines()[-2].split()[:2] == ["./launch.sh", "play"]
    assert metrics_of(run) == before
    # A longer one goes on from there.
    assert demo.main(["max_steps=5"]) == 0
    assert saved_steps(run)[-1] == 5


def test_a_machine_too_slow_for_large_boards_trains_on_small_ones(
    small: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "GOAL", 0.0)
    monkeypatch.setattr(demo, "JUDGE_AFTER", 0.2)
    demo.BOARDS["6x6"] += ["max_steps=1000000", "max_time=60"]
    demo.BOARDS["4x4"] += ["max_time=null"]
    threads = torch.get_num_threads()
    try:
        assert demo.main([]) == 0
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)
    out = capsys.readouterr().out
    assert re.search(r"step \d+/1000000", out)
    checkpoint = read_checkpoint(small / demo.RUN)
    assert (checkpoint.step, checkpoint.state["dataset"]["board"]["height"]) == (2, 4)
    assert checkpoint.config["max_steps"] == 2
    # Its boards are those of the next demo, and nothing asks that one to stop.
    assert demo.main([]) == 0
    assert saved_steps(small / demo.RUN) == [2]


def test_a_machine_too_slow_for_any_board_is_told_in_one_sentence(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "JUDGE_AFTER", 0.2)
    for settings in demo.BOARDS.values():
        settings.append("max_steps=1000000")
    with pytest.raises(EnvironmentProblem, match=r"4x4 boards.*max_time=") as caught:
        demo.main(["max_time=60"])
    assert "\n" not in str(caught.value)
    # What it has learned is kept for one who is ready to wait.
    assert read_checkpoint(small / demo.RUN).step > 0


def test_a_folder_of_another_run_is_left_alone(small: Path) -> None:
    demo.main([])
    del demo.BOARDS["6x6"]
    with pytest.raises(CheckpointError, match="another task"):
        demo.main([])


@pytest.mark.parametrize(
    ("spent", "done", "to_do", "left", "expected"),
    [
        (20, 100, 900, 180.0, 200),
        (20, 0, 1000, None, float("inf")),
        (20, 1, 999, None, 20 + 20 * 999),
        (60, 500, 500, 900.0, 120),  # slow for a moment
        (20, 10, 990, 100.0, 120),  # a slow start
    ],
)
def test_the_time_that_a_training_takes(
    spent: float, done: int, to_do: int, left: float | None, expected: float
) -> None:
    assert demo.expected_seconds(spent, done, to_do, left) == expected


def test_a_training_that_fits_is_not_given_up_for_a_busy_moment(
    monkeypatch: pytest.MonkeyPatch, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = iter([100.0, *[250.0] * 3])
    monkeypatch.setattr(demo, "expected_seconds", lambda *_: next(expected, 1000.0))
    monkeypatch.setattr(demo, "JUDGE_AFTER", 0.0)
    (small / "STOP").touch()
    (small / "metrics.jsonl").write_text('{"step": 2, "train/exact_accuracy": 0.5}\n{"torn')
    monitor = demo.Monitor(240.0, last=False)
    monitor.watch(cast(Trainer, Namespace(parts=Namespace(**TRAINER, run_dir=small))))
    monitor.withdraw()
    for _ in range(4):
        assert monitor.look() == "step 3/9 | exact 0.500 | 30s left"
        assert not monitor.stopped
        assert not (small / "STOP").exists()
    assert "about 1m40s" in capsys.readouterr().out
    monitor.look()
    assert monitor.stopped
    assert (small / "STOP").exists()
