"""`python -m tools.run status`: what it concludes from what a run folder holds."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_scale.base.errors import ConfigError
from hrm_scale.base.machine import boot_clock
from hrm_scale.checkpoint.manifest import Manifest
from hrm_scale.checkpoint.tensor_file import FileEntry
from tools.run.cli import main
from tools.run.report import as_table, as_text, run_names
from tools.run.status import EXIT_OF_STATE, Status, examine

COMMAND = "python -m hrm_scale.train experiment=demo"


def write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def start(step: int = 0, ago: float = 1000, **more: Any) -> dict[str, Any]:
    record = {
        "time": time.time() - ago,
        "event": "start",
        "step": step,
        "total_steps": 100,
        "pid": 1,
    }
    return {**record, "host": socket.gethostname(), "processes": 1, **more}


def end(code: int, text: str, step: int = 40, ago: float = 100) -> dict[str, Any]:
    return {
        "time": time.time() - ago,
        "event": "end",
        "step": step,
        "exit_code": code,
        "text": text,
    }


def warning(text: str, step: int = 5) -> dict[str, Any]:
    return {"time": time.time() - 500, "event": "warning", "step": step, "text": text}


def write_checkpoint(run: Path, step: int, size: int = 10) -> Path:
    folder = run / "checkpoints" / f"step-{step:08d}"
    folder.mkdir(parents=True)
    state = json.dumps({"command": COMMAND, "sums": {"x": float("nan")}}).encode()
    files = {"model.safetensors": b"x" * size, "state.json": state}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    entries = {name: FileEntry(len(data), "0" * 64) for name, data in files.items()}
    (folder / "manifest.json").write_bytes(Manifest(step, entries).to_json())
    return folder


def write_heartbeat(run: Path, **changes: Any) -> None:
    record = {
        "time": time.time(),
        "progress_time": time.time(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": time.time() - 900,
        "step": 43,
        "total_steps": 100,
        "phase": "training",
        "eta_seconds": 57.0,
    }
    (run / "heartbeat.json").write_text(json.dumps({**record, **changes}))


def make_run(run: Path, events: list[dict[str, Any]] | None = None) -> Path:
    """A run that has trained 40 of 100 steps, and been evaluated twice."""
    metrics: list[dict[str, Any]] = [
        {"step": step, "train/lm_loss": 1.0, "perf/examples_per_second": 640.0}
        for step in range(10, 50, 10)
    ]
    metrics[3]["perf/eta_seconds"] = 120.0
    metrics.insert(2, {"step": 20, "eval/exact_accuracy": 0.75})
    metrics.append({"step": 40, "eval/exact_accuracy": 0.5})
    write_lines(run / "metrics.jsonl", metrics)
    if events is not None:
        write_lines(run / "events.jsonl", events)
    write_checkpoint(run, 20)
    write_checkpoint(run, 40)
    (run / ".lock").touch()
    os.utime(run / ".lock", (time.time() - 950, time.time() - 950))
    return run


@contextmanager
def held(run: Path) -> Iterator[None]:
    with open(run / ".lock") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def test_running(tmp_path: Path) -> None:
    run = make_run(tmp_path, [start()])
    write_heartbeat(run)
    with held(run):
        before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
        status = examine(run)
        assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    assert (status.state, status.phase) == ("running", "training")
    assert (status.step, status.total_steps, status.eta_seconds) == (43, 100, 57.0)
    assert (status.best_exact_accuracy, status.best_step) == (0.75, 20)
    assert (status.latest_exact_accuracy, status.latest_evaluation_step) == (0.5, 40)
    assert (status.restarts, status.exit_code, status.warnings) == (0, None, 0)
    text = as_text(status)
    assert text.startswith(f"{run}: running, training\n")
    assert "step 43 of 100 (43 %)" in text
    assert "about 57s\n" in text
    assert "step-00000040" in text
    assert "To go on" not in text
    with pytest.raises(BlockingIOError), held(run), held(run):  # the test's own lock is a lock
        pass


def test_stalled(tmp_path: Path) -> None:
    run = make_run(tmp_path, [start()])
    write_heartbeat(run, progress_time=time.time() - 301)
    with held(run):
        assert examine(run).state == "stalled"
        write_heartbeat(run, progress_time=time.time() - 200)
        assert examine(run).state == "running"


def test_stacks_of_a_stall_are_shown(tmp_path: Path) -> None:
    run = make_run(tmp_path, [start()])
    (run / "stacks").mkdir()
    write_heartbeat(run, progress_time=time.time() - 301)
    with held(run):
        assert f"{run / 'stacks'}: what each" in " ".join(as_text(examine(run)).split())
        write_heartbeat(run)
        assert "what each" not in as_text(examine(run))


def test_steps_left_out_are_counted(tmp_path: Path) -> None:
    run = make_run(tmp_path, [start()])
    with open(run / "metrics.jsonl", "a") as stream:
        stream.write('{"step": 43, "train/lm_loss": 1.0, "guard/skipped": 3.0}\n')
    status = examine(run)
    assert status.skipped_steps == 3
    assert "3 steps, not finite" in as_text(status)


def test_a_process_that_goes_on_has_not_lost_its_steps(tmp_path: Path) -> None:
    run = make_run(tmp_path, [start(), end(75, "asked"), start(40)])
    write_heartbeat(run, step=0, phase="starting", eta_seconds=None)
    with held(run):
        assert examine(run).step == 40


def test_starting_again_is_not_judged_by_the_old_heartbeat(tmp_path: Path) -> None:
    run = make_run(tmp_path, [start(), end(75, "asked")])
    write_heartbeat(run, time=time.time() - 5000, progress_time=time.time() - 5000)
    os.utime(run / ".lock", (time.time() - 2, time.time() - 2))
    with held(run):
        status = examine(run)
    assert (status.state, status.phase) == ("running", "starting")


@pytest.mark.parametrize(
    ("events", "state", "code"),
    [
        ([start(), end(0, "done")], "finished", 0),
        ([start(), end(75, "signal SIGTERM: stopped after step 40")], "stopped", 75),
        ([start(), end(6, "loss is nan at step 41")], "failed", 1),
        ([start()], "died", 1),
        ([start(), end(75, "x"), start(40)], "died", 1),
        ([start(), end(75, "x"), start(40), end(0, "done")], "finished", 0),
        ([start(), warning("w"), end(0, "done")], "finished", 0),
    ],
)
def test_ended(
    events: list[dict[str, Any]],
    state: str,
    code: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = make_run(tmp_path, events)
    write_heartbeat(run)  # stays when the process dies
    assert main(["status", str(run)]) == code
    text = capsys.readouterr().out
    assert text.splitlines()[0].startswith(f"{run}: {state}")
    assert (COMMAND in text) == (state not in ("finished", "running"))
    assert main(["status", "--json", str(run)]) == code
    record = json.loads(capsys.readouterr().out)
    assert record["state"] == state
    assert record["restarts"] == sum(event["event"] == "start" for event in events) - 1


def test_failure_names_status_meaning_and_line(tmp_path: Path) -> None:
    run = make_run(tmp_path, [start(), end(6, "loss is nan at step 41")])
    text = as_text(examine(run))
    assert "failed, exit status 6 (loss or gradient not finite)" in text
    assert "loss is nan at step 41" in text


def test_only_the_last_warnings_are_shown(tmp_path: Path) -> None:
    events = [start(), *(warning(f"number {n}", n) for n in range(7))]
    text = as_text(examine(make_run(tmp_path, events)))
    assert "7, the last 3:" in text
    assert [n for n in range(7) if f"step {n}: number {n}" in text] == [4, 5, 6]


def test_rollbacks_are_counted(tmp_path: Path) -> None:
    back = {"time": time.time(), "event": "rollback", "step": 20, "from_step": 38}
    status = examine(make_run(tmp_path, [start(), back, end(0, "done")]))
    assert status.rollbacks == 1
    assert "rollbacks: 1, the last one from step 38 to step 20" in as_text(status)


@pytest.mark.parametrize(
    ("ago", "events", "state"),
    [
        (10, lambda: [start()], "running"),
        (200, lambda: [start()], "died"),
        (10, lambda: [start(), end(0, "done", ago=5)], "finished"),
        (10, lambda: [start(ago=9000), end(75, "x", ago=8000), start(40)], "running"),
    ],
)
def test_another_host_is_judged_by_its_heartbeat(
    ago: float, events: Callable[[], list[dict[str, Any]]], state: str, tmp_path: Path
) -> None:
    run = make_run(tmp_path, events())
    write_heartbeat(
        run, host="node-17.elsewhere", time=time.time() - ago, progress_time=time.time() - ago
    )
    assert examine(run).state == state


@pytest.mark.skipif(not boot_clock()["boot_id"], reason="needs Linux's boot_id")
@pytest.mark.parametrize("jump", [5000.0, -5000.0])
def test_setting_the_time_of_day_changes_nothing_on_the_machine_of_the_run(
    jump: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def moment(ago: float) -> dict[str, Any]:
        return {**boot_clock(), "monotonic": time.monotonic() - ago}

    real = time.time
    events = [start(), end(75, "x"), start(40)]
    run = make_run(tmp_path, events)
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    with held(run):
        (run / ".lock").write_text(json.dumps(moment(900)))
        # Written before the clock was set, read afterwards; and the reverse.
        for now in (real(), time.time()):
            for quiet, state in ((10.0, "running"), (400.0, "stalled")):
                write_heartbeat(run, time=now, progress_time=now - quiet, **moment(2))
                status = examine(run)
                assert (status.state, status.phase) == (state, "training")
                assert status.quiet_seconds == pytest.approx(quiet + 2, abs=1)
        # The process before wrote it: nothing is known of this one yet but when it began.
        (run / ".lock").write_text(json.dumps(moment(1)))
        status = examine(run)
        assert (status.state, status.phase) == ("running", "starting")
        (run / ".lock").write_text(json.dumps(moment(400)))
        write_heartbeat(run, time=real(), **moment(500))
        assert examine(run).state == "stalled"
    # Ended a moment ago, whatever the time of day was then.
    write_lines(run / "events.jsonl", [*events, {**end(0, "done"), "time": real()}])
    write_heartbeat(run, time=real(), phase="ended", **moment(3))
    assert examine(run).ended_seconds_ago == pytest.approx(3, abs=1)
    # The lock of another machine's run may not be seen here: its heartbeat is fresh or not.
    write_lines(run / "events.jsonl", [start()])
    write_heartbeat(run, host="another", time=real(), progress_time=real(), **moment(10))
    assert examine(run).state == "running"
    write_heartbeat(run, host="another", time=time.time(), **moment(100))
    assert examine(run).state == "died"


def test_the_last_heartbeat_of_another_host(tmp_path: Path) -> None:
    """It ended without a word in events.jsonl (a full disk), but it did not go on."""
    run = make_run(tmp_path, [start()])
    write_heartbeat(run, host="node-17.elsewhere", phase="ended")
    assert examine(run).state == "died"


def test_damaged_newest_checkpoint(tmp_path: Path) -> None:
    run = make_run(tmp_path, [start(), end(75, "asked")])
    (run / "checkpoints" / "step-00000040" / "model.safetensors").write_bytes(b"short")
    (run / "checkpoints" / "best").symlink_to("step-00000020")
    text = as_text(examine(run))
    assert "step-00000040" in text
    text = " ".join(text.split())
    assert "NOT VALID: model.safetensors is damaged: expected 10 bytes, found 5" in text
    assert "the newest usable one is step-00000020" in text
    assert "checkpoints/best is step-00000020" in text
    assert COMMAND in text


def test_a_run_without_its_events(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert examine(run).state == "unknown"
    (run / "log.txt").write_text("step 40/100 | loss 1.0\nwarning: x\n")
    status = examine(run)
    assert (status.state, status.step, status.total_steps) == ("unknown", 40, 100)
    assert status.restarts is None
    with held(run):
        status = examine(run)
    assert (status.state, status.phase) == ("running", "")


def test_never_started(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    status = examine(tmp_path)
    assert status.state == "never started"
    assert "checkpoint  none" in as_text(status)


@pytest.mark.parametrize("kind", ["missing", "file", "empty", "other", "checkpoint"])
def test_not_a_run(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "x"
    if kind == "file":
        folder.write_text("")
    elif kind != "missing":
        folder.mkdir()
    if kind == "other":
        (folder / "notes.txt").write_text("")
    if kind == "checkpoint":
        folder = write_checkpoint(tmp_path, 3)
    with pytest.raises(ConfigError) as caught:
        main(["status", str(folder)])
    message = str(caught.value)
    assert str(folder) in message
    assert "\n" not in message
    if kind in ("empty", "other", "checkpoint"):
        assert "metrics.jsonl" in message  # what was expected


@pytest.mark.parametrize(
    "arguments", [[], ["status"], ["stat", "x"], ["plot", "x", "--smooth", "0"], ["status", "-q"]]
)
def test_wrong_arguments_are_one_line(arguments: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        main(arguments)
    assert "\n" not in str(caught.value)
    assert "--help" in str(caught.value)


def test_several_runs_are_a_table_and_the_worst_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = make_run(tmp_path / "a" / "seed0", [start(), end(0, "done", 100)])
    stopped = make_run(tmp_path / "b" / "seed0", [start(), end(75, "asked")])
    failed = make_run(tmp_path / "c", [start(), end(3, "shard is damaged " * 9)])
    assert main(["status", str(done), str(done)]) == 0
    assert main(["status", str(done), str(stopped)]) == 75
    capsys.readouterr()
    assert main(["status", str(done), str(stopped), str(failed)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert [line.split()[0] for line in lines] == ["run", "a/seed0", "b/seed0", "c"]
    assert "failed (3)" in lines[3]
    assert max(map(len, lines)) < 200
    assert main(["status", "--json", str(done), str(failed)]) == 1
    assert [r["state"] for r in json.loads(capsys.readouterr().out)] == ["finished", "failed"]


def test_names_tell_folders_apart(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("x/a/run", "x/b/run", "y/c", "x/a/run")]
    assert run_names(folders) == ["a/run", "b/run", "c", "a/run"]


def test_endless_lines_and_huge_files_are_read_in_pieces(tmp_path: Path) -> None:
    run = make_run(tmp_path, [start(), end(0, "done")])
    with open(run / "metrics.jsonl", "ab") as stream:
        stream.write(b'{"step": 999, "train/x": "' + b"\0" * (3 << 20) + b'"}\n')
        stream.write(b'{"step": 44, "train/lm_loss": NaN, "eval/exact_accuracy": NaN}\n')
        stream.write(b'{"step": 45, "train/lm_lo')
    status = examine(run)
    assert status.step == 44
    assert (status.best_exact_accuracy, status.best_step) == (0.75, 20)


JUNK = [
    b"",
    b"\n",
    b"[]\n",
    b'{"step": null, "event": "start"}\n',
    b'{"step": 1e999, "event": "end"}\n',
    b'{"step": 3, "event": "end", "exit_code": "x", "text": 5, "time": "now"}\n',
    b'{"step": -5, "event": "start", "host": 3, "pid": -1, "total_steps": 0}\n',
    b'{"step": 2, "event": "warning", "time": 1e300}\n',
    b'{"step": 2, "event": "rollback", "from_step": []}\n',
    b'{"step": 7, "eval/exact_accuracy": "high", "train/x": {}}\n',
    b'{"step": true, "train/x": 1}\n',
    b'{"time": 1e308, "pid": 1e300, "step": -1, "host": null, "phase": 7}',
    b'{"time": NaN}',
    b"[" * 5000,
    b"done: 99999999999 steps\n",
]

FILES = (
    "metrics.jsonl",
    "events.jsonl",
    "heartbeat.json",
    "log.txt",
    ".lock",
    "checkpoints/step-00000007/manifest.json",
    "checkpoints/best",
)


def examine_junk(run: Path, files: dict[str, bytes]) -> None:
    (run / "config.yaml").touch()
    for name, data in files.items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_bytes(data)
    status = examine(run)
    assert isinstance(status, Status)
    assert status.state in EXIT_OF_STATE
    assert as_text(status)
    assert as_table([status, status])


@pytest.mark.parametrize("name", FILES)
def test_no_known_junk_breaks_it(name: str, tmp_path: Path) -> None:
    for junk in JUNK:
        examine_junk(tmp_path, {name: junk})
        with held(tmp_path) if (tmp_path / ".lock").exists() else nullcontext():
            examine_junk(tmp_path, {name: junk})


@settings(deadline=None, max_examples=60)
@given(
    files=st.dictionaries(
        st.sampled_from(FILES),
        st.lists(st.sampled_from(JUNK) | st.binary(max_size=80), max_size=3).map(b"".join),
    )
)
def test_nothing_in_a_folder_breaks_it(
    files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    examine_junk(tmp_path_factory.mktemp("r"), files)
