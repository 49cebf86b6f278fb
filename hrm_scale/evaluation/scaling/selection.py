"""Choosing one of several answers to a puzzle without knowing the right one."""

from __future__ import annotations

import numpy as np

METHODS = ("first", "halt_head", "agreement", "rules", "any")
"""`first` is trajectory 0, `any` no choice but whether one is right: what a perfect choice gets."""


def right_by_method(
    right: np.ndarray, same: np.ndarray, q_halt: np.ndarray, obeying: np.ndarray | None
) -> list[np.ndarray]:
    """Is the answer right that each of METHODS chooses? bool [n] each, for k trajectories.

    right: bool [n, k]. same: bool [n, k, k], which answers are the same (`same_answers`).
    q_halt: values of halting [n, k]. obeying: bool [n, k], who obeys the rules; None, where there
    are no rules, chooses as if nobody did.
    """
    row = np.arange(len(right))
    confident = by_halt_head(q_halt)
    return [
        right[:, 0],
        right[row, confident],
        right[row, by_agreement(same, q_halt)],
        right[row, confident if obeying is None else by_rules(obeying, q_halt)],
        right.any(axis=1),
    ]


def by_halt_head(q_halt: np.ndarray) -> np.ndarray:
    """The trajectory that is most sure to have finished, int64 [n]; of equal ones the first."""
    return q_halt.argmax(axis=1)


def by_agreement(same: np.ndarray, q_halt: np.ndarray) -> np.ndarray:
    """The first trajectory with the most frequent answer, int64 [n]; of equally frequent answers
    with the one of the largest mean value of halting."""
    votes = same.sum(axis=2)
    mean = np.where(same, q_halt[:, None], 0.0).sum(axis=2) / votes
    return np.where(votes == votes.max(axis=1, keepdims=True), mean, -np.inf).argmax(axis=1)


def by_rules(obeying: np.ndarray, q_halt: np.ndarray) -> np.ndarray:
    """The most sure trajectory of those that obey the rules, or of all if none does, int64 [n]."""
    allowed = obeying | ~obeying.any(axis=1, keepdims=True)
    return np.where(allowed, q_halt, -np.inf).argmax(axis=1)


def same_answers(answers: np.ndarray) -> np.ndarray:
    """bool [n, k, k]: which of the answers [n, k, S] to a puzzle are the same, token by token."""
    return np.stack(
        [(answers == answers[:, [other]]).all(axis=2) for other in range(answers.shape[1])], axis=2
    )
