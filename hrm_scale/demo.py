"""From nothing to a solved Sudoku: ``./launch.sh demo``.

Generates puzzles, trains a small model from scratch, evaluates it on puzzles it has never seen and
shows one of them solved. The first seconds of training measure the machine: one that is too slow
for 6x6 boards gets 4x4 boards. The model stays in ``checkpoints/demo``.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hrm_scale.base.errors import (
    EXIT_GOAL_MISSED,
    CheckpointError,
    ConfigError,
    EnvironmentProblem,
    Stopped,
    run_cli,
)
from hrm_scale.base.programs import load

if TYPE_CHECKING:
    from hrm_scale.config.compose import Resolved
    from hrm_scale.config.schema import RunConfig
    from hrm_scale.training.trainer import Trainer

GOAL = 0.95
RUN = "checkpoints/demo"
BOARDS = {
    "6x6": ["data_path=data/sudoku-6x6-demo"],
    "4x4": [
        "data_path=data/sudoku-4x4-demo",
        "data_build=python -m shards.sudoku --source generate --size 4 --count 1000"
        " --test-size 250 --num-aug 1000",
        "max_steps=300",
    ],
}
"""What to train on, the wanted boards first: settings on top of experiment=demo."""
SETTINGS = [
    f"checkpoint_path={RUN}",
    "log.console=quiet",
    "log.every=10",
    "evaluation.every_steps=null",
    "evaluation.limit=100",
    "evaluation.full_at_end=false",
    "checkpoint.every_steps=100",
]
JUDGE_AFTER = 15.0
"""Seconds of training after which its speed is known well enough, after a step or two."""
PATIENCE = 3.0
"""How many times its limit a training may take once it was judged to fit, or is the last choice."""
PROGRESS_EVERY = 4.0
USAGE = f"""usage: python -m hrm_scale.demo [KEY=VALUE …]

Generate Sudokus, train a small TRM on them from scratch, evaluate on unseen ones, solve one.
KEY=VALUE are settings of `python -m hrm_scale.train`, applied on top of experiment=demo;
max_time is the training time that the demo fits itself to (6x6 boards, or 4x4 boards).
The model stays in {RUN}. The same command again resumes an interrupted demo, and evaluates
a finished one; delete {RUN} to train anew.

