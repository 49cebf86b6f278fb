"""Answers to single puzzles, with what is wrong in them and how sure the model is."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hrm_scale.errors import DataError
from hrm_scale.evaluation.restore import Restored
from hrm_scale.evaluation.rollout import rollout
from hrm_scale.evaluation.sudoku import BLANK_TOKEN, contradictions, draw, parse_puzzle
from hrm_scale.models.act import wants_to_halt
from hrm_scale.models.losses import IGNORE_LABEL

BATCH = 64


@dataclass(frozen=True)
class Puzzle:
    """A question, and its answer where one is known; digits uint8 [cells]."""

    name: str
    question: np.ndarray
    answer: np.ndarray | None = None


def read_puzzles(text: str | None, source: str, board: Mapping[str, int]) -> list[Puzzle]:
    """The puzzle `text`, or those of the file `source`: one a line, or a CSV (also .gz) with a
    column `question` and perhaps `answer`. Raises DataError with one line."""
    if text is not None:
        return [Puzzle("puzzle", parse_puzzle(text, board, source))]
    lines = _read_text(source).splitlines()
    if not any(line.strip() for line in lines):
        raise DataError(f"file={source} is empty: write one puzzle a line")
    try:
        if "question" in next(csv.reader(line for line in lines if line.strip())):
            return _read_table(lines, source, board)
    except csv.Error as error:
        raise DataError(f"file={source} is no readable CSV: {error}") from None
    return [
        Puzzle(f"line {n}", parse_puzzle(line, board, f"{source} line {n}"))
        for n, line in enumerate(lines, start=1)
        if line.strip()
    ]


def _read_text(source: str) -> str:
    path = Path(source)
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"file={source} does not exist") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"file={source} cannot be read: {error}") from None


def _read_table(lines: list[str], source: str, board: Mapping[str, int]) -> list[Puzzle]:
    first = next(n for n, line in enumerate(lines) if line.strip())
    table = csv.DictReader(lines[first:])
    puzzles = []
    for row in table:
        number = first + table.line_num
        where = f"{source} line {number}"
        answer = parse_puzzle(row["answer"], board, where) if row.get("answer") else None
        # A row shorter than the header has no question at all.
        question = parse_puzzle(row["question"] or "", board, where)
        puzzles.append(Puzzle(f"line {number}", question, answer))
    if not puzzles:
        raise DataError(f"file={source} has a header and no puzzle below it")
    return puzzles


def solve_and_describe(
    restored: Restored, puzzles: Sequence[Puzzle], *, color: bool
) -> Iterator[str]:
    """For each puzzle: question and answer drawn side by side, and a verdict below."""
    for start in range(0, len(puzzles), BATCH):
        part = puzzles[start : start + BATCH]
        answers, sure, halts = _solve(restored, part)
        for puzzle, answer, certainty, halt in zip(part, answers, sure, halts, strict=True):
            yield _describe(restored, puzzle, answer, float(certainty), int(halt), color)


def _solve(
    restored: Restored, puzzles: Sequence[Puzzle]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Digits [n, cells], certainty of the halt head [n], first step it would halt at [n] (0: none).

    A prediction that is no digit comes out as -1.
    """
    inputs = np.stack([puzzle.question for puzzle in puzzles]).astype(np.int32) + BLANK_TOKEN
    batch = {
        "inputs": torch.from_numpy(inputs).to(restored.device),
        "labels": torch.full(inputs.shape, IGNORE_LABEL, device=restored.device).int(),
        "puzzle_identifiers": torch.full(
            (len(puzzles),), restored.meta.blank_identifier_id, device=restored.device
        ).int(),
    }
    halts = np.zeros(len(puzzles), dtype=np.int64)
    for step, (_, outputs) in enumerate(rollout(restored.model, restored.table, batch), start=1):
        values = outputs.q_halt_logits, outputs.q_continue_logits
        would = wants_to_halt(restored.model.config, *values).cpu().numpy()
        halts[would & (halts == 0)] = step
    digits = outputs.logits.argmax(-1).cpu().numpy().astype(np.int64) - BLANK_TOKEN
    digits[digits < 1] = -1
    return digits, outputs.q_halt_logits.sigmoid().cpu().numpy(), halts


def _describe(
    restored: Restored, puzzle: Puzzle, answer: np.ndarray, sure: float, halt: int, color: bool
) -> str:
    board = restored.meta.board
    clashing = contradictions(np.where(answer < 1, 0, answer), board) | (answer < 1)
    changed = (puzzle.question > 0) & (puzzle.question != answer)
    wrong = clashing | changed
    faults = []
    if changed.any():
        faults.append(f"{int(changed.sum())} clues changed")
    if clashing.any():
        faults.append(f"{int(clashing.sum())} cells contradict each other")
    if puzzle.answer is not None:
        missed = puzzle.answer != answer
        wrong = wrong | missed
        if missed.any():
            faults.append(f"{int(missed.sum())} cells differ from the known answer")
    verdict = "solved" if not faults else "not solved: " + ", ".join(faults)
    steps = restored.model.config.halt_max_steps
    when = f"would halt at step {halt} of {steps}" if halt else f"would not halt in {steps} steps"
    drawing = draw(puzzle.question, answer, wrong, board, color)
    return f"{puzzle.name}\n{drawing}\n{verdict}; halt head {sure:.1%} sure, {when}\n"
