"""The failure report: every kind of failure by hand, merging, memory."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.tiny.data_sets import BOARDS, solved_boards, sudoku_meta
from benchmarks.tiny.models import random_batch, tiny_model
from hrm_scale.evaluation.failures import FailedPuzzle, FailureReport, Part, render
from hrm_scale.evaluation.failures.facts import KINDS, facts_of, first_break
from hrm_scale.evaluation.observers.failures import Failures
from hrm_scale.evaluation.rollout import Query, rollout
from hrm_scale.models.inference import Reasoner
from hrm_scale.puzzles.maze.puzzle import Maze
from hrm_scale.puzzles.unknown import Unknown
from tests.support.failure_cases import (
    CLUES,
    META,
    RIGHT,
    STORIES,
    WRONG,
    answers_of,
    feed,
    report_of,
    told,
)

MAZE_TOKENS = dict(zip("# SGo", range(1, 6), strict=True))


# Of each story: wrong, first contradiction, returns, cells that change at step 4, kinds.
EXPECTED: dict[str, tuple[int, int, int, int, set[str]]] = {
    "stuck": (2, 1, 0, 0, {"broken", "stuck"}),
    "lost": (2, 4, 0, 2, {"broken", "lost", "moving"}),
    "oscillating": (2, 2, 4, 2, {"broken", "lost", "oscillates", "moving"}),
    "confident": (2, 1, 0, 0, {"broken", "stuck", "confident"}),
    "blank": (4, 0, 0, 0, {"stuck"}),
    # All four blanks are filled and emptied again: four returns.
    "passing": (4, 3, 4, 4, {"broken", "oscillates", "moving"}),
    # Cells 5 and 10 are filled, emptied, filled: two returns each. Cell 15 is filled and emptied,
    # clue 1 emptied and filled. Cell 0 is filled once.
    "clue": (1, 2, 6, 3, {"broken", "oscillates", "moving"}),
}


def test_every_kind_of_failure() -> None:
    report = report_of(told())
    names = dict(zip(range(100, 108), STORIES, strict=True))
    assert [names[puzzle.row] for puzzle in report.kept] == list(EXPECTED)
    for puzzle in report.kept:
        name = names[puzzle.row]
        found = (puzzle.wrong, puzzle.broken, puzzle.returns, puzzle.moving, set(puzzle.kinds))
        assert found == EXPECTED[name], name
        assert np.array_equal(puzzle.trace, np.stack(STORIES[name][0]))
        assert np.array_equal(puzzle.question, CLUES)
        assert puzzle.q_halt.tolist() == [-1, -1, -1, STORIES[name][1]]
        assert puzzle.rating == 3 * (puzzle.row - 100)
        assert puzzle.source == puzzle.row % 2


def test_sums() -> None:
    sums = report_of(told()).sums
    assert sums["rows"] == 8
    assert sums["right"].tolist() == [1, 2, 3, 1]
    assert sums["changed"][0] == 0
    kinds = {kind.key: int(n) for kind, n in zip(KINDS, sums["kinds"], strict=True)}
    counted = {key: sum(key in row[4] for row in EXPECTED.values()) for key in kinds}
    assert kinds == counted
    assert sums["broken"].tolist() == [1, 2, 2, 1, 1]
    assert sums["wrong"].sum(0)[:5].tolist() == [1, 1, 4, 0, 2]
    assert sums["wrong"].sum() == 8
    wrong_at = {0: 6, 5: 6, 10: 2, 15: 3}
    assert sums["wrong_at"].tolist() == [wrong_at.get(cell, 0) for cell in range(16)]
    assert sums["labelled_at"].tolist() == [8] * 16
    assert sums["sources"][:2].tolist() == [[4, 1], [4, 0]]


def test_one_step_is_no_standstill() -> None:
    failures = feed(
        Failures(META, 5), CLUES[None], RIGHT[None], CLUES[None, None], np.ones((1, 1)),
        np.arange(1), 6,
    )  # fmt: skip
    (puzzle,) = report_of(failures.sums()).kept
    assert puzzle.kinds == ("confident",)
    assert render(report_of(failures.sums()), "c", "d")


def brute_force(trace: np.ndarray, labels: np.ndarray, labelled: np.ndarray) -> dict[str, int]:
    """The definitions, cell by cell, of one row; trace [N, S]."""
    steps = len(trace)
    returns = moving = 0
    for at in np.flatnonzero(labelled):
        values = trace[:, at].tolist()
        moves = [n for n in range(1, steps) if values[n] != values[n - 1]]
        returns += sum(values[n] in values[:n] for n in moves)
        moving += any(n >= steps - max(1, steps // 4) for n in moves)
    return {
        "wrong": int((trace[-1] != labels)[labelled].sum()),
        "returns": returns,
        "moving": moving,
    }


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 13), st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_counts_are_the_definitions(steps: int, rows: int, cells: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    trace = rng.integers(0, 4, (steps, rows, cells)).astype(np.uint8)
    labels = rng.integers(0, 4, (rows, cells)).astype(np.uint8)
    labelled = rng.random((rows, cells)) < 0.8
    q_halt = rng.normal(size=(steps, rows))
    facts = facts_of(Unknown(1, cells, 4), 4, labels, labels, labelled, trace, q_halt)
    for row in range(rows):
        expected = brute_force(trace[:, row], labels[row], labelled[row])
        found = {name: int(getattr(facts, name)[row]) for name in expected}
        assert found == expected
        right = [(answer == labels[row])[labelled[row]].all() for answer in trace[:, row]]
        assert facts.right[:, row].tolist() == right


# --- rules ----------------------------------------------------------------------------------------


def repeats(tokens: np.ndarray, board: dict[str, int]) -> bool:
    """Does a digit stand twice in a row, column or box? Cell by cell."""
    size = board["height"]
    places = [
        (unit, token)
        for cell, token in enumerate(tokens.tolist())
        if token > 1
        for row, column in [divmod(cell, size)]
        for box in [(row // board["box_height"], column // board["box_width"])]
        for unit in (("row", row), ("column", column), ("box", box))
    ]
    return len(set(places)) < len(places)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from([4, 6, 9]), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_sudoku_rules_are_those_of_one_board(size: int, changes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    answers = solved_boards(size, 6, seed=seed % 1000)
    questions = np.where(rng.random(answers.shape) < 0.5, 1, answers).astype(np.uint8)
    for row in answers:
        row[rng.integers(0, size * size, changes)] = rng.integers(1, size + 2)
    board = sudoku_meta(size, "online").puzzle
    expected = [
        repeats(answer, BOARDS[size]) or bool(((question > 1) & (question != answer)).any())
        for question, answer in zip(questions, answers, strict=True)
    ]
    assert (first_break(board, questions, answers[None]) > 0).tolist() == expected


def maze(text: str) -> np.ndarray:
    return np.array([MAZE_TOKENS[c] for c in text.replace("|", "")], np.uint8)


QUESTION = "S  |## |G  "


@pytest.mark.parametrize(
    ("answer", "broken"),
    [
        ("Soo|##o|Goo", False),
        ("Soo|#oo|Goo", True),  # over a wall
        (" oo|##o|Goo", True),  # no start
        ("Soo|##o|ooo", True),  # no goal
        ("So |##o|Goo", True),  # in pieces
        (QUESTION, True),  # no path at all
        ("Soo|##o|Go ", True),  # ends before it meets
    ],
)
def test_maze_rules(answer: str, broken: bool) -> None:
    board = Maze(3, 3)
    steps = np.stack([maze("Soo|##o|Goo"), maze(answer)])[:, None]
    assert first_break(board, maze(QUESTION)[None], steps).tolist() == [2 * broken]


def test_other_boards_have_no_rules() -> None:
    meta = sudoku_meta(4, "online", kind="arc")
    assert not meta.puzzle.has_rules
    assert report_of(told(meta=meta), meta=meta).sums["broken"].tolist() == [7, 0, 0, 0, 0]
    odd = sudoku_meta(4, "online", kind="x", seq_len=7).puzzle
    assert (odd.height, odd.width) == (4, 2)


# --- parts ----------------------------------------------------------------------------------------


def random_rows(rows: int, steps: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    trace = np.broadcast_to(RIGHT, (steps, rows, 16)).copy()
    hit = rng.random(trace.shape) < 0.08
    trace[hit] = rng.integers(0, 6, int(hit.sum()))
    labels = np.broadcast_to(RIGHT, (rows, 16)).copy()
    labels[rng.random(labels.shape) < 0.1] = -100
    labels[rng.random(rows) < 0.1] = -100
    return {
        "inputs": np.broadcast_to(CLUES, (rows, 16)),
        "labels": labels,
        "trace": trace,
        "q_halt": rng.normal(size=(steps, rows)),
        "numbers": np.sort(rng.choice(10 * rows, rows, replace=False)),
        "ratings": rng.integers(0, 60, rows),
        "sources": rng.integers(0, 2, rows),
    }


def part_of(rows: dict[str, Any], chosen: np.ndarray, batch: int, keep: int) -> Part:
    failures = Failures(META, keep)
    for start in range(0, len(chosen), batch):
        at = chosen[start : start + batch]
        extras = {name: rows[name][at] for name in ("ratings", "sources")}
        feed(
            failures, rows["inputs"][at], rows["labels"][at], rows["trace"][:, at],
            rows["q_halt"][:, at], rows["numbers"][at], META.vocab_size, extras,
        )  # fmt: skip
    return pickle.loads(pickle.dumps(failures.sums()))


def same(one: FailureReport, other: FailureReport) -> None:
    assert one.sums.keys() == other.sums.keys()
    for name, value in one.sums.items():
        assert np.array_equal(value, other.sums[name]), name
    assert [puzzle.row for puzzle in one.kept] == [puzzle.row for puzzle in other.kept]
    assert render(one, "c", "d") == render(other, "c", "d")


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 60),
    ranks=st.integers(1, 5),
    batch=st.integers(1, 20),
    keep=st.integers(1, 12),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_split_gives_the_same_report(
    rows: int, ranks: int, batch: int, keep: int, seed: int
) -> None:
    table = random_rows(rows, 4, seed)
    whole = Failures(META, keep).result([part_of(table, np.arange(rows), rows, keep)])
    rank = np.random.default_rng(seed).integers(0, ranks, rows)
    parts = [part_of(table, np.flatnonzero(rank == r), batch, keep) for r in range(ranks)]
    split = Failures(META, keep).result(parts[::-1])
    same(whole, split)
    assert len(whole.kept) <= keep


def test_kept_puzzles_are_spread() -> None:
    table = random_rows(4000, 2, 3)
    table["numbers"] = np.arange(4000)
    report = report_of(part_of(table, np.arange(4000), 512, 100), keep=100)
    assert len(report.kept) == 100
    quarters = np.bincount([puzzle.row // 1000 for puzzle in report.kept], minlength=4)
    assert quarters.min() > 12, quarters


def test_memory_does_not_grow_with_the_rows() -> None:
    table = random_rows(3000, 4, 1)
    sizes = []
    failures = Failures(META, 7)
    for start in range(0, 3000, 100):
        at = slice(start, start + 100)
        feed(
            failures, table["inputs"][at], table["labels"][at], table["trace"][:, at],
            table["q_halt"][:, at], table["numbers"][at], META.vocab_size,
        )  # fmt: skip
        kept = [puzzle for _, puzzle in failures._kept]
        assert all(value.base is None for puzzle in kept for value in arrays(puzzle))
        sizes.append(len(pickle.dumps(vars(failures))))
    assert len(failures.sums().kept) == 7
    assert max(sizes) < 1.02 * sizes[0]


def arrays(puzzle: FailedPuzzle) -> list[np.ndarray]:
    return [value for value in vars(puzzle).values() if isinstance(value, np.ndarray)]


def test_steps_come_in_order() -> None:
    made = answers_of(
        CLUES[None], RIGHT[None], np.stack([WRONG] * 3)[:, None], np.ones((3, 1)), np.arange(1), 6
    )
    failures = Failures(META, 3)
    failures.add(made[0])
    with pytest.raises(ValueError, match="after step 2"):
        failures.add(made[2])
    for answers in made[1:]:
        failures.add(answers)
    with pytest.raises(ValueError, match="a batch of 2 steps after one of 3"):
        feed(
            failures, CLUES[None], RIGHT[None], np.stack([WRONG] * 2)[:, None], np.ones((2, 1)),
            np.arange(1), 6,
        )  # fmt: skip


def test_a_model_that_answers() -> None:
    model = tiny_model().eval()
    data = random_batch(model.config, 12)
    asked = Query(data, torch.zeros(12, 16), np.arange(12))
    failures = Failures(META, 5)
    *_, last = steps = list(rollout(Reasoner(model), asked, range(1, 5)))
    for answers in steps:
        failures.add(answers)
    report = report_of(failures.sums(), keep=5)
    assert report.sums["right"][-1] == last.solved.sum()
    assert report.sums["rows"] == 12
    for puzzle in report.kept:
        assert np.array_equal(puzzle.trace[-1], last.predictions[puzzle.row])
