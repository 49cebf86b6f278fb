"""Kill a training run -9 again and again, and compare its end with the undisturbed run's.

``python -m benchmarks.reliability.torture --kills 20 --seed 7``, with ``--engine zero1 --world 2``
or ``--compile`` if wanted.

The seed decides the settings and the moments: while the process starts, trains, evaluates, in the
midst of a save, while old checkpoints are deleted, at the very end. Every restart is the very same
command. Exit status 0 when the ends are equal bit for bit, 1 with what differs or failed.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.reliability.moments import EVALUATE_EVERY, SAVE_EVERY, Moment, Pace, plan, steps_for
from benchmarks.reliability.promises import (
    NotSurvived,
    check_end,
    check_gone,
    check_resumed,
    check_valid,
    wait_for,
    wait_for_end,
)
from benchmarks.reliability.victim import PHASES, Victim
from hrm_scale.base.command_line import Parser, natural, positive
from hrm_scale.base.errors import run_cli

ENGINES = {"plain": None, "zero1": 1, "zero2": 2, "zero3": 3}
_START_STEP = 5


def _say(line: str) -> None:
    print(line, flush=True)


@dataclass(frozen=True)
class Trial:
    """What is tortured: `world` processes under a launcher; 1 of engine plain goes without."""

    kills: int
    seed: int
    engine: str
    world: int
    compiled: bool

    @property
    def launched(self) -> int:
        """Workers of a launcher, 0 for none."""
        return 0 if self.world == 1 and self.engine == "plain" else self.world


@dataclass
class Torture:
    """One run, made twice in `folder`: undisturbed, and killed."""

    trial: Trial
    folder: Path
    say: Callable[[str], None] = _say
    landed: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        rng = random.Random(self.trial.seed)
        self.choices: dict[str, Any] = {
            "checkpoint.keep_last": rng.choice((1, 2)),
            "checkpoint.asynchronous": rng.choice(("true", "false")),
            "data.refill": rng.choice(("always", "on_halt")),
            "engine.accumulation": rng.choice((1, 2)),
            "arch.forward_dtype": rng.choice(("float32", "bfloat16")),
        }
        # Every other seed, and no draw of its own: the moments of a seed stay what they were.
        self.choices["ema"] = str(self.trial.seed % 2 == 1).lower()
        self.moments = plan(self.trial.kills, rng, compiled=self.trial.compiled)
        self.steps = steps_for(self.moments)
        self.rng = rng
        self._starts = 0

    def run(self) -> None:
        """Raises NotSurvived at the first thing that is not as it should be."""
        from benchmarks.reliability.ends import differences, unlearned

        whole, broken = self.folder / "whole", self.folder / "broken"
        trial = self.trial
        chosen = ", ".join(f"{name}={value}" for name, value in self.choices.items())
        self.say(f"{trial.engine} x {trial.world}, {self.steps} steps, seed {trial.seed}: {chosen}")
        self._make_start(whole)
        shutil.copytree(whole, broken)
        pace = self._undisturbed(whole)
        if still := unlearned(broken, whole):
            raise NotSurvived(f"the undisturbed run has learned nothing: {still[0]} is as it was")

        newest, killed = _START_STEP, 0
        while killed < trial.kills:
            newest, was = self._kill_once(broken, newest, self.moments[killed], pace, killed + 1)
            killed += was
        victim = self._start(broken)
        wait_for_end(victim)
        check_resumed(victim, newest)
        self.say(f"start {self._starts - 1}: from step {newest} to the end")
        if different := differences(whole, broken):
            raise NotSurvived("\n".join(different))
        for phase in PHASES:
            self.say(f"  {phase:12} {self.landed[phase]:3} kills")

    # --- its parts --------------------------------------------------------------------------------

    def _make_start(self, run: Path) -> None:
        """A few steps of one process whose halt head has opinions, for both runs to go on from:
        a fresh one never halts, and all slots would be in step for the whole run."""
        from benchmarks.tiny.data_sets import write_online
        from benchmarks.tiny.runs import make_halting_likely, train_here

        data = write_online(self.folder / "data", examples=100)
        first = {"max_steps": _START_STEP, "evaluation.full_at_end": "false"}
        first |= {"engine.compile": "false", "log.console": "quiet"}
        settings = {**self._settings(), **first}
        train_here(data, run, make_halting_likely, **_keywords(settings))

    def _settings(self) -> dict[str, Any]:
        return {
            **self.choices,
            "max_steps": self.steps,
            "checkpoint.every_steps": SAVE_EVERY,
            "checkpoint.every_minutes": "null",
            "evaluation.every_steps": EVALUATE_EVERY,
            "evaluation.limit": 40,
            "log.every": 7,
            "log.console": "line",
            "engine.compile": str(self.trial.compiled).lower(),
        }

    def _start(self, run: Path) -> Victim:
        """The command of the run, the same each time."""
        from benchmarks.tiny.runs import ROOT, arguments, command, environment

        settings = self._settings()
        if (stage := ENGINES[self.trial.engine]) is not None:
            bf16 = {"enabled": self.choices["arch.forward_dtype"] == "bfloat16"}
            file = self.folder / "deepspeed.json"
            file.write_text(json.dumps({"zero_optimization": {"stage": stage}, "bf16": bf16}))
            settings["engine.deepspeed"] = file
        line = arguments(self.folder / "data", run, **_keywords(settings))
        world = self.trial.launched
        launch = ["hrm_scale.launch", "--processes", world, "--max-restarts", 0]
        self._starts += 1
        return Victim(
            command(*(launch if world else ["hrm_scale.train"]), *line),
            run,
            self.folder / f"{run.name}-{self._starts:03}.log",
            world=world,
            cwd=ROOT,
            # Each of the two runs compiles for itself.
            env={
                **environment(),
                "TORCHINDUCTOR_CACHE_DIR": str(self.folder / f"compiled-{run.name}"),
            },
        )

    def _undisturbed(self, run: Path) -> Pace:
        victim = self._start(run)
        wait_for_end(victim)
        saves = sorted(victim.closed.values())
        self.say(f"undisturbed run: {victim.age:.1f} s, {len(saves)} saves")
        return Pace(
            start=victim.phase_seconds["starting"],
            save=saves[len(saves) // 2],
            evaluation=victim.phase_seconds.get("evaluation", 0.0),
            compilation=victim.phase_seconds.get("compiling", 0.0),
        )

    def _kill_once(
        self, run: Path, newest: int, moment: Moment, pace: Pace, number: int
    ) -> tuple[int, bool]:
        """Start, wait for the moment, kill; the newest valid step then, and whether it was killed:
        it may have come to its end just before."""
        trial = self.trial
        if newest == self.steps:
            # Nothing is left to do: what can still be killed is the start that finds that out.
            moment = Moment("start", 1, moment.share)
        rank = self.rng.randrange(trial.launched) if trial.launched and number % 2 else None
        victim = self._start(run)
        try:
            killed = None
            if wait_for(victim, moment, pace, newest, self.steps):
                seconds, killed = victim.age, victim.kill(rank)
        finally:
            if victim.process.poll() is None:
                victim.kill(None)
        check_gone(victim)
        if killed is None or victim.ended_by_itself:
            check_end(victim)
            return self.steps, False
        who, place = killed
        self.landed[place.phase] += 1
        check_resumed(victim, newest)
        newest = check_valid(run, max(newest, victim.committed), victim)
        self.say(
            f"kill {number:2} of {trial.kills}: {place!s:44} {seconds:5.1f} s after start, {who};"
            f" goes on from step {newest}"
        )
        return newest, True


def _keywords(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace(".", "__"): value for name, value in settings.items()}


def _parser() -> Parser:
    parser = Parser(
        prog="python -m benchmarks.reliability.torture",
        description="Kill a training run again and again; its end must not show it.",
    )
    add = parser.add_argument
    add("--kills", type=positive, default=20, metavar="N", help="how many (default: 20)")
    add("--seed", type=natural, default=7, metavar="S", help="of settings and moments (default: 7)")
    add("--engine", choices=list(ENGINES), default="plain", help="default: plain")
    add("--world", type=positive, metavar="N", help="processes (default: 1; ZeRO engines: 2)")
    add("--compile", action="store_true", help="compile the model, and kill that too")
    add("--keep", type=Path, metavar="DIR", help="keep runs and outputs here, a new folder")
    return parser


def main(arguments: list[str]) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.keep is not None and options.keep.exists():
        parser.error(f"--keep {options.keep}: exists already, give a new folder")
    world = options.world or (1 if options.engine == "plain" else 2)
    trial = Trial(options.kills, options.seed, options.engine, world, options.compile)
    folder = options.keep or Path(tempfile.mkdtemp(prefix="torture-"))
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    try:
        Torture(trial, folder.resolve()).run()
    except (NotSurvived, subprocess.TimeoutExpired) as error:
        print(f"NOT SURVIVED: {error}\nRuns and outputs: {folder}")
        return 1
    print(
        f"{trial.kills} of {trial.kills} kills survived; parameters, moments, table, carry, metrics"
        f" equal bit for bit ({time.monotonic() - begun:.0f} s)"
    )
    if options.keep is None:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    run_cli(main)
