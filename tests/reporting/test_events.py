"""events.jsonl, going back in the same process, and how a run's end is told."""

from __future__ import annotations

import errno
import io
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributed import DistBackendError, DistNetworkError

from hrm_scale import train
from hrm_scale.base.errors import CheckpointError, NonFiniteError, PeerLost, Stopped
from hrm_scale.engine.fate import lost_peers
from hrm_scale.reporting import Reporter, Sink, open_reporter
from hrm_scale.reporting.console import LineSink
from hrm_scale.reporting.events import EventsSink
from hrm_scale.reporting.jsonl import JsonlSink
from hrm_scale.reporting.line_file import LineFile
from hrm_scale.reporting.wandb_sink import WandbSink


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_with_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    for resume in (None, 5):
        reporter = open_reporter(
            tmp_path, resume_step=resume, wandb_mode="off", console_mode="quiet"
        )
        reporter.start(resume or 0, 9)
        reporter.warn("narrow\nand a second line")
        reporter.say("not an event")
        for step in range((resume or 0) + 1, 10):
            reporter.metrics(step, {"train/steps": step})
        reporter.advance(8)
        reporter.close(75 if resume is None else 0, "stopped\nmore")
    found = events(tmp_path / "events.jsonl")
    assert [event["event"] for event in found] == ["start", "warning", "end"] * 2
    assert [event["step"] for event in found] == [0, 0, 8, 5, 5, 8]
    start, warning, end = found[:3]
    assert start["total_steps"] == 9
    assert (start["pid"], start["processes"]) == (os.getpid(), 4)
    assert start["host"]
    assert warning["text"] == r"narrow\nand a second line"
    assert (end["exit_code"], end["text"]) == (75, "stopped")
    assert all(abs(event["time"] - found[0]["time"]) < 60 for event in found)


@given(torn=st.binary(min_size=1, max_size=30).filter(lambda data: b"\n" not in data))
@settings(deadline=None, max_examples=25)
def test_a_torn_line_spoils_no_other(torn: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("e") / "events.jsonl"
    path.write_bytes(b'{"step": 1}\n' + torn)
    file = LineFile(path)
    file.append({"step": 2})
    file.append({"step": 3})
    file.close()
    assert path.read_bytes() == b'{"step": 1}\n' + torn + b'\n{"step": 2}\n{"step": 3}\n'


def test_a_full_disk_ends_nothing_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    path = tmp_path / "events.jsonl"

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)  # not even room for the file's name
        reporter = Reporter([EventsSink(path), LineSink(stream)])
        reporter.start(0, 3)
        patch.undo()
        patch.setattr(os, "write", full)
        reporter.metrics(1, {"train/steps": 1})
        reporter.warn("careful")
    assert path.read_bytes() == b""
    reporter.metrics(2, {"train/steps": 2})
    reporter.close(0, "done")
    assert stream.getvalue().count("warning: events.jsonl: [Errno 28] No space left") == 1
    kinds = [(event["event"], event["step"]) for event in events(path)]
    assert kinds[0] == ("start", 0)
    assert kinds[-2:] == [("warning", 1), ("end", 2)]


def test_nothing_is_written_after_the_end(tmp_path: Path) -> None:
    """A sink that fails while it is closed makes a warning: it must not land in another file that
    has got the number of the closed one."""

    class Broken(Sink):
        name = "broken"

        def close(self, exit_code: int, text: str) -> None:
            raise RuntimeError("cannot")

    reporter = Reporter([EventsSink(tmp_path / "events.jsonl"), Broken()])
    reporter.start(0, 1)
    reporter.close(0, "done")
    assert [event["event"] for event in events(tmp_path / "events.jsonl")] == ["start", "end"]
    with open(tmp_path / "other", "w") as other:
        other.write("x")
    assert (tmp_path / "other").read_text() == "x"


