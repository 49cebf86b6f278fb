"""What a run says, where it goes, and that no broken destination stops it."""

from __future__ import annotations

import errno
import io
import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_scale.reporting import Reporter, Sink, open_reporter, render_banner
from hrm_scale.reporting.console import LineSink, console_sink
from hrm_scale.reporting.jsonl import JsonlSink, cut_after
from hrm_scale.reporting.lines import duration, eval_line, train_line

VALUES = {
    "train/lm_loss": 0.43214,
    "train/exact_accuracy": 0.912,
    "train/accuracy": 0.987,
    "train/q_halt_accuracy": 0.5,
    "train/steps": 3.2,
    "train/lr": 1e-4,
    "perf/examples_per_second": 1234.4,
    "perf/gflops": 310.2,
    "perf/peak_memory_bytes": 3 * 2**30,
    "perf/data_wait": 0.021,
    "perf/eta_seconds": 3725.0,
}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_train_line_format() -> None:
    assert train_line(1200, 10000, VALUES) == (
        "step 1200/10000 | loss 0.4321 | exact 0.9120 | cells 0.9870 | lr 1.00e-04 | 1234 ex/s"
        " | 310 GFLOP/s | mem 3.00 GiB | data wait 2% | ETA 1h02m"
    )
    with_mfu = train_line(1, None, {"perf/mfu": 0.412, "perf/gflops": 310.0})
    assert with_mfu == "step 1 | MFU 41.2%"


