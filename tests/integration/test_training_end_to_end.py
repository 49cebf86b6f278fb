"""The whole line through its command lines: generate, train, evaluate, predict."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.tiny.runs import (
    ROOT,
    arguments,
    assert_same_bits,
    call,
    environment,
    metrics_of,
    saved_steps,
    tensors_of,
)
from hrm_scale.data import open_dataset

pytestmark = pytest.mark.slow
STEPS = 60


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("end") / "data"
    line = ["--source", "generate", "--size", "4", "--count", "200", "--test-size", "40"]
    done = call("shards.sudoku", *line, "--num-aug", "100", "--output-dir", path)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("end") / "run"
    settings = {"max_steps": STEPS, "global_batch_size": 32, "lr": 3e-3, "log__every": 5}
    line = arguments(data, path, **settings, arch__H_cycles=2, log__console="line")
    done = call("hrm_scale.train", *line)
    assert done.returncode == 0, done.stderr
    assert f"done: {STEPS} steps" in done.stdout + done.stderr
    return path


def test_training_reduces_the_loss(run: Path) -> None:
    losses = [line["train/lm_loss"] for line in metrics_of(run) if "train/lm_loss" in line]
    assert len(losses) == STEPS // 5
    # 1.75 at first, 0.83 in the end; a guess that knows nothing costs log(6) = 1.79.
    assert losses[-1] < 0.6 * losses[0]
    final = metrics_of(run)[-1]
    assert final["step"] == STEPS
    assert final["eval/count"] == 40
    # Better than every constant and than copying, cell by cell.
    best = max(v for name, v in final.items() if "baseline" in name and name.endswith("/accuracy"))
    assert final["eval/accuracy"] > best


def test_the_checkpoint_evaluates_to_what_the_run_said(run: Path, tmp_path: Path) -> None:
    done = call("hrm_scale.evaluate", f"checkpoint={run}", f"output_dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    for words in ("exact accuracy", "all PAD", "most frequent token", "copy of the input"):
        assert words in done.stdout
    document = json.loads((tmp_path / "results.json").read_text())
    assert document["step"] == STEPS
    final = metrics_of(run)[-1]
    for name, value in document["results"].items():
        if name != "q_halt_loss":  # as published, it takes padded rows along
            assert value == pytest.approx(final[f"eval/{name}"], rel=1e-4, abs=1e-6), name
    limited = call("hrm_scale.evaluate", f"checkpoint={run}", "limit=7", "halt_max_steps=1")
    assert limited.returncode == 0, limited.stderr
    assert "7 examples" in limited.stdout
    assert "mean steps       1.00" in limited.stdout


def test_a_puzzle_is_answered_in_a_drawing(run: Path, data: Path, tmp_path: Path) -> None:
    rows = open_dataset(data).read("test", ["inputs", "labels"], 0, 3)
    questions = ["".join(str(t - 1) for t in row) for row in rows["inputs"]]
    answers = ["".join(str(t - 1) for t in row) for row in rows["labels"]]
    done = call("hrm_scale.predict", f"checkpoint={run}", f"puzzle={questions[0]}")
    assert done.returncode == 0, done.stderr
    assert "halt head" in done.stdout
    assert "----" in done.stdout
    assert "\x1b" not in done.stdout
    table = tmp_path / "some.csv"
    pairs = zip(questions, answers, strict=True)
    table.write_text("question,answer\n" + "".join(f"{q},{a}\n" for q, a in pairs))
    done = call("hrm_scale.predict", f"checkpoint={run}", f"file={table}", "color=always")
    assert done.returncode == 0, done.stderr
    verdicts = [line for line in done.stdout.splitlines() if "; halt head" in line]
    assert len(verdicts) == 3
    assert all(line.startswith(("solved", "not solved: ")) for line in verdicts)
    assert "\x1b[" in done.stdout


def test_accelerate_launch_starts_the_same_training(data: Path, tmp_path: Path) -> None:
    launched, plain = tmp_path / "launched", tmp_path / "plain"
    settings = {"max_steps": 12}
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--cpu"]
    launcher += ["--num_processes", "1", "--num_machines", "1", "--mixed_precision", "no"]
    launcher += ["--dynamo_backend", "no", "--num_cpu_threads_per_process", "1"]
    done = subprocess.run(
        [*launcher, "-m", "hrm_scale.train", *arguments(data, launched, **settings)],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert saved_steps(launched) == [12]
    alone = call("hrm_scale.train", *arguments(data, plain, **settings))
    assert alone.returncode == 0, alone.stderr
    assert_same_bits(tensors_of(launched), tensors_of(plain))
    assert metrics_of(launched) == metrics_of(plain)
