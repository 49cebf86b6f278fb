"""Which checkpoint a start, or a restart by a launcher, resumes from, and the command to type."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.runs import arguments, train_here
from hrm_scale.base.errors import CheckpointError, Stopped
from hrm_scale.base.worker_exit import RESTARTED, is_restart
from hrm_scale.checkpoint import CheckpointManager, Ranks, latest_valid, read_checkpoint
from hrm_scale.config.compose import compose
from hrm_scale.training.resuming import continue_command, find_checkpoint

COUNTS = (RESTARTED, "TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")
SETTINGS: dict[str, Any] = {
    "checkpoint__every_steps": 2,
    "checkpoint__keep_last": 9,
    "evaluation__full_at_end": "false",
}


@pytest.fixture(autouse=True)
def _typed_by_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*COUNTS, "HRM_SCALE_COMMAND"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_online(tmp_path_factory.mktemp("resuming") / "data", examples=40)


@pytest.fixture(scope="module")
def base(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with checkpoints 2, 4 and 6."""
    run = tmp_path_factory.mktemp("base") / "run"
    train_here(data, run, max_steps=6, **SETTINGS)
    return run


def find(run: Path, resume: str | Path, ranks: Ranks | None = None) -> int | None:
    """The step that a process started with `resume` begins at."""
    config = compose(arguments(Path("data"), run, max_steps=9, resume=resume)).run
    found, _ = find_checkpoint(config, run, CheckpointManager(run, ranks=ranks or Ranks()))
    return None if found is None else found.step


def held(run: Path) -> list[str]:
    return sorted(p.name for p in (run / "checkpoints").iterdir() if not p.is_symlink())


def test_a_restart_never_goes_back_to_the_path_it_was_started_with(
    data: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(base, run, symlinks=True)
    path = run / "checkpoints" / "step-00000002"
    # Restarted before the first start came to it: the request is still to be done.
    monkeypatch.setenv(RESTARTED, "1")
    assert find(run, path) == 2
    assert held(run)[1:] == ["superseded-0-step-00000004", "superseded-0-step-00000006"]
    train_here(data, run, max_steps=4, resume=path, **SETTINGS)
    before = held(run)
    assert before[:2] == ["step-00000002", "step-00000004"]

    monkeypatch.delenv(RESTARTED)
    for name in COUNTS:
        monkeypatch.setenv(name, "1")
        assert find(run, path) == 4
        monkeypatch.setenv(name, "0")
    # Of several nodes one may not know of the restart.
    assert find(run, path, Ranks(0, 2, lambda mine: [mine, mine or True])) == 4
    assert held(run) == before
    # Typed by a user it goes back, and says where the rest is.
    assert find(run, path) == 2
    assert "superseded-1-step-00000004" in held(run)


def test_a_restart_of_a_branch_from_another_run(
    data: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, run = base / "checkpoints" / "step-00000004", tmp_path / "run"
    shutil.copytree(base, run, symlinks=True)
    # Nothing in the folder is of the course that begins here, whatever its step.
    assert find(run, path) == 4
    assert latest_valid(run)[0] is None
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert find(run, path) == 4  # killed before it saved anything
    train_here(data, run, max_steps=5, resume=path, **SETTINGS)
    before = held(run)
    assert find(run, path) == 5
    assert held(run) == before
    assert held(base) == ["step-00000002", "step-00000004", "step-00000006"]


def test_a_restart_of_a_run_that_must_be_new(
    data: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    train_here(data, run, max_steps=2, resume="never", **SETTINGS)
    with pytest.raises(CheckpointError, match="resume=never"):
        find(run, "never")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "3")
    assert find(run, "never") == 2
    with pytest.raises(CheckpointError, match="resume=never"):
        find(base, "never")  # a run that was there before


@pytest.mark.parametrize(("value", "restart"), [("", False), ("0", False), ("1", True)])
def test_what_is_a_restart(value: str, restart: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in COUNTS:
        monkeypatch.setenv(name, value)
        assert is_restart() == restart
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("typed", "launcher", "spent", "words"),
    [
        (["lr=1e-4"], "", 10, ["lr=1e-4"]),
        (["resume=must", "lr=1e-4"], "", 10, ["resume=must", "lr=1e-4"]),
        (["resume=./a", "lr=1e-4"], "", 10, ["lr=1e-4", "resume=auto"]),
        (["++resume=never", "lr=1e-4"], "", 10, ["lr=1e-4", "resume=auto"]),
        (["max_time=90s", "lr=1e-4"], "", 89, ["max_time=90s", "lr=1e-4"]),
        (["max_time=90s", "lr=1e-4"], "", 90.5, ["lr=1e-4", "max_time=3m"]),
        (["max_time=90s"], "", 179, ["max_time=4m30s"]),
        (["experiment=demo"], "", 241, ["experiment=demo", "max_time=8m"]),
        (["resume=./a"], "sbatch 'a b.sbatch'", 10, ["a b.sbatch", "resume=auto"]),
        (["max_time=1h"], "sbatch job max_time=1h", 3601, ["job", "max_time=2h"]),
    ],
)
def test_what_to_type_to_resume(
    typed: list[str],
    launcher: str,
    spent: float,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["train", *typed])
    if launcher:
        monkeypatch.setenv("HRM_SCALE_COMMAND", launcher)
    command = shlex.split(continue_command(compose(typed).run, spent))
    program = ["sbatch"] if launcher else ["python", "-m", "hrm_scale.train"]
    assert command == [*program, *words]


def test_a_run_whose_time_is_up_says_what_continues_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    changes = {**SETTINGS, "max_steps": 100_000, "max_time": 0.5, "checkpoint__every_steps": 1}
    monkeypatch.setattr(sys, "argv", ["train", *arguments(data, run, **changes)])
    with pytest.raises(Stopped) as stop:
        train_here(data, run, **changes)
    command = str(stop.value).partition("Continue with: ")[2]
    state = read_checkpoint(run).state
    # As printed, as `tools.checkpoint info` and `tools.run status` show it.
    assert state["command"] == command
    again = compose(shlex.split(command)[3:]).run
    spent = state["clock"]["train"] + sum(state["clock"]["paused"].values())
    assert again.max_time is not None
    assert again.max_time - spent > 0.1