def test_eval_line_has_exact_accuracy_first() -> None:
    values = {
        "eval/accuracy": 0.5,
        "train/lm_loss": 1.0,
        "eval/exact_accuracy": 0.25,
        "eval/baseline/all_pad/exact_accuracy": 0.0,
        "eval/baseline/copy_input/exact_accuracy": 0.125,
        "eval/count": 100.0,
    }
    exact, cells = "exact 0.2500 (best baseline 0.1250)", "cells 0.5000"
    assert eval_line(7, values) == f"eval at step 7 | {exact} | {cells} | 100 examples"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.6, "1m00s"), (187, "3m07s"), (3599.7, "1h00m"), (183600, "2d03h"), (-5, "0s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_lines_when_not_a_terminal() -> None:
    stream = io.StringIO()
    sink = console_sink("auto", stream, {"TERM": "xterm"})
    sink.start(0, 50)
    sink.metrics(10, VALUES | {"eval/accuracy": 0.5})
    sink.advance(11)
    sink.message("careful", warning=True)
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("step 10/50 | loss")
    assert lines[1:] == ["eval at step 10 | cells 0.5000", "warning: careful"]
    assert "\x1b" not in stream.getvalue()


def test_quiet_still_warns() -> None:
    stream = io.StringIO()
    sink = console_sink("quiet", stream, {})
    sink.metrics(10, VALUES)
    sink.message("hello", warning=False)
    sink.message("careful", warning=True)
    assert stream.getvalue() == "warning: careful\n"


@pytest.mark.parametrize(
    ("mode", "environ", "bar"),
    [
        ("auto", {"TERM": "xterm-256color"}, True),
        ("bar", {"TERM": "xterm-256color", "NO_COLOR": "1"}, True),
        ("line", {"TERM": "xterm-256color"}, False),
        ("auto", {"TERM": "dumb"}, False),
    ],
)
def test_bar_on_a_terminal(
    mode: str, environ: dict[str, str], bar: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in environ.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("COLUMNS", "120")
    stream = Terminal()
    sink = console_sink(mode, stream, environ)  # type: ignore[arg-type]
    sink.start(5, 50)
    sink.message("a [bold]word[/bold]", warning=False)
    sink.metrics(10, VALUES)
    sink.message("careful", warning=True)
    sink.close(0, "")
    text = stream.getvalue()
    assert ("━" in text) is bar
    assert "10/50" in text
    assert "ETA 1h02m" in text
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    assert "a [bold]word[/bold]" in plain  # text is never read as markup
    assert "warning: careful" in plain
    coloured = re.search(r"\x1b\[[0-9;]*m", text) is not None
    assert coloured is (bar and "NO_COLOR" not in environ)


def test_a_broken_sink_is_dropped_with_one_warning() -> None:
    class Broken(Sink):
        name = "broken"

        def metrics(self, step: int, values: object) -> None:
            raise OSError(errno.EIO, "Input/output error")

        def message(self, text: str, *, warning: bool) -> None:
            raise RuntimeError("no")

    stream = io.StringIO()
    reporter = Reporter([Broken(), LineSink(stream)])
    reporter.start(0, 2)
    reporter.metrics(1, {"train/lm_loss": 1.0})
    reporter.metrics(2, {"train/lm_loss": 1.0})
    reporter.say("bye")
    reporter.close()
    text = stream.getvalue()
    assert text.count("warning: broken") == 1
    assert "going on without it" in text
    assert "step 2/2" in text
    assert text.endswith("bye\n")


def test_interrupt_is_not_swallowed() -> None:
    class Interrupted(Sink):
        def metrics(self, step: int, values: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Reporter([Interrupted()]).metrics(1, {})


def write(path: Path, step_range: range, resume: int | None) -> None:
    sink = JsonlSink(path, resume)
    for step in step_range:
        sink.metrics(step, {"train/lm_loss": 1 / step, "train/steps": step})
        if step % 4 == 0:
            sink.metrics(step, {"eval/accuracy": float("nan")})
    sink.close(0, "")


@settings(deadline=None, max_examples=25)
@given(killed=st.integers(1, 12), saved=st.integers(0, 12), torn=st.integers(0, 20))
def test_resumed_jsonl_equals_an_uninterrupted_one(
    killed: int, saved: int, torn: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("j")
    write(folder / "whole.jsonl", range(1, 13), None)
    path = folder / "metrics.jsonl"
    write(path, range(1, killed + 1), None)
    with open(path, "ab") as stream:  # a line cut off by the kill
        stream.write(b'{"step": 1, "train/lm_loss": 0.123'[:torn])
    restored = min(saved, killed)
    write(path, range(restored + 1, 13), restored)
    assert path.read_bytes() == (folder / "whole.jsonl").read_bytes()


def test_cut_does_not_touch_a_file_that_needs_none(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert cut_after(path, 3) == 0
    write(path, range(1, 4), None)
    inode = path.stat().st_ino
    assert cut_after(path, 3) == 0
    assert path.stat().st_ino == inode
    assert cut_after(path, 2) == 1
    assert cut_after(path, None) == 2
    assert path.read_bytes() == b""


def test_evaluations_the_run_does_again_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for evaluations, kept in ((None, 3), (2, 3), (1, 2), (0, 1)):
        sink = JsonlSink(path, None)
        for step in (3, 4):
            sink.metrics(step, {"eval/accuracy": 0.5})
        sink.metrics(4, {"train/lm_loss": 1.0})
        sink.metrics(4, {"eval/accuracy": 0.75})
        sink.close(0, "")
        assert cut_after(path, 4, evaluations) == 3 - kept
        steps = [json.loads(line)["step"] for line in path.read_text().splitlines()]
        assert steps == [3, *[4] * kept]


def test_jsonl_cut_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, range(1, 4), None)
    before = path.read_bytes()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            cut_after(path, 1)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_jsonl_is_strict_json_and_flushed_at_once(tmp_path: Path) -> None:
    sink = JsonlSink(tmp_path / "m.jsonl", None)
    sink.metrics(3, {"train/lm_loss": float("inf"), "train/lr": 1e-4, "train/steps": 2})
    sink.sync()
    line = (tmp_path / "m.jsonl").read_text()
    assert json.loads(line, parse_constant=pytest.fail) == {
        "step": 3,
        "train/lm_loss": None,
        "train/lr": 1e-4,
        "train/steps": 2,
    }
    sink.close(0, "")


def test_jsonl_on_a_full_disk_keeps_its_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    path = tmp_path / "m.jsonl"
    reporter = Reporter([JsonlSink(path, None), LineSink(stream)])
    reporter.metrics(1, {"train/steps": 1})
    real = os.write

    def half_then_full(descriptor: int, data: bytes) -> int:
        if len(data) > 5:
            return real(descriptor, data[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half_then_full)
        reporter.metrics(2, {"train/steps": 22222})
        assert path.read_text().count("\n") == 1  # nothing half-written
        reporter.metrics(3, {"train/steps": 3})
    assert stream.getvalue().count("warning: metrics.jsonl: [Errno 28] No space left") == 1
    reporter.metrics(4, {"train/steps": 4})
    reporter.close()
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3, 4]


def test_log_txt_is_the_console_text_over_restarts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for resume in (None, 5):
        reporter = open_reporter(tmp_path, resume_step=resume, wandb_mode="off")
        reporter.say("banner")
        reporter.start(resume or 0, 9)
        reporter.metrics(5 if resume is None else 6, {"train/lm_loss": 0.5})
        reporter.close()
    shown = capsys.readouterr().out
    assert shown == "banner\nstep 5/9 | loss 0.5000\nbanner\nstep 6/9 | loss 0.5000\n"
    assert (tmp_path / "log.txt").read_text() == shown
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2


def test_other_ranks_are_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reporter = open_reporter(tmp_path / "run", resume_step=None, is_first=False)
    reporter.start(0, 1)
    reporter.warn("x")
    reporter.metrics(1, VALUES)
    reporter.close()
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "run").exists()


def test_banner_aligns_and_wraps() -> None:
    rows = [
        ("device", "cpu", "no CUDA device found"),
        ("attention", "sdpa", "flash-attn is not importable " * 4),
        ("run", "x" * 40, "given"),
        ("seed", "0", ""),
    ]
    lines = render_banner("title", rows, width=80).splitlines()
    assert lines[0] == "title"
    assert lines[1] == f"  {'device':<9}  {'cpu':<32}  no CUDA device found"
    assert lines[-1] == f"  {'seed':<9}  0"
    assert lines[-3] == f"  {'run':<9}  {'x' * 40}"
    assert lines[-2].strip() == "given"
    assert max(map(len, lines)) <= 80
