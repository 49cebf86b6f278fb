"""A disk that has room for one checkpoint and a half: the run ends well, and nothing is lost."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.runs import arguments, call, tensors_of, train_here
from hrm_scale.checkpoint import latest_valid, read_checkpoint
from tests.support.small_disk import small_disk

pytestmark = pytest.mark.slow
SETTINGS: dict[str, Any] = {
    "max_steps": 30,
    "checkpoint__every_steps": 5,
    "checkpoint__keep_last": 1,
    "evaluation__limit": 8,
    "log__console": "line",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_online(tmp_path_factory.mktemp("disk") / "data", examples=100)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run with all the room it wants."""
    run = tmp_path_factory.mktemp("whole") / "run"
    done = call("hrm_scale.train", *arguments(data, run, **SETTINGS))
    assert done.returncode == 0, done.stderr
    return run


@pytest.fixture
def disk(whole: Path, tmp_path: Path) -> Iterator[Path]:
    size = read_checkpoint(whole).manifest.total_bytes * 3 // 2
    with small_disk(tmp_path / "disk", size) as target:
        yield target


def test_the_run_ends_well(data: Path, whole: Path, disk: Path) -> None:
    run = disk / "run"
    # The last save, and that alone, is one at once.
    settings = {**SETTINGS, "checkpoint__asynchronous": "true"}
    done = call("hrm_scale.train", *arguments(data, run, **settings))
    assert done.returncode == 0, done.stderr
    told = done.stdout + done.stderr
    assert "Traceback" not in told
    assert "little disk space for checkpoints" in told
    assert "checkpoint of step 10 not saved" in told
    assert "no space left" in told
    assert "The weights alone are in" in told
    # The old one verifies, and more steps go on from it.
    path, refusals = latest_valid(run)
    assert path == run / "checkpoints" / "step-00000005"
    assert refusals == []
    info = call("tools.checkpoint", "info", run)
    assert info.returncode == 0, info.stdout + info.stderr
    assert "step-00000005  valid" in info.stdout
    # What was learned is there, to the bit, and is what an evaluation takes.
    weights = tensors_of(run)
    expected = tensors_of(whole)
    assert read_checkpoint(run).step == 30
    assert set(weights) == {name for name in expected if name.startswith(("model/", "puzzle_"))}
    for name, value in weights.items():
        assert value.equal(expected[name]), name
    evaluated = call("hrm_scale.evaluate", f"checkpoint={run}", f"output_dir={disk.parent}")
    assert evaluated.returncode == 0, evaluated.stderr
    # Started again once there is room, it goes on and leaves a whole checkpoint.
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True, timeout=20)
    again = call("hrm_scale.train", *arguments(data, run, **settings))
    assert again.returncode == 0, again.stderr
    assert [p.name for p in sorted((run / "checkpoints").glob("[sw]*"))] == ["step-00000030"]
    ended = tensors_of(run)
    assert all(value.equal(expected[name]) for name, value in ended.items())


def test_the_warning_comes_before_training(data: Path, whole: Path, disk: Path) -> None:
    done = call("hrm_scale.train", *arguments(data, disk / "run", **{**SETTINGS, "max_steps": 1}))
    told = done.stdout + done.stderr
    assert told.index("little disk space") < told.index("step 1/1")


def test_with_room_nothing_is_said(data: Path, tmp_path: Path) -> None:
    train_here(data, tmp_path / "run", **{**SETTINGS, "max_steps": 5, "log__console": "quiet"})
    assert "warning" not in (tmp_path / "run" / "log.txt").read_text()
