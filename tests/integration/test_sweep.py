"""A sweep that is stopped while it trains, and goes on: two tiny cells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.runs import TINY, Program, call, metrics_of, saved_steps, wait_until
from tools.sweep.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.multi]
TOOL = "tools.sweep"


def test_a_sweep_is_stopped_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, folder = write_online(tmp_path / "data"), tmp_path / "sweep"
    settings = {**TINY, "max_steps": 150, "checkpoint.every_steps": 10, "seed": "0,1"}
    words = [f"{key}={value}" for key, value in settings.items() if not key.startswith("log.")]
    words += [f"data_path={data}", "log.every=50", "--output-dir", str(folder)]
    first, second = folder / "seed-0", folder / "seed-1"

    process = Program(TOOL, *words)
    wait_until(lambda: bool(saved_steps(first)), process)
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 75, (out, err)
    assert "Continue with: python -m tools.sweep" in err
    assert not second.exists()
    reached = saved_steps(first)[-1]
    assert reached < 150

    done = call(TOOL, *words, "--parallel", "2")
    assert done.returncode == 0, done
    assert "seed-0: goes on" in done.stdout
    assert "seed-1: starts" in done.stdout
    assert saved_steps(first)[-1] == saved_steps(second)[-1] == 150
    assert [line["step"] for line in metrics_of(first)] == [50, 100, 150, 150]
    document = json.loads((folder / "results.json").read_text())
    (row,) = document["rows"]
    assert len(row["values"]) == row["wanted"] == 2
    assert row["steps"] == 150
    assert row["flops"] > 0
    assert (folder / "table.md").read_text().strip() in done.stdout

    written = (first / "events.jsonl").read_bytes()
    assert main(words) == 0
    assert "2 of them finished already" in capsys.readouterr().out
    assert (first / "events.jsonl").read_bytes() == written
