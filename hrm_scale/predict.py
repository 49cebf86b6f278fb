"""Solve puzzles: ``python -m hrm_scale.predict checkpoint=RUN puzzle=53..7....6..195…``."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hrm_scale.base.errors import run_cli
from hrm_scale.base.untrusted import printable
from hrm_scale.config.entry import resolve

if TYPE_CHECKING:
    from hrm_scale.config.schema_inference import PredictConfig
    from hrm_scale.evaluation.restore import Restored

DESCRIPTION = "Solve a Sudoku, a maze or an ARC task, or a file of them, with a trained model."


def main(arguments: list[str]) -> int:
    resolved = resolve(arguments, DESCRIPTION, "predict")
    if resolved is not None:
        predict(resolved.run)
    return 0


def predict(config: PredictConfig) -> None:
    """Answer the puzzles of `config`, print each as its batch is done, and write `output`."""
    from hrm_scale.evaluation.restore import pick_device, restore
    from hrm_scale.prediction.files import check_output, content_of, write
    from hrm_scale.prediction.known_tasks import known_tasks, unknown_note
    from hrm_scale.prediction.solving import solve
    from hrm_scale.prediction.text import Style, describe, summary
    from hrm_scale.puzzles.reading import read_file, read_typed
    from hrm_scale.puzzles.registry import require_known

    if config.output is not None:
        check_output(config.output)
    restored = restore(
        Path(config.checkpoint),
        device=pick_device(config.device),
        halt_max_steps=config.halt_max_steps,
        weights=config.weights,
    )
    board = require_known(restored.meta.puzzle, restored.meta.kind, config.checkpoint)
    if config.puzzle is not None:
        puzzles, tasks = read_typed(config.puzzle, board)
    else:
        assert config.file is not None
        puzzles, tasks = read_file(config.file, board)
    known = None
    if board.has_tasks:
        known = known_tasks(restored, config.data_path)
        if note := unknown_note(known, puzzles):
            print(f"{printable(note)}\n")
    content = None
    if config.output is not None:
        single = tasks is not None and tasks.single
        content = content_of(config.output, board, _about(restored), single=single)
    style = Style(_colored(config.color), shutil.get_terminal_size().columns)
    verdicts, solutions = [], []
    for prediction in solve(restored, board, puzzles, known):
        print(describe(prediction, style, trace=config.trace), flush=True)
        verdicts.append(prediction.verdict.solved)
        solutions.append(prediction.solutions)
        if content is not None:
            content.add(prediction)
    if len(verdicts) > 1:
        print(summary(verdicts, solutions))
    if content is not None:
        assert config.output is not None
        print(write(config.output, content))


def _about(restored: Restored) -> str:
    """The model, without the names of folders: a page may be passed on."""
    kind = "averaged" if restored.averaged else "raw"
    return f"{restored.run.arch.name}, step {restored.checkpoint.step}, {kind} weights"


def _colored(asked: str) -> bool:
    automatic = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    return asked == "always" or (asked == "auto" and automatic)


if __name__ == "__main__":
    run_cli(main)