def test_going_back_in_the_same_process(tmp_path: Path) -> None:
    reporter = open_reporter(tmp_path, resume_step=None, wandb_mode="off", console_mode="quiet")
    reporter.start(0, 9)
    for step in range(1, 8):
        reporter.metrics(step, {"train/lm_loss": float(step)})
    inode = (tmp_path / "metrics.jsonl").stat().st_ino
    reporter.rewind(4)
    assert [line["step"] for line in events(tmp_path / "metrics.jsonl")] == [1, 2, 3, 4]
    for step in range(5, 10):
        reporter.metrics(step, {"train/lm_loss": 100.0 + step})
    reporter.close(0, "done")
    lines = events(tmp_path / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(1, 10))
    assert [line["train/lm_loss"] for line in lines[3:6]] == [4.0, 105.0, 106.0]
    assert (tmp_path / "metrics.jsonl").stat().st_ino == inode  # `tail -f` goes on
    back = next(event for event in events(tmp_path / "events.jsonl") if "from_step" in event)
    assert (back["event"], back["step"], back["from_step"]) == ("rollback", 4, 7)
    assert (tmp_path / "log.txt").read_text().count("step 5/9") == 2  # the log is what happened


def test_going_back_while_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.jsonl"
    reporter = Reporter([JsonlSink(path, None)])
    for step in (1, 2, 3):
        reporter.metrics(step, {"train/steps": step})

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        reporter.metrics(4, {"train/steps": 4})
        reporter.rewind(2)
        reporter.metrics(3, {"train/steps": 33})
    reporter.metrics(4, {"train/steps": 44})
    reporter.close()
    assert [line["train/steps"] for line in events(path)] == [1, 2, 33, 44]


def test_wandb_is_not_told_steps_twice(tmp_path: Path) -> None:
    class Run:
        def __init__(self) -> None:
            self.steps: list[int] = []

        def log(self, values: dict[str, float], step: int) -> None:
            self.steps.append(step)

    sink = WandbSink(tmp_path, mode="offline", project="p", run_name="n", config={})
    assert sink.rewind(3) == []  # not started: nothing to say
    sink._run = run = Run()
    for step in (5, 10, 10):
        sink.metrics(step, {})
    note = sink.rewind(6)
    assert len(note) == 1
    assert "steps 7 to 10" in note[0]
    for step in (5, 10, 15, 15):
        sink.metrics(step, {})
    assert run.steps == [5, 10, 10, 15, 15]


GLOO = (
    "[/build/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:8086. This is"
    " typically caused by a remote worker crashing.\nCheck the logs"
)


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (RuntimeError(GLOO), True),
        (DistBackendError("NCCL error in: x.cpp:1, remote process exited\nLast error:"), True),
        (DistNetworkError("The client socket has timed out"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_a_process_that_is_gone_is_one_line(error: RuntimeError, lost: bool) -> None:
    with pytest.raises(PeerLost if lost else RuntimeError) as caught, lost_peers():
        raise error
    if isinstance(caught.value, PeerLost):
        assert caught.value.exit_code == 7
        assert len(str(caught.value).splitlines()) == 1
        assert "pair.cc" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (None, 0, "done"),
        (Stopped("signal SIGTERM: stopped after step 3"), 75, "signal SIGTERM: stopped"),
        (NonFiniteError("loss is nan at step 7"), 6, "loss is nan at step 7"),
        (CheckpointError("last save failed"), 4, "last save failed"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError("division by zero"), 1, "ZeroDivisionError: division by zero"),
        (RuntimeError(GLOO), 7, "is gone or does not answer (Connection closed by peer"),
        (OSError("s3://AKIAABCDEFGHIJKLMNOP:s3cr3tvalue@bucket gone"), 1, "bucket gone"),
    ],
)
def test_how_it_ended_is_recorded(
    error: BaseException | None,
    code: int,
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = MagicMock()
    trainer.stop.__exit__.return_value = False
    trainer.stop.interrupted = False
    trainer.parts.engine.rank = 0
    trainer.run.side_effect = error
    trainer.parts.reporter = Reporter([EventsSink(tmp_path / "events.jsonl")])
    monkeypatch.setattr("hrm_scale.training.build.build_trainer", lambda *_: trainer)
    resolved: Any = SimpleNamespace(run=None, presets={})
    if error is None:
        train.run(resolved)
    else:
        with pytest.raises(type(error)):
            train.run(resolved)
    trainer.parts.loader.close.assert_called_once_with()  # nothing is downloaded for nobody
    [end] = events(tmp_path / "events.jsonl")
    assert (end["event"], end["exit_code"]) == ("end", code)
    assert text in end["text"]
    assert "s3cr3t" not in end["text"]
