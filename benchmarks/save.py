"""Cost of a checkpoint: how long training waits for it, and how much a step slows down meanwhile.

``python -m benchmarks.save`` trains one model on generated Sudokus. Every few steps it saves, at
once and in the background in turn, so that both see the same machine. A step counts as taken
during a save when the save was under way at its beginning. The time a step takes has no wait for
a save in it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.provenance import write_results
from hrm_scale.base.command_line import Parser, positive
from hrm_scale.base.errors import EXIT_OK, run_cli

MIB = 1 << 20


def parse(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = Parser(prog="python -m benchmarks.save", description=__doc__)
    parser.add_argument("--saves", type=positive, default=5, help="saves of each kind")
    parser.add_argument("--every", type=positive, default=6, help="steps between two saves")
    parser.add_argument("--batch", type=positive, default=32, help="global batch size")
    parser.add_argument("--output", type=Path, help="also write the figures as JSON")
    options, settings = parser.parse_known_args(arguments)
    if bad := [text for text in settings if text.startswith("-")]:
        parser.error(f"unknown option {bad[0]} (KEY=VALUE settings of a run may follow)")
    return options, settings


@dataclass
class Figures:
    """Seconds, by what they were spent on."""

    waits: dict[str, list[float]] = field(default_factory=lambda: {"at once": [], "background": []})
    written: list[float] = field(default_factory=list)
    quiet: list[float] = field(default_factory=list)
    during: list[float] = field(default_factory=list)


def main(arguments: list[str]) -> int:
    options, settings = parse(arguments)
    with tempfile.TemporaryDirectory(prefix="hrm-scale-save-") as folder:
        figures, parts, facts = measure(options, settings, Path(folder))
    report(figures, parts, facts)
    packages = ["torch", "accelerate", "numpy"]
    results = {
        **facts,
        "bytes": parts,
        "seconds": {
            "blocked": figures.waits,
            "background_write": figures.written,
            "quiet_steps": figures.quiet,
            "steps_during_a_save": figures.during,
        },
    }
    write_results(options.output, "benchmarks.save", arguments, packages, results)
    return EXIT_OK


def measure(
    options: argparse.Namespace, settings: list[str], folder: Path
) -> tuple[Figures, dict[str, int], dict[str, Any]]:
    """Train, save, and take times; sizes of the files of a checkpoint; what was measured."""
    from hrm_scale.checkpoint import read_checkpoint
    from hrm_scale.config.compose import compose
    from hrm_scale.training.build import build_trainer
    from shards.sudoku.cli import main as build

    data, run = folder / "data", folder / "run"
    numbers = ["--size", "9", "--count", "200", "--test-size", "8", "--num-aug", "1000"]
    build(["--source", "generate", *numbers, "--output-dir", str(data)])
    resolved = compose(
        [
            "experiment=sudoku_extreme_1k",
            f"data_path={data}",
            f"checkpoint_path={run}",
            f"global_batch_size={options.batch}",
            "epochs=null",
            f"max_steps={2 * (options.saves + 1) * options.every}",
            "eval_interval=null",
            "evaluation.full_at_end=false",
            "evaluation.limit=8",
            "checkpoint.asynchronous=true",
            "checkpoint.every_minutes=null",
            "checkpoint.at_end=false",
            "log.console=quiet",
            "log.wandb=off",
            *settings,
        ]
    )
    trainer = build_trainer(resolved.run, resolved.presets)
    figures = Figures()
    take_times(trainer, options.every, figures)
    trainer.run()
    trainer.parts.reporter.close()
    checkpoint = read_checkpoint(run)
    sizes = {name: entry.bytes for name, entry in checkpoint.manifest.files.items()}
    facts = {
        "device": str(trainer.parts.engine.device),
        "parameters": sum(p.numel() for p in trainer.parts.model.parameters()),
        "global_batch_size": options.batch,
    }
    return figures, sizes, facts


def take_times(trainer: Any, every: int, figures: Figures) -> None:
    """Save after every few steps, and note how long each step and each save took."""
    original, saving = trainer._step, trainer.saving
    begun = 0.0

    def step(*args: Any, **options: Any) -> bool:
        nonlocal begun
        number = trainer.parts.state.step
        if saving.background.busy and not saving.background.writing:
            figures.written.append(time.perf_counter() - begun)
            saving.collect(wait=True)
        # The first ones are slower than all others, and so is the first save of each kind.
        if number and number % every == 0:
            kind = ("at once", "background")[number // every % 2]
            if saving.background.busy:
                saving.collect(wait=True)
            start = time.perf_counter()
            saving.save(must=kind == "at once")
            wait, begun = time.perf_counter() - start, time.perf_counter()
            if number > 2 * every:
                figures.waits[kind].append(wait)
        during = saving.background.writing
        start = time.perf_counter()
        updated: bool = original(*args, **options)
        seconds = time.perf_counter() - start
        if number > 2 * every:
            (figures.during if during else figures.quiet).append(seconds)
        return updated

    trainer._step = step


def report(figures: Figures, parts: dict[str, int], facts: dict[str, Any]) -> None:
    print(
        f"{facts['parameters']:,} parameters, batch {facts['global_batch_size']},"
        f" on {facts['device']}; medians (min to max) of seconds"
    )
    rows = [
        ("training waits for a save at once", figures.waits["at once"]),
        ("training waits for one in the background", figures.waits["background"]),
        ("a quiet step", figures.quiet),
        ("a step during a save in the background", figures.during),
    ]
    for name, seconds in rows:
        if seconds:
            middle, low, high = statistics.median(seconds), min(seconds), max(seconds)
            print(f"  {name:42} {middle:8.3f} ({low:.3f} to {high:.3f}), {len(seconds)} times")
    once, aside = (statistics.median(figures.waits[kind]) for kind in figures.waits)
    print(f"  blocking, background to at once: {aside / once:.3f}")
    if figures.during and figures.quiet:
        ratio = statistics.median(figures.during) / statistics.median(figures.quiet)
        print(f"  step, during a save to quiet: {ratio:.3f}")
    print(f"on disk, {sum(parts.values()) / MIB:,.1f} MiB:")
    for name, size in sorted(parts.items(), key=lambda item: -item[1]):
        print(f"  {name:42} {size / MIB:10,.3f} MiB")


if __name__ == "__main__":
    run_cli(main)
