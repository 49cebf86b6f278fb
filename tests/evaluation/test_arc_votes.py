"""Votes: what a prediction counts for, in which order candidates stand, who may collect them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrm_scale.evaluation.arc.aggregate import task_line
from hrm_scale.evaluation.arc.grid_text import is_grid_text, read_tokens, to_rows
from hrm_scale.evaluation.arc.rows import ArcRows
from hrm_scale.evaluation.arc.score import score
from hrm_scale.evaluation.arc.task_votes import TaskVotes
from hrm_scale.evaluation.arc.votes import ArcVotes
from hrm_scale.puzzles.arc.grid import CELLS, EOS, SIDE, augment, crop, encode, undo
from tests.support.arc_asked import Grid, asked, table_of, tokens_for, variants

TURNED = np.array([1, 0, 3, 1, 2, 4, 5, 6, 7, 8, 9], np.uint8)
ORIGINAL: Grid = [[1, 0], [2, 2], [0, 3]]
A: Grid = [[1, 1], [1, 0]]
B: Grid = [[2]]
C: Grid = [[0, 3, 3]]
TEXT = {"A": "11/10", "B": "2", "C": "033"}


def vote(rows: ArcRows, grids: list[Grid], q: list[float]) -> list[TaskVotes]:
    """The votes of rows 0, 1, 2 ... for these grids."""
    votes = ArcVotes(rows)
    numbers = np.arange(len(grids))
    votes.add(numbers, tokens_for(rows, numbers.tolist(), grids), np.array(q))
    return votes.merge([votes.parts()])


def lines(votes: list[TaskVotes]) -> list[bytes]:
    return [task_line(task) for task in votes]


# --- the worked example ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> ArcRows:
    """Task abcd1234 with the answer A; identifier 2 is the variant of the worked example."""
    table = variants(7)
    table[1] = TURNED
    return asked(tmp_path_factory.mktemp("example"), {"abcd1234": [(ORIGINAL, A)]}, table)


def test_the_variant_of_the_worked_example(example: ArcRows) -> None:
    inputs, labels, identifiers = example.read(np.arange(7))
    assert identifiers.tolist() == [1, 2, 3, 4, 5, 6, 7]
    frame = inputs[1].reshape(SIDE, SIDE)
    assert frame[0, :5].tolist() == [2, 3, 4, 1, 0]
    assert frame[1, :5].tolist() == [5, 3, 2, 1, 0]
    assert frame[2, :5].tolist() == [1, 1, 1, 0, 0]
    assert not frame[3:].any()
    assert crop(inputs[1]).tolist() == [[0, 1, 2], [3, 1, 0]]
    assert read_tokens(inputs, example.variants(np.arange(7))) == [b"10/22/03"] * 7
    assert read_tokens(labels, example.variants(np.arange(7))) == [b"11/10"] * 7
    assert [(task.name, task.answers) for task in example.tasks] == [("abcd1234", (b"11/10",))]


def test_the_votes_of_the_worked_example(example: ArcRows) -> None:
    grids, q = [A, B, B, C, C, A], [0.9, 0.6, 0.5, 0.2, 0.3, 0.1]
    (task,) = vote(example, grids, q)
    wanted = [(TEXT["B"], 2, 0.55), (TEXT["A"], 2, 0.5), (TEXT["C"], 2, 0.25)]
    assert table_of(task) == wanted
    assert (task.pairs[0].right, task.pairs[0].votes, task.pairs[0].distinct) == (1, 6, 3)
    assert [score([task]).fraction[k].value for k in (1, 2, 5)] == [0.0, 1.0, 1.0]
    (task,) = vote(example, [*grids, C], [*q, 0.01])
    assert [row[0] for row in table_of(task)] == [TEXT["C"], TEXT["B"], TEXT["A"]]
    assert table_of(task)[0] == (TEXT["C"], 3, 0.17)
    assert [score([task]).fraction[k].value for k in (1, 2, 5)] == [0.0, 0.0, 1.0]


# --- what a prediction is a vote for --------------------------------------------------------------


def texts_of(tokens: np.ndarray, variant: np.ndarray) -> list[bytes]:
    return read_tokens(tokens[None], variant[None])


@given(st.integers(0, 7), st.permutations(range(1, 10)), st.data())
def test_turning_back_undoes_every_variant(
    turn: int, colours: list[int], data: st.DataObject
) -> None:
    side = st.integers(1, SIDE)
    height, width = data.draw(side), data.draw(side)
    cells = data.draw(st.binary(min_size=height * width, max_size=height * width))
    grid = (np.frombuffer(cells, np.uint8) % 10).reshape(height, width)
    variant = np.array([turn, 0, *colours], np.uint8)
    assert np.array_equal(undo(augment(grid, variant), variant), grid)
    (text,) = texts_of(encode(augment(grid, variant)), variant)
    assert to_rows(text) == grid.tolist()
    assert is_grid_text(text)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.01, 0.1, 0.6]),
    st.sampled_from(["uint8", "int32", "int64"]),
)
def test_reading_many_is_reading_one_by_one(seed: int, spoilt: float, dtype: str) -> None:
    random = np.random.default_rng(seed)
    tokens = random.integers(2, 12, (5, CELLS)).astype(dtype)
    noise = random.random(tokens.shape) < spoilt
    tokens[noise] = random.choice([0, 1, 12, 200], noise.sum())
    table = np.stack(variants(5, seed))
    found = [to_rows(text) for text in read_tokens(tokens, table)]
    assert found == [undo(crop(row), v).tolist() for row, v in zip(tokens, table, strict=True)]


def test_what_spoils_a_prediction() -> None:
    variant = variants(1)[0]
    frame = encode(np.full((3, 4), 7, np.uint8)).reshape(SIDE, SIDE)

    def changed(row: int, column: int | slice, token: int) -> list[bytes]:
        tokens = frame.copy()
        tokens[row, column] = token
        return texts_of(tokens.ravel(), variant)

    assert changed(0, 0, 9) == [b"7777/7777/7777"]
    assert changed(0, 2, EOS) == [b"77/77/77"]  # a stray EOS narrows every row
    assert changed(2, 0, EOS) == [b"7777/7777"]
    assert changed(3, slice(0, 4), 5) == [b"7777/7777/7777/3333"]  # no EOS row: a row longer
    assert changed(0, 0, EOS) == changed(0, 0, 0) == changed(0, 0, 12) == [b""]
    assert to_rows(b"") == []


def test_a_grid_of_nothing_is_a_vote(example: ArcRows) -> None:
    votes = ArcVotes(example)
    tokens = tokens_for(example, [0, 1, 2], [A, A, A])
    tokens[:2, 0] = EOS
    votes.add(np.arange(3), tokens, np.array([0.2, 0.4, 0.9]))
    (task,) = votes.merge([votes.parts()])
    assert table_of(task) == [("", 2, 0.3), ("11/10", 1, 0.9)]


def test_grids_as_wide_as_the_frame(tmp_path: Path) -> None:
    wide = [[(r + c) % 10 for c in range(SIDE)] for r in range(2)]
    rows = asked(tmp_path, {"wide": [(wide, wide)]}, variants(20, seed=3))
    numbers = np.arange(20)
    votes = ArcVotes(rows)
    votes.add(numbers, rows.read(numbers)[1], np.full(20, 0.5))
    (task,) = votes.merge([votes.parts()])
    assert [(row[1], len(row[0])) for row in table_of(task)] == [(20, 2 * SIDE + 1)]
    assert task.pairs[0].right == 0


# --- order and ties -------------------------------------------------------------------------------


def test_ties_go_to_the_first_row_in_any_order(example: ArcRows) -> None:
    grids, q = [C, B, A, A, B, C], [0.5, 0.25, 0.375, 0.375, 0.5, 0.25]
    tokens = tokens_for(example, range(6), grids)
    found = set()
    for seed in range(6):
        votes = ArcVotes(example)
        for number in np.random.default_rng(seed).permutation(6):
            some = np.array([number])
            votes.add(some, tokens[some], np.array(q)[some])
        (task,) = votes.merge([votes.parts()])
        found.add(tuple(row[0] for row in table_of(task)))
        assert [candidate.first for candidate in task.pairs[0].candidates()] == [0, 1, 2]
    assert found == {(TEXT["C"], TEXT["B"], TEXT["A"])}


def test_q_is_summed_exactly_and_nan_is_nothing(example: ArcRows) -> None:
    (task,) = vote(example, [A] * 4, [0.1, 0.2, 0.3, float("nan")])
    (only,) = task.pairs[0].candidates()
    assert (only.votes, only.q_sum) == (4, 0.6)
    assert 0.1 + 0.2 + 0.3 != 0.6


# --- several pairs, padding, rows that are missing ------------------------------------------------

QUESTIONS: list[Grid] = [[[1]], [[2, 2]], [[1]]]


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0)])
def test_pairs_with_the_same_input_have_their_own_votes(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    pairs = list(zip(QUESTIONS, [A, B, C], strict=True))
    # Of the two with the input [[1]] the first stands before the second in every variant.
    wanted = {(0, 1, 2): [0, 1, 2], (1, 2, 0): [1, 0, 2]}[order]
    rows = asked(tmp_path, {"twice": pairs}, variants(4), {"twice": order})
    numbers = np.arange(12)
    assert rows.pairs(numbers).tolist() == [0, 1, 2, *wanted * 3]
    assert rows.pairs(numbers[::-1]).tolist() == [0, 1, 2, *wanted * 3][::-1]
    votes = ArcVotes(rows)
    grids = [[A, B, C][pair] for pair in rows.pairs(numbers)]
    votes.add(numbers, tokens_for(rows, numbers.tolist(), grids), np.ones(12))
    (task,) = votes.merge([votes.parts()])
    assert [table_of(task, pair) for pair in range(3)] == [[(TEXT[name], 4, 1.0)] for name in "ABC"]
    assert task.solved(1) == 3


def test_padding_is_no_vote_and_rows_may_be_missing(tmp_path: Path) -> None:
    tasks = {"one": [([[1]], A), ([[2]], B)], "two": [([[3]], A)]}
    rows = asked(tmp_path, tasks, variants(2))
    votes = ArcVotes(rows)
    votes.add(np.array([-1, 0, -1]), tokens_for(rows, [0, 0, 0], [A, A, B]), np.ones(3))
    votes.add(np.array([-1]), tokens_for(rows, [0], [A]), np.ones(1))
    merged = votes.merge([votes.parts()])
    assert [[pair.votes for pair in task.pairs] for task in merged] == [[1, 0], [0]]
    result = score(merged)
    assert result.without_votes == (("one", 1), ("two", 0))
    assert (result.fraction[1000].value, result.all_pairs[1000].value) == (0.25, 0.0)


def test_only_chosen_tasks_are_merged(tmp_path: Path) -> None:
    tasks = {name: [([[1]], A)] for name in ("one", "two", "three")}
    rows = asked(tmp_path, tasks, variants(4))
    chosen = np.array([1, 8, 11])
    votes = ArcVotes(rows, chosen)
    votes.add(chosen, tokens_for(rows, chosen.tolist(), [A, A, B]), np.ones(3))
    assert votes.held == 0
    merged = votes.merge([votes.parts()])
    assert [(task.name, task.pairs[0].votes) for task in merged] == [("one", 1), ("three", 2)]


@pytest.mark.parametrize("again", [[0], [0, 1, 2, 3, 4, 5, 6]])
def test_a_row_votes_once(example: ArcRows, again: list[int]) -> None:
    votes = ArcVotes(example)
    tokens = tokens_for(example, range(7), [A] * 7)
    votes.add(np.arange(7), tokens, np.ones(7))
    other = ArcVotes(example)
    other.add(np.array(again), tokens[again], np.ones(len(again)))
    with pytest.raises(ValueError, match="abcd1234 voted twice"):
        votes.merge([votes.parts(), other.parts()])
    votes = ArcVotes(example)
    votes.add(np.array([0, 0, 1]), tokens[[0, 0, 1]], np.ones(3))
    with pytest.raises(ValueError, match="abcd1234 voted twice"):
        votes.merge([votes.parts()])


# --- any number of processes ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> ArcRows:
    pairs: list[list[tuple[Grid, Grid]]] = [
        [([[1]], A)],
        [([[1, 2]], A), ([[2]], B), ([[1, 2]], C)],
        [([[5]], B)],
        [([[1]], C), ([[6, 7]], A)],
    ]
    tasks = {f"task{number}": own for number, own in enumerate(pairs)}
    return asked(tmp_path_factory.mktemp("several"), tasks, variants(6, seed=9))


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 20), st.booleans())
def test_any_sharing_of_the_rows_gives_the_same_votes(
    several: ArcRows, seed: int, processes: int, batch: int, stretches: bool
) -> None:
    random = np.random.default_rng(seed)
    numbers = np.arange(len(several))
    grids = [[A, B, C][k] for k in random.integers(0, 3, len(numbers))]
    tokens = tokens_for(several, numbers.tolist(), grids)
    q = random.choice([0.1, 0.2, 0.3, 0.7], len(numbers)).astype(np.float32)
    settings = {"counts": (1, 3), "random_seed": seed, "draws": 3}
    alone = ArcVotes(several, **settings)
    alone.add(numbers, tokens, q)
    assert alone.held == 0
    wanted = alone.merge([alone.parts()])
    parts = []
    if stretches:
        cuts = np.sort(random.integers(0, len(numbers) + 1, processes - 1))
        shares = np.split(numbers, cuts)
    else:
        owner = random.integers(0, processes, len(numbers))
        shares = [random.permutation(numbers[owner == process]) for process in range(processes)]
    for share in shares:
        votes = ArcVotes(several, **settings)
        for start in range(0, len(share), batch):
            some = share[start : start + batch]
            votes.add(some, tokens[some], q[some])
        if stretches:
            assert len(votes.parts().unfinished) <= 2  # the tasks cut at its two ends
        parts.append(pickle.loads(pickle.dumps(votes.parts())))
    merged = ArcVotes(several, **settings).merge([parts[k] for k in random.permutation(processes)])
    assert lines(merged) == lines(wanted)
    for one, other in zip(merged, wanted, strict=True):
        assert np.array_equal(one.curve, other.curve)


def test_votes_are_let_go_when_a_task_is_finished(several: ArcRows) -> None:
    votes = ArcVotes(several, counts=(1, 2))
    held = []
    for number in range(len(several)):
        some = np.array([number])
        votes.add(some, tokens_for(several, [number], [A]), np.ones(1))
        held.append(votes.held)
    last = np.cumsum(several.expected()) - 1
    assert [held[number] for number in last] == [0, 0, 0, 0]
    assert max(held) == several.expected().max() - 1
    assert votes.parts().unfinished == {}


def test_a_thousand_candidates_are_kept_and_the_right_one(tmp_path: Path) -> None:
    table = variants(1, 0) * 1
    table += variants(1103, seed=5)[1:]
    rows = asked(tmp_path, {"much": [([[1]], [[9, 9]])]}, table)
    numbers = np.arange(len(table))
    grids: list[Grid] = [[[n // 100 % 10, n // 10 % 10, n % 10, n // 1000]] for n in numbers]
    grids[5] = [[9, 9]]
    q = np.linspace(1.0, 0.5, len(table))
    q[5] = 0.1
    votes = ArcVotes(rows)
    votes.add(numbers, tokens_for(rows, numbers.tolist(), grids), q)
    (task,) = votes.merge([votes.parts()])
    pair = task.pairs[0]
    assert (pair.votes, pair.distinct, pair.right) == (1103, 1103, 1102)
    kept = pair.candidates()
    assert len(kept) == 1001
    assert kept[-1].text == b"99"
    assert score([task]).fraction[1000].value == 0.0