exit codes: 0 at least {GOAL:.0%} of the unseen puzzles are solved exactly,
{EXIT_GOAL_MISSED} fewer are, 5 the machine is too slow, 75 interrupted (the same command resumes)
"""


def main(arguments: list[str]) -> int:
    if {"-h", "--help"} & set(arguments):
        print(USAGE, end="")
        return 0
    started = float(os.environ.get("HRM_SCALE_STARTED_AT") or time.time())
    # Read when torch is imported. Threads that spin for one whose core is taken cost most of the
    # speed of a machine that does other work as well.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    plans = {boards: _compose(boards, arguments) for boards in BOARDS}
    os.environ["HRM_SCALE_COMMAND"] = shlex.join([*_command("demo").split(), *arguments])
    run = train_first_that_fits(plans)
    print("demo: 3/4 evaluating on puzzles never seen", flush=True)
    results = evaluate(run)
    print("demo: 4/4 solving one of them", flush=True)
    puzzle = show_one(run)
    return report(run, results, puzzle, started)


def _compose(boards: str, arguments: list[str]) -> Resolved[RunConfig]:
    """The settings of the demo on these boards. Raises ConfigError before any work is done."""
    from hrm_scale.config.compose import compose
    from hrm_scale.config.overrides import parse_overrides
    from hrm_scale.config.schema import RunConfig

    typed = parse_overrides(arguments, RunConfig)
    resolved = compose(["experiment=demo", *BOARDS[boards], *SETTINGS, *arguments])
    for key in ("data_path", "data_build", "experiment"):
        if key in typed.settings or key in typed.presets:
            raise ConfigError(
                f"{key} (command line) cannot be set: the demo generates its own puzzles; on others"
                f" train with: {_command('train')} experiment=demo data_path=DIR"
            )
    return resolved


def train_first_that_fits(plans: dict[str, Resolved[RunConfig]]) -> RunConfig:
    """Train on the first boards that this machine is fast enough for; those of an earlier demo
    come first. Raises EnvironmentProblem when it is too slow for all of them."""
    begun = _begun(next(iter(plans.values())).run)
    choices = list(plans)[list(plans).index(begun) if begun else 0 :]
    for boards in choices:
        run, last = plans[boards].run, boards == choices[-1]
        generate(boards, run)
        print(f"demo: 2/4 training from scratch on {boards} boards", flush=True)
        monitor = Monitor(run.max_time, last)
        if train(plans[boards], monitor):
            return run
        found = (
            f"this machine would train for {_duration(monitor.expected)} on {boards} boards, the"
            f" limit is {_duration(monitor.limit)}"
        )
        if last:
            raise EnvironmentProblem(f"{found}: to wait, type {_command('demo')} max_time=DURATION")
        print(f"demo: {found}; taking {choices[-1]} boards, a tenth of the work", flush=True)
        shutil.rmtree(str(run.checkpoint_path))
        _use_one_thread()
    raise AssertionError("there are boards to train on")


def _use_one_thread() -> None:
    """Threads that wait for a core others are using slow a small model down many times over."""
    import torch

    torch.set_num_threads(1)


def _begun(run: RunConfig) -> str | None:
    """The boards that the run folder holds a model of; None when there is none yet."""
    from hrm_scale.checkpoint import latest_valid, read_checkpoint

    folder, _ = latest_valid(Path(str(run.checkpoint_path)), hashes=False)
    if folder is None:
        return None
    state = read_checkpoint(folder, check="size").state
    board = state.get("dataset", {}).get("board", {})
    boards = f"{board.get('height')}x{board.get('width')}"
    if boards not in BOARDS:
        raise CheckpointError(
            f"{run.checkpoint_path} holds the run of another task: move it away, or type"
            " checkpoint_path=DIR"
        )
    return boards


def generate(boards: str, run: RunConfig) -> None:
    """Build the data set unless it is there."""
    folder = Path(run.data_path)
    if (folder / "dataset.json").is_file():
        print(f"demo: 1/4 {boards} Sudokus: {folder} is there", flush=True)
        return
    print(f"demo: 1/4 generating {boards} Sudokus", flush=True)
    words = shlex.split(str(run.data_build))
    with progress(lambda: "generating"):
        load("shards.sudoku.cli").main(words[words.index("shards.sudoku") + 1 :])


def train(resolved: Resolved[RunConfig], monitor: Monitor) -> bool:
    """Train to the end of the schedule. False when the monitor has stopped it: too slow."""
    from dataclasses import replace

    from hrm_scale.train import run

    # The monitor keeps the limit: it stops early what cannot be done in time, and nothing late.
    unlimited = replace(resolved, run=resolved.run.model_copy(update={"max_time": None}))
    try:
        with progress(monitor.look):
            run(unlimited, on_start=monitor.watch)
    except Stopped:
        if not monitor.stopped:
            raise
        return False
    finally:
        monitor.withdraw()
    return True


class Monitor:
    """Looks at a training now and then, and stops it when it takes too long.

    limit: seconds that it should take, None for any. last: whether there is no smaller task to
    turn to. Then, and once a training was judged to fit, it may take `PATIENCE` times as long: it
    is worth more than the time lost to a machine that is busy for a while.
    """

    def __init__(self, limit: float | None, last: bool) -> None:
        self.limit = float("inf") if limit is None else limit
        self.expected = 0.0
        self.stopped = False
        self._committed = False
        self._last = last
        self._trainer: Trainer | None = None
        self._started, self._first_step = 0.0, 0

    def watch(self, trainer: Trainer) -> None:
        """Called before the first step."""
        step, total = trainer.parts.state.step, trainer.parts.horizon.total_steps
        self._trainer, self._started, self._first_step = trainer, time.monotonic(), step
        folder = trainer.parts.run_dir
        if step >= total:
            print(f"demo: {folder} is trained already: delete it to train anew", flush=True)
        elif step:
            print(f"demo: resuming {folder} at step {step} of {total}", flush=True)

    def look(self) -> str:
        """The line of progress."""
        trainer = self._trainer
        if trainer is None:
            return "starting"
        step, total = trainer.parts.state.step, trainer.parts.horizon.total_steps
        left = trainer.parts.clock.eta_seconds(total - step)
        if step < total:
            self._judge(step - self._first_step, total - step, left)
        accuracy = _newest_accuracy(trainer.parts.run_dir)
        shown = [f"step {step}/{total}"]
        shown += [] if accuracy is None else [f"exact {accuracy:.3f}"]
        shown += [] if left is None else [f"{_duration(left)} left"]
        return " | ".join(shown)

    def _judge(self, done: int, to_do: int, left: float | None) -> None:
        """done, to_do: steps. left: seconds at the recent speed, if that is known."""
        from hrm_scale.training.stop import STOP_FILE

        spent = time.monotonic() - self._started
        known = spent >= (JUDGE_AFTER if done > 1 else 4 * JUDGE_AFTER)
        if not known or self.stopped or self._trainer is None:
            return
        self.expected = expected_seconds(spent, done, to_do, left)
        patient = self._last or self._committed
        if self.expected > self.limit * (PATIENCE if patient else 1.0):
            self.stopped = True
            (self._trainer.parts.run_dir / STOP_FILE).touch()
        elif not self._committed:
            self._committed = True
            print(f"demo: this machine will train for about {_duration(self.expected)}", flush=True)

    def withdraw(self) -> None:
        """Take back a request that came too late."""
        from hrm_scale.training.stop import STOP_FILE

        if self._trainer is not None:
            (self._trainer.parts.run_dir / STOP_FILE).unlink(missing_ok=True)


def expected_seconds(spent: float, done: int, to_do: int, left: float | None) -> float:
    """Seconds that a training takes in all, by the better of its mean and its recent speed: neither
    a slow start nor a moment in which the machine was busy decides alone."""
    mean = to_do * spent / done if done else float("inf")
    return spent + min(mean, float("inf") if left is None else left)


@contextmanager
def progress(line: Callable[[], str]) -> Iterator[None]:
    """Print a line every few seconds."""
    ended, started = threading.Event(), time.monotonic()

    def tick() -> None:
        while not ended.wait(PROGRESS_EVERY):
            spent = _duration(time.monotonic() - started)
            print(f"demo: {spent:>6} | {line()}", flush=True)

    thread = threading.Thread(target=tick, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _newest_accuracy(run_dir: Path) -> float | None:
    """Exact accuracy on the training puzzles, as last reported."""
    try:
        lines = (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        with suppress(ValueError):  # the last one may be half written
            if "train/exact_accuracy" in (record := json.loads(line)):
                return float(record["train/exact_accuracy"])
    return None


def evaluate(run: RunConfig) -> dict[str, float]:
    """Metrics on the unseen puzzles, which are printed and written."""
    from hrm_scale.evaluate import main as evaluate_checkpoint

    folder = Path(str(run.checkpoint_path)) / "evaluation"
    with progress(lambda: "evaluating"):
        evaluate_checkpoint([f"checkpoint={run.checkpoint_path}", f"output_dir={folder}"])
    results: dict[str, float] = json.loads((folder / "results.json").read_text())["results"]
    return results


def show_one(run: RunConfig) -> str:
    """Solve the unseen puzzle with the fewest clues, and return it as it is typed."""
    from hrm_scale.data import open_dataset
    from hrm_scale.predict import main as predict

    dataset = open_dataset(run.data_path)
    inputs = dataset.read("test", ["inputs"], 0, dataset.split("test").examples)["inputs"]
    kind = dataset.meta.puzzle
    hardest = inputs[(inputs != kind.blank).sum(1).argmin()]
    puzzle = kind.text(kind.grid(hardest))
    predict([f"checkpoint={run.checkpoint_path}", f"puzzle={puzzle}"])
    return puzzle


def report(run: RunConfig, results: dict[str, float], puzzle: str, started: float) -> int:
    """The last lines: what was reached and what to type next. Returns the exit status."""
    from hrm_scale.checkpoint import read_checkpoint
    from hrm_scale.evaluation.observers.tally import best_baseline

    checkpoint = read_checkpoint(Path(str(run.checkpoint_path)), check="size")
    exact = results["exact_accuracy"]
    print(
        f"demo: size={checkpoint.state['dataset']['board']['height']} exact_accuracy={exact:.4f}"
        f" baseline_best={best_baseline(results):.4f}"
        f" train_seconds={checkpoint.state['clock']['train']:.0f}"
        f" total_seconds={time.time() - started:.0f}"
    )
    solved = f"the model solves {exact:.1%} of {results['count']:.0f} puzzles it has never seen"
    if exact < GOAL:
        print(f"demo: {solved}, fewer than {GOAL:.0%}: the goal is missed")
    else:
        print(f"demo: {solved}. Play with it, or let it solve a puzzle:")
    folder = run.checkpoint_path
    print(f"  {_command('play')} checkpoint={folder}")
    print(f"  {_command('predict')} checkpoint={folder} puzzle={puzzle}", flush=True)
    return 0 if exact >= GOAL else EXIT_GOAL_MISSED


def _command(name: str) -> str:
    """How a command is typed in this folder."""
    in_clone = Path("launch.sh").is_file()
    return f"./launch.sh {name}" if in_clone else f"python -m hrm_scale.{name}"


def _duration(seconds: float) -> str:
    from hrm_scale.reporting.lines import duration

    return "very long" if seconds == float("inf") else duration(seconds)


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    run_cli(main)
