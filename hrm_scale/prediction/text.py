"""A prediction in words and drawings, and the way to it step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hrm_scale.base.untrusted import printable
from hrm_scale.prediction.prediction import Attempt, Prediction, Step
from hrm_scale.puzzles.arc.puzzle import sides
from hrm_scale.puzzles.base import NO_SOLUTION, SEVERAL_SOLUTIONS
from hrm_scale.puzzles.terminal import Block, Marks, beside, draw
from hrm_scale.puzzles.text import counted


@dataclass(frozen=True)
class Style:
    """How wide the terminal is, and whether it is to have colours."""

    color: bool
    columns: int = 80


def describe(prediction: Prediction, style: Style, *, trace: bool) -> str:
    """Question and answer drawn, the steps in between with `trace`, and the verdict below."""
    parts = [printable(prediction.puzzle.name)]
    if trace:
        parts.append(_trace(prediction, style))
    parts += [beside(_blocks(prediction, style), style.columns), _verdict(prediction)]
    if prediction.note:
        parts.append(f"note: {printable(prediction.note)}")
    return "\n".join(parts) + "\n"


def summary(verdicts: Sequence[bool | None], solutions: Sequence[str | None]) -> str:
    """One line over the verdicts of several puzzles and how many solutions they have."""
    solved = sum(verdict is True for verdict in verdicts)
    unknown = sum(verdict is None for verdict in verdicts)
    failed = len(verdicts) - solved - unknown
    told = f", {unknown} of unknown answer" if unknown else ""
    puzzles = counted(len(verdicts), "puzzle", "puzzles")
    line = f"{puzzles}: {solved} solved, {failed} not{told}"
    named = ((NO_SOLUTION, "without a solution"), (SEVERAL_SOLUTIONS, "with several solutions"))
    facts = [f"{solutions.count(name)} {words}" for name, words in named if name in solutions]
    return f"{line}; {', '.join(facts)}" if facts else line


def _blocks(prediction: Prediction, style: Style) -> list[Block]:
    board, puzzle, wrong = prediction.board, prediction.puzzle, prediction.verdict.wrong
    answer = prediction.attempts[0].grid
    if board.drawing.crop:
        return _shaped_blocks(prediction, style)
    given = _clues(prediction)
    marks = Marks(given=given, wrong=wrong)
    drawn = draw(board, answer, marks, color=style.color, question=puzzle.question)
    if board.drawing.shows_question:
        return [drawn]
    return [draw(board, puzzle.question, Marks(given=given), color=style.color), drawn]


def _clues(prediction: Prediction) -> np.ndarray | None:
    """bool [h, w], the cells that the question fills already."""
    blank = prediction.board.blank
    return None if blank is None else prediction.puzzle.question != blank


def _shaped_blocks(prediction: Prediction, style: Style) -> list[Block]:
    board, puzzle = prediction.board, prediction.puzzle
    input_ = draw(board, puzzle.question, Marks(), color=style.color)
    blocks = [input_.titled(f"input {sides(puzzle.question)}")]
    for number, attempt in enumerate(prediction.attempts, start=1):
        marks = Marks(wrong=prediction.verdict.wrong if number == 1 else None)
        title = f"attempt {number} {sides(attempt.grid)}"
        drawn = draw(board, attempt.grid, marks, color=style.color)
        blocks.append(drawn.titled(title))
    if puzzle.answer is not None:
        known = draw(board, puzzle.answer, Marks(), color=style.color)
        blocks.append(known.titled(f"known answer {sides(puzzle.answer)}"))
    return blocks


def _verdict(prediction: Prediction) -> str:
    trajectory = prediction.trajectory
    steps = len(trajectory.sure)
    halt = trajectory.halt
    when = f"would halt at step {halt} of {steps}" if halt else f"would not halt in {steps} steps"
    line = f"{prediction.verdict.words}; halt head {prediction.sure:.1%} sure, {when}"
    if prediction.asked > 1:
        line += f"; {_votes(prediction.attempts, prediction.asked)}"
    return line


def _votes(attempts: Sequence[Attempt], asked: int) -> str:
    shares = " and ".join(str(attempt.votes) for attempt in attempts)
    return f"{shares} of {asked} votes"


def _trace(prediction: Prediction, style: Style) -> str:
    """A table of the steps, and the answers: one drawing for neighbouring steps that agree."""
    steps = list(prediction.steps())
    runs: list[list[Step]] = []
    for step in steps:
        if runs and step.changed is not None and not step.changed.any():
            runs[-1].append(step)
        else:
            runs.append([step])
    blocks = [_run_block(prediction, run, style) for run in runs]
    return f"{_table(prediction, steps)}\n\n{beside(blocks, style.columns)}\n\nanswer"


def _table(prediction: Prediction, steps: Sequence[Step]) -> str:
    arc, known = prediction.board.drawing.crop, prediction.puzzle.answer
    lines = [f"step  changed  wrong  halt head{'  grid' if arc else ''}"]
    for step in steps:
        changed = "-" if step.changed is None else str(int(step.changed.sum()))
        # Of grids, cells can be compared with those of a known answer of the same shape.
        comparable = not arc or (known is not None and known.shape == step.grid.shape)
        wrong = str(int(step.wrong.sum())) if comparable else "-"
        line = f"{step.number:4}  {changed:>7}  {wrong:>5}  {step.sure:9.1%}"
        line += f"  {sides(step.grid):5}" if arc else ""
        lines.append(line + ("  would halt" if step.halts else ""))
    return "\n".join(line.rstrip() for line in lines)


def _run_block(prediction: Prediction, run: Sequence[Step], style: Style) -> Block:
    board, first = prediction.board, run[0]
    marks = Marks(given=_clues(prediction), wrong=first.wrong, changed=first.changed)
    drawn = draw(
        board,
        first.grid,
        marks,
        color=style.color,
        lines=False,
        question=prediction.puzzle.question,
    )
    title = f"step {first.number}"
    if len(run) > 1:
        title += f" to {run[-1].number}"
    wrong = int(first.wrong.sum())
    return drawn.titled(title, f"{counted(wrong, 'cell', 'cells')} wrong" if wrong else "")
