"""Solve puzzles: ``python -m hrm_scale.predict checkpoint=RUN puzzle=53..7....6..195…``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hrm_scale.config.entry import resolve
from hrm_scale.errors import ConfigError, run_cli

DESCRIPTION = "Solve a Sudoku, or a file of them, with a trained model."


def main(arguments: list[str]) -> int:
    resolved = resolve(arguments, DESCRIPTION, "predict")
    if resolved is None:
        return 0

    from hrm_scale.evaluation.predict import read_puzzles, solve_and_describe
    from hrm_scale.evaluation.restore import pick_device, restore

    run = resolved.run
    restored = restore(
        Path(run.checkpoint),
        device=pick_device(run.device),
        halt_max_steps=run.halt_max_steps,
        weights=run.weights,
    )
    if restored.meta.kind != "sudoku":
        raise ConfigError(
            f"checkpoint={run.checkpoint} was trained on {restored.meta.kind} puzzles; predict"
            " reads Sudokus only"
        )
    if run.puzzle is not None:
        puzzles = read_puzzles(run.puzzle, "puzzle", restored.meta.board)
    else:
        assert run.file is not None
        puzzles = read_puzzles(None, run.file, restored.meta.board)
    color = run.color == "always" or (
        run.color == "auto" and sys.stdout.isatty() and "NO_COLOR" not in os.environ
    )
    for text in solve_and_describe(restored, puzzles, color=color):
        print(text)
    return 0


if __name__ == "__main__":
    run_cli(main)
