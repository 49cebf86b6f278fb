"""The program itself: its address, its end, and its mistakes in one line."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest

from benchmarks.tiny.runs import ROOT, call, command, environment, error_lines
from tests.support.play_sets import train_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_run(tmp_path_factory.mktemp("run"), "sudoku")[0]


def test_it_serves_until_it_is_interrupted(run: Path) -> None:
    asked = [f"checkpoint={run}", "port=0", "browser=false", "halt_max_steps=5"]
    process = subprocess.Popen(
        command("hrm_scale.play", *asked),
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("play: http://127.0.0.1:"), line + process.communicate()[1]
    with urllib.request.urlopen(f"{line.split()[1]}api/about", timeout=20) as answer:
        assert json.load(answer)["most"] == 5
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "play: ended\n", "")


def test_mistakes_are_one_line(run: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments, code, words in (
            ([f"checkpoint={run}", f"port={port}"], 5, "type port=0 for a free port"),
            ([f"checkpoint={tmp_path}"], 4, str(tmp_path)),
            ([f"checkpoint={run}", f"data_path={tmp_path}"], 3, "not a data set"),
        ):
            done = call("hrm_scale.play", *arguments, "browser=false")
            assert done.returncode == code, done.stderr
            (line,) = error_lines(done.stderr)
            assert words in line
            assert len(done.stderr.splitlines()) == 1
