"""How rows came to their last answer: what is counted of each, and the kinds of failure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hrm_scale.puzzles import Puzzle


@dataclass(frozen=True)
class Facts:
    """Of n rows after N ACT steps; only cells with a label count, except for the rules.

    wrong int64 [n]: cells that are wrong at the last step. right bool [N, n]: every cell is right.
    changed int64 [N, n]: cells that differ from the step before (none at step 1). broken int64 [n]:
    the first step whose answer breaks a rule, 0 for none. returns int64 [n]: how often a cell
    changed back to a value that it had had before. moving int64 [n]: cells that change in the last
    quarter of the steps. sure bool [n]: the halt head is above 0 at the last step.
    """

    wrong: np.ndarray
    right: np.ndarray
    changed: np.ndarray
    broken: np.ndarray
    returns: np.ndarray
    moving: np.ndarray
    sure: np.ndarray


def facts_of(
    puzzle: Puzzle,
    vocab_size: int,
    questions: np.ndarray,
    labels: np.ndarray,
    labelled: np.ndarray,
    answers: np.ndarray,
    q_halt: np.ndarray,
) -> Facts:
    """questions, labels uint8 [n, S], labelled bool [n, S], answers uint8 [N, n, S], q_halt
    float32 [N, n]."""
    hit = (answers == labels) | ~labelled
    moves = (answers[1:] != answers[:-1]) & labelled
    changed = np.zeros(answers.shape[:2], np.int64)
    changed[1:] = moves.sum(-1)
    late = moves[len(moves) - last_quarter(len(answers)) :] if len(moves) else moves
    return Facts(
        wrong=(~hit[-1]).sum(-1),
        right=hit.all(-1),
        changed=changed,
        broken=first_break(puzzle, questions, answers),
        returns=_returns(answers, moves, vocab_size),
        moving=late.any(0).sum(-1),
        sure=q_halt[-1] > 0,
    )


def first_break(puzzle: Puzzle, questions: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """The first ACT step 1 ... N whose answer contradicts the rules, 0 for none, int64 [n].

    questions uint8 [n, S], answers uint8 [N, n, S].
    """
    first = np.zeros(len(questions), np.int64)
    if not puzzle.has_rules:
        return first
    for at, answer in enumerate(answers):
        # What has not changed was looked at before.
        fresh = (answer != answers[at - 1]).any(1) if at else np.ones(len(first), bool)
        rows = np.flatnonzero(fresh & (first == 0))
        broken = puzzle.broken(questions[rows], answer[rows])
        first[rows[broken]] = at + 1
    return first


def last_quarter(steps: int) -> int:
    """How many of so many steps are the last quarter: at least one."""
    return max(1, steps // 4)


def _returns(answers: np.ndarray, moves: np.ndarray, vocab_size: int) -> np.ndarray:
    """int64 [n]: moves to a value that the cell had at any earlier step."""
    seen = np.zeros((*answers.shape[1:], vocab_size), bool)
    count = np.zeros(answers.shape[1], np.int64)
    for step, answer in enumerate(answers):
        values = answer[..., None].astype(np.int64)
        if step:
            again = np.take_along_axis(seen, values, -1)[..., 0]
            count += (again & moves[step - 1]).sum(-1)
        np.put_along_axis(seen, values, True, -1)
    return count


@dataclass(frozen=True)
class Kind:
    """A way to fail. A failing puzzle can be of several kinds, or of none."""

    key: str
    name: str
    meaning: str
    test: Callable[[Facts], np.ndarray]


KINDS = (
    Kind(
        "broken",
        "contradicts itself",
        "the answer after some step breaks a rule of the puzzle or changes what is given. What is"
        " still open breaks no rule.",
        lambda facts: facts.broken > 0,
    ),
    Kind(
        "lost",
        "solved, then lost",
        "every cell was right after an earlier step, and not after the last.",
        lambda facts: facts.right[:-1].sum(0) > 0,
    ),
    Kind(
        "oscillates",
        "oscillates",
        "at least one cell changed back to a value that it had had before (a return).",
        lambda facts: facts.returns > 0,
    ),
    Kind(
        "moving",
        "still changing",
        "at least one cell changed in the last quarter of the steps.",
        lambda facts: facts.moving > 0,
    ),
    Kind(
        "stuck",
        "stuck",
        "no cell changed in the last quarter of the steps: more steps would hardly help.",
        lambda facts: (facts.moving == 0) & (len(facts.changed) > 1),
    ),
    Kind(
        "confident",
        "confident and wrong",
        "the halt head is above 0 after the last step: the model believes its wrong answer.",
        lambda facts: facts.sure,
    ),
)
