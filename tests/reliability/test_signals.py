"""Requests to stop, at every moment and to one process of several: each ends with exit status 75, a
valid checkpoint, and the command to go on with."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.reliability import ways
from benchmarks.reliability.ways import DDP_2, ONE, differences, start_checkpoint, train, write_data
from benchmarks.tiny.runs import ROOT, arguments, environment, saved_steps, stop_lines
from hrm_scale.checkpoint import latest_valid
from tests.support.started import Hook, Started

pytestmark = [pytest.mark.slow, pytest.mark.multi]

STEPS = 60
# Nothing is saved but on request and at the end. An evaluation of 40 batches, every 30 steps.
SETTINGS: dict[str, Any] = {
    "global_batch_size": 16,
    "evaluation__batch_size": 2,
    "evaluation__limit": "null",
    "evaluation__every_steps": 30,
    "checkpoint_every_eval": "false",
    "checkpoint__every_minutes": "null",
    "log__every": 7,
    "max_steps": STEPS,
}
INTERRUPTED_AGAIN = 10.0  # seconds within which a second Ctrl-C ends a run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("signals") / "data")


@pytest.fixture(scope="module")
def start(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start_checkpoint(data, tmp_path_factory.mktemp("start"))


@pytest.fixture(scope="module")
def whole(
    data: Path, start: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[int], Path]:
    """The undisturbed run of so many processes."""
    made: dict[int, Path] = {}

    def run(ranks: int) -> Path:
        if ranks not in made:
            made[ranks] = tmp_path_factory.mktemp("whole") / "run"
            way = DDP_2 if ranks else ONE
            assert train(way, data, made[ranks], **SETTINGS, resume=start)
        return made[ranks]

    return run


def line(data: Path, run: Path, start: Path, **changes: Any) -> list[str]:
    """The command line of a run that goes on from `start`, under which the checkpoint lies in the
    run folder: the same command then goes on from wherever the run is."""
    if not run.exists():
        shutil.copytree(start, run / "checkpoints" / start.name)
    return arguments(data, run, **{**ways.SETTINGS, **SETTINGS, **changes})


def assert_stopped(run: Path, output: str, reason: str, program: str) -> int:
    """One valid new checkpoint and one line that says so; the step."""
    (message,) = stop_lines(output)
    steps = saved_steps(run)
    last = steps[-1]
    # That of the start, and one more; before the first step it is the same.
    assert steps in ([1, last], [1])
    newest, refusals = latest_valid(run)
    assert newest is not None
    assert (int(newest.name[5:]), refusals) == (last, [])
    assert f"{reason}: stopped after step {last}, saved in {newest}" in message
    command = shlex.split(message.split("Continue with: ")[1])
    assert command[:3] == ["python", "-m", program]
    assert f"checkpoint_path={run}" in command
    return last


# --- several processes ----------------------------------------------------------------------------


def test_sigterm_to_one_rank_stops_both_and_the_end_is_the_same(
    data: Path, start: Path, whole: Callable[[int], Path], tmp_path: Path
) -> None:
    """With a launcher, whose command the message gives: it is typed as it stands."""
    run = tmp_path / "run"
    settings = line(data, run, start)
    process = subprocess.Popen(
        [sys.executable, "-m", "hrm_scale.launch", "--processes", "2", *settings],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        end = time.monotonic() + 120
        while not _lines(run) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        assert process.poll() is None
        (other,) = (
            child
            for child in psutil.Process(process.pid).children()
            if child.environ().get("RANK") == "1"
        )
        other.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 75, err
    last = assert_stopped(run, err, "signal SIGTERM", "hrm_scale.launch")
    assert last < STEPS
    assert "Traceback" not in err

    command = shlex.split(stop_lines(err)[0].split("Continue with: ")[1])
    done = subprocess.run(
        [sys.executable, *command[1:]],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert differences(whole(2), run) == []


def _lines(run: Path) -> int:
    file = run / "metrics.jsonl"
    return len(file.read_text().splitlines()) if file.exists() else 0


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("SIGUSR1", "signal SIGUSR1"),
        ("SIGINT", "signal SIGINT"),
        ("STOP", "file STOP in the run folder"),
        ("max_time", "time limit max_time reached"),
    ],
)
def test_two_ranks_stop_together(
    how: str, reason: str, data: Path, start: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    limit = {"max_time": "5s"} if how == "max_time" else {}
    # Without evaluations: the evaluation of an end is not what is asked about here.
    changes = {"max_steps": 100_000, "evaluation__every_steps": "null", **limit}
    started = Started(line(data, run, start, **changes), tmp_path / "out", ranks=2)
    started.wait_for(lambda: _lines(run) > 0)
    if how == "STOP":
        (run / "STOP").touch()
    elif how != "max_time":
        started.signal(signal.Signals[how], rank=1)
    assert started.codes() == [75, 75], started.output()
    output = started.output()
    assert_stopped(run, output, reason, "hrm_scale.train")
    assert ("max_time=10s" in output) == (how == "max_time")
    assert "Traceback" not in started.output()
    assert not (run / "STOP").exists()


def test_a_second_ctrl_c_ends_two_ranks_at_once(data: Path, start: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = line(data, run, start, evaluation__every_steps=2)
    started = Started(settings, tmp_path / "out", ranks=2, hook=_at_a_slow_batch)
    started.wait_for_moment()
    _interrupt_twice(started)
    assert saved_steps(run) == [1]


# --- moments of one process -----------------------------------------------------------------------


def _at_a_slow_batch(moment: Path) -> None:
    """The second batch of the first evaluation marks the moment, and takes a while."""
    from hrm_scale.evaluation import evaluate

    real: Any = evaluate.make_query
    seen = 0

    def slow(*args: Any, **options: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == 2:
            moment.touch()
            time.sleep(3)
        return real(*args, **options)

    evaluate.make_query = slow  # type: ignore[assignment]


def _at_a_slow_save(moment: Path) -> None:
    """The third file of the first save marks the moment, and each takes a while."""
    real, seen = os.fsync, 0

    def slow(number: int) -> None:
        nonlocal seen
        seen += 1
        if seen == 3:
            moment.touch()
        time.sleep(0.2)
        real(number)

    os.fsync = slow  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("name", "hook", "changes"),
    [
        ("SIGUSR1", _at_a_slow_batch, {}),
        ("SIGINT", _at_a_slow_save, {"checkpoint__every_steps": 25, "checkpoint__keep_last": 9}),
    ],
    ids=["evaluation", "save"],
)
def test_a_request_in_the_middle_of(
    name: str,
    hook: Hook,
    changes: dict[str, Any],
    data: Path,
    start: Path,
    whole: Callable[[int], Path],
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    settings = line(data, run, start, **changes)
    started = Started(settings, tmp_path / "out", hook=hook)
    started.wait_for_moment()
    started.signal(signal.Signals[name])
    assert started.codes() == [75], started.output()
    if hook is _at_a_slow_save:
        # The save that was under way, and that of the step at which the request was heard.
        assert 25 in saved_steps(run)
        for step in saved_steps(run)[1:-1]:
            shutil.rmtree(run / "checkpoints" / f"step-{step:08d}")
    last = assert_stopped(run, started.output(), f"signal {name}", "hrm_scale.train")
    if hook is _at_a_slow_batch:
        assert last == 30
    again = Started(settings, tmp_path / "out")
    assert again.codes() == [0], again.output()
    assert differences(whole(0), run) == []


def test_a_request_in_the_last_evaluation(
    data: Path, start: Path, whole: Callable[[int], Path], tmp_path: Path
) -> None:
    """All steps are done and saved: the second start has the evaluation left to do."""
    run = tmp_path / "run"
    settings = line(data, run, start, evaluation__every_steps="null")
    started = Started(settings, tmp_path / "out", hook=_at_a_slow_batch)
    started.wait_for_moment()
    started.signal(signal.SIGTERM)
    assert started.codes() == [75], started.output()
    assert assert_stopped(run, started.output(), "signal SIGTERM", "hrm_scale.train") == STEPS
    assert not any("eval/count" in text for text in _texts(run))
    again = Started(settings, tmp_path / "out")
    assert again.codes() == [0], again.output()
    assert _texts(run)[-1] == _texts(whole(0))[-1]


def _texts(run: Path) -> list[str]:
    return (run / "metrics.jsonl").read_text().splitlines()


@pytest.mark.parametrize("hook", [_at_a_slow_batch, _at_a_slow_save], ids=["evaluation", "save"])
def test_a_second_ctrl_c_leaves_at_once_in_the_middle_of(
    hook: Hook, data: Path, start: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    changes = {"checkpoint__every_steps": 10, "evaluation__every_steps": 5, "max_steps": 20}
    settings = line(data, run, start, **changes)
    started = Started(settings, tmp_path / "out", hook=hook)
    started.wait_for_moment()
    _interrupt_twice(started)
    newest, refusals = latest_valid(run)
    assert newest is not None
    assert refusals == []
    again = Started(settings, tmp_path / "out")
    assert again.codes() == [0], again.output()
    assert saved_steps(run)[-1] == 20
    assert list((run / "checkpoints").glob(".*")) == []


def _interrupt_twice(started: Started) -> None:
    """As at a terminal: the whole group of processes hears it."""
    for _ in range(2):
        time.sleep(0.2)
        for process in started.processes:
            os.killpg(int(process.pid or 0), signal.SIGINT)
    begun = time.monotonic()
    codes = started.codes()
    assert time.monotonic() - begun < INTERRUPTED_AGAIN
    assert codes == [130] * len(codes), started.output()
    assert "Traceback" not in started.output()


# --- compilation ----------------------------------------------------------------------------------


def _at_a_slow_compiler(moment: Path) -> None:
    """Tracing as ever; what would be compiled takes a while and stays as it is."""
    from torch._inductor import compile_fx

    def slow(graph: Any, *_: Any, **__: Any) -> Any:
        moment.touch()
        time.sleep(0.3)
        return graph.forward

    compile_fx.compile_fx = slow  # type: ignore[assignment]


def test_a_request_while_it_compiles(data: Path, start: Path, tmp_path: Path) -> None:
    """...the first step, which is given up: nothing is lost."""
    run = tmp_path / "run"
    settings = line(data, run, start, engine__compile="true")
    started = Started(settings, tmp_path / "out", hook=_at_a_slow_compiler)
    started.wait_for_moment()
    started.signal(signal.SIGTERM)
    assert started.codes() == [75], started.output()
    assert assert_stopped(run, started.output(), "signal SIGTERM", "hrm_scale.train") == 1
    assert "Traceback" not in started.output()


def test_a_request_while_the_c_compiler_works(
    data: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    run = tmp_path / "run"
    started = Started(line(data, run, start, engine__compile="true"), tmp_path / "out")

    def at_work() -> bool:
        try:
            family = psutil.Process(started.processes[0].pid).children(recursive=True)
            return any(child.name().startswith("cc1plus") for child in family)
        except psutil.NoSuchProcess:
            return False

    started.wait_for(at_work)
    # As at a terminal: the compiler hears it too, and fails.
    os.killpg(int(started.processes[0].pid or 0), signal.SIGINT)
    assert started.codes() == [75], started.output()
    assert assert_stopped(run, started.output(), "signal SIGINT", "hrm_scale.train") == 1
    assert "Traceback" not in started.output()
