"""From nothing to a solved Sudoku: ``./launch.sh demo``.

Generates puzzles, trains a small model from scratch, evaluates it on puzzles it has never seen and
shows one of them solved. Ends with exit status 0 only when 95 % of them are solved exactly.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from hrm_scale.errors import EXIT_INTERNAL, Stopped, run_cli

GOAL = 0.95
USAGE = """usage: python -m hrm_scale.demo [KEY=VALUE …]

Generate Sudokus, train a small TRM on them from scratch, evaluate on unseen ones, solve one.
KEY=VALUE are settings of `python -m hrm_scale.train`, applied on top of experiment=demo.
The exit status is 0 only when at least 95 % of the unseen puzzles are solved exactly.
"""
SIZE, TRAIN, TEST = 6, 2000, 500


def main(arguments: list[str]) -> int:
    if {"-h", "--help"} & set(arguments):
        print(USAGE, end="")
        return 0
    started = float(os.environ.get("HRM_SCALE_STARTED_AT") or time.time())
    folder = Path(tempfile.mkdtemp(prefix="hrm-scale-demo-"))
    try:
        return run_demo(folder, arguments, started)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_demo(folder: Path, arguments: list[str], started: float) -> int:
    """The four acts of the demo, in `folder`."""
    from shards.sudoku import main as build

    data = folder / "data"
    print(f"demo: 1/4 generating {TRAIN} + {TEST} different {SIZE}x{SIZE} Sudokus", flush=True)
    numbers = ["--size", str(SIZE), "--count", str(TRAIN), "--test-size", str(TEST)]
    build(["--source", "generate", *numbers, "--num-aug", "1000", "--output-dir", str(data)])

    print("demo: 2/4 training from scratch", flush=True)
    from hrm_scale.checkpoint import read_checkpoint
    from hrm_scale.config.compose import compose
    from hrm_scale.train import run as train

    run = folder / "run"
    settings = ["experiment=demo", f"data_path={data}", f"checkpoint_path={run}", *arguments]
    resolved = compose(settings)
    limit, begun = resolved.run.max_time, time.monotonic()
    try:
        train(resolved)
    except Stopped:
        # A slow machine may use up the time limit: what was learned by then is what counts.
        if limit is None or time.monotonic() - begun < limit:
            raise
    train_seconds = read_checkpoint(run).state["clock"]["train"]

    print("demo: 3/4 evaluating on puzzles never seen", flush=True)
    from hrm_scale.evaluate import main as evaluate
    from hrm_scale.evaluation.report import best_baseline

    evaluate([f"checkpoint={run}", f"output_dir={folder}"])
    results = json.loads((folder / "results.json").read_text())["results"]

    print("demo: 4/4 solving one of them", flush=True)
    show_one(run, data)
    exact = results["exact_accuracy"]
    print(
        f"demo: size={SIZE} exact_accuracy={exact:.4f} baseline_best={best_baseline(results):.4f}"
        f" train_seconds={train_seconds:.0f} total_seconds={time.time() - started:.0f}"
    )
    return 0 if exact >= GOAL else EXIT_INTERNAL


def show_one(run: Path, data: Path) -> None:
    """Solve the unseen puzzle with the fewest clues."""
    from hrm_scale.data import open_dataset
    from hrm_scale.evaluation.sudoku import BLANK_TOKEN
    from hrm_scale.predict import main as predict

    inputs = open_dataset(data).read("test", ["inputs"], 0, TEST)["inputs"]
    hardest = inputs[(inputs > BLANK_TOKEN).sum(1).argmin()]
    predict([f"checkpoint={run}", f"puzzle={''.join(str(t - BLANK_TOKEN) for t in hardest)}"])


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    run_cli(main)
