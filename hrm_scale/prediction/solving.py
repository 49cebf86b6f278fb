"""Asking a model puzzles: batches of rows, of ARC every variant of a task, votes counted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from hrm_scale.evaluation.arc.score import ATTEMPTS
from hrm_scale.evaluation.arc.task_votes import Candidate
from hrm_scale.evaluation.restore import Restored
from hrm_scale.evaluation.rollout import Query, rollout
from hrm_scale.models.act import wants_to_halt
from hrm_scale.models.losses import IGNORE_LABEL
from hrm_scale.prediction.known_tasks import KnownTasks
from hrm_scale.prediction.prediction import Attempt, Prediction, Trajectory
from hrm_scale.puzzles import Problem, Puzzle
from hrm_scale.puzzles.arc.grid import FIRST_COLOUR, IDENTITY, augment, undo

BATCH = 64


@dataclass(frozen=True)
class Row:
    """A variant of a puzzle, as the model reads it: tokens uint8 [S]. last: of this puzzle."""

    puzzle: Problem
    tokens: np.ndarray
    identifier: int
    variant: np.ndarray
    last: bool


def solve(
    restored: Restored, board: Puzzle, puzzles: Sequence[Problem], known: KnownTasks | None = None
) -> Iterator[Prediction]:
    """The prediction for each puzzle, in order, a batch of rows at a time.

    known: of ARC, the tasks that the model has identifiers of; their variants vote.
    """
    rows = rows_to_ask(restored, board, puzzles, known)
    first: Trajectory | None = None
    ballots: list[tuple[np.ndarray, float]] = []
    while part := list(islice(rows, BATCH)):
        counts = iter(board.count_solutions([row.puzzle.question for row in part if row.last]))
        for row, trajectory in zip(part, _ask(restored, part), strict=True):
            first = first or trajectory
            ballots.append((_turned_back(board, row, trajectory), float(trajectory.sure[-1])))
            if row.last:
                attempts = _attempts(board, ballots)
                yield Prediction(board, row.puzzle, first, attempts, len(ballots), next(counts))
                first, ballots = None, []


def rows_to_ask(
    restored: Restored, board: Puzzle, puzzles: Sequence[Problem], known: KnownTasks | None
) -> Iterator[Row]:
    """Every variant of every puzzle, those of a puzzle after each other."""
    blank = restored.meta.blank_identifier_id
    for puzzle in puzzles:
        own = known.rows(puzzle.task, blank) if known else [(blank, IDENTITY)]
        for number, (identifier, variant) in enumerate(own, start=1):
            grid = puzzle.question
            if board.has_tasks:
                colours = augment(grid - np.uint8(FIRST_COLOUR), variant)
                grid = colours + np.uint8(FIRST_COLOUR)
            yield Row(puzzle, board.encode(grid), identifier, variant, last=number == len(own))


def _ask(restored: Restored, rows: Sequence[Row]) -> list[Trajectory]:
    """What the model says of each row after each step."""
    device = restored.device
    inputs = torch.from_numpy(np.stack([row.tokens for row in rows])).to(device).int()
    identifiers = torch.tensor([row.identifier for row in rows], dtype=torch.int32, device=device)
    data = {
        "inputs": inputs,
        "labels": torch.full_like(inputs, IGNORE_LABEL),
        "puzzle_identifiers": identifiers,
    }
    vectors = restored.table.lookup(identifiers) if restored.table else None
    query = Query(data, vectors, np.arange(len(rows)))
    config = restored.model.config
    tokens, sure, halts = [], [], []
    for answers in rollout(restored.reasoner, query, range(1, config.halt_max_steps + 1)):
        tokens.append(answers.logits.argmax(-1).to(torch.uint8).cpu().numpy())
        sure.append(answers.q_halt.sigmoid().cpu().numpy())
        halts.append(wants_to_halt(config, answers.q_halt, answers.q_continue).cpu().numpy())
    columns = (np.stack(column, axis=1) for column in (tokens, sure, halts))
    return [Trajectory(*row) for row in zip(*columns, strict=True)]


def _turned_back(board: Puzzle, row: Row, trajectory: Trajectory) -> np.ndarray:
    """The grid after the last step, as an answer to the puzzle as it stands."""
    grid = board.grid(trajectory.tokens[-1])
    if not board.has_tasks:
        return grid
    first = np.uint8(FIRST_COLOUR)
    return undo(grid - first, row.variant) + first


def _attempts(board: Puzzle, ballots: Sequence[tuple[np.ndarray, float]]) -> tuple[Attempt, ...]:
    """The grids most voted for, at most two: most votes first, then the mean of the halt head, as
    the published evaluation ranks them."""
    grids: dict[bytes, np.ndarray] = {}
    sure: dict[bytes, list[float]] = {}
    for grid, q in ballots:
        text = board.text(grid).encode()
        grids.setdefault(text, grid)
        sure.setdefault(text, []).append(0.0 if math.isnan(q) else q)
    candidates = [
        Candidate(text, len(own), math.fsum(own), first)
        for first, (text, own) in enumerate(sure.items())
    ]
    best = sorted(candidates, key=lambda candidate: candidate.rank_key)[:ATTEMPTS]
    return tuple(Attempt(grids[text], votes) for text, votes, _, _ in best)
