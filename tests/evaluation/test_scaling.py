"""Trajectories, how one is chosen, and the counts, against one puzzle and one path at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.tiny.models import IGNORED, random_batch, tiny_model
from hrm_scale.base.statistics import wilson
from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.evaluation import plots
from hrm_scale.evaluation.rollout import Query, rollout
from hrm_scale.evaluation.scaling.measure import Scaling
from hrm_scale.evaluation.scaling.selection import METHODS, right_by_method, same_answers
from hrm_scale.evaluation.scaling.table import render_scaling
from hrm_scale.evaluation.scaling.trajectories import Variety
from hrm_scale.models.flops import head_flops, reasoning_flops
from hrm_scale.models.inference import Reasoner

BOARD = {"height": 4, "width": 4, "box_height": 2, "box_width": 2}
SUDOKU = DatasetMeta("sudoku", "dense", 6, 16, 0, 0, 0, 3, board=BOARD)
ARC = DatasetMeta("arc", "dense", 6, 16, 0, 0, 0, 3)
STEPS, COUNTS = (1, 3), (1, 2, 5)


def reasoner(**changes: Any) -> Reasoner:
    return Reasoner(tiny_model(**changes).eval())


def questions(asker: Reasoner, rows: int = 12, trained_on: int = 1) -> Query:
    """Random questions that this model half solves: half of the labels are its own answers."""
    data = random_batch(asker.config, rows)
    vectors = torch.randn(rows, asker.config.puzzle_emb_ndim, generator=torch.manual_seed(1))
    numbers = np.arange(rows, dtype=np.int64) * 7 + 3
    (answers,) = rollout(asker, Query(data, vectors, numbers), [trained_on])
    data["labels"][::2] = answers.predictions[::2].int()
    data["labels"][1] = IGNORED
    return Query(data, vectors, numbers)


def taken(query: Query, rows: np.ndarray | slice) -> Query:
    assert query.vectors is not None
    data = {name: value[rows] for name, value in query.data.items()}
    return Query(data, query.vectors[rows], query.numbers[rows])


def measured(
    asker: Reasoner, parts: list[Query], meta: DatasetMeta = SUDOKU, **changes: Any
) -> Scaling:
    how = {"noise": 0.3, "random_start": True, "seed": 42, "rows_at_once": 16, **changes}
    scaling = Scaling(meta, asker, STEPS, COUNTS, **how)
    for part in parts:
        scaling.run(part)
    return scaling


def one_path(
    asker: Reasoner, query: Query, number: int, trajectory: int, variety: Variety
) -> dict[int, tuple[Tensor, float]]:
    """Answer and value of halting of one puzzle after each of STEPS, computed alone."""
    puzzle = taken(query, slice(number, number + 1))
    embedding = asker.embed(puzzle.data["inputs"], puzzle.vectors)
    key = torch.from_numpy(variety.keys(puzzle.numbers, trajectory + 1)[:, trajectory].copy())
    z = asker.start(1, torch.device("cpu"))
    if trajectory and variety.random_start:
        z = asker.random_start(key)
    found = {}
    for step in range(1, max(STEPS) + 1):
        if trajectory and variety.noise:
            z = asker.with_noise(z, key, step, variety.noise)
        z = asker.step(z, embedding)
        found[step] = asker.logits(z).argmax(-1)[0], float(asker.q_values(z)[0])
    return found


def choose(method: str, answers: list[bytes], q: list[float], obeying: list[bool]) -> int:
    """The trajectory that a method takes, in the words of its definition."""
    everyone = range(len(q))
    if method == "first":
        return 0
    if method == "agreement":
        groups = {a: [i for i in everyone if answers[i] == a] for a in answers}
        best = max(groups.values(), key=lambda g: (len(g), sum(q[i] for i in g) / len(g), -g[0]))
        return best[0]
    allowed = (
        [i for i in everyone if obeying[i]] if method == "rules" and any(obeying) else everyone
    )
    return max(allowed, key=lambda i: (q[i], -i))


@settings(max_examples=80)
@given(seed=st.integers(0, 1 << 30), k=st.integers(1, 7), known=st.booleans())
def test_methods_choose_as_defined(seed: int, k: int, known: bool) -> None:
    random = np.random.default_rng(seed)
    kinds = random.integers(0, 3, (20, k))  # few answers and few values: ties abound
    answers = np.stack([kinds, kinds // 2], axis=2).astype(np.uint8)
    q = random.integers(-1, 2, (20, k)).astype(np.float64)
    right = kinds == random.integers(0, 3, (20, 1))
    obeying = random.random((20, k)) < 0.3
    found = right_by_method(right, same_answers(answers), q, obeying if known else None)
    for method, solved in zip(METHODS, found, strict=True):
        for row in range(20):
            if method == "any":
                assert solved[row] == right[row].any()
                continue
            seen = obeying[row].tolist() if known else [False] * k
            said = [answer.tobytes() for answer in answers[row]]
            assert solved[row] == right[row, choose(method, said, q[row].tolist(), seen)]


@pytest.mark.parametrize(("noise", "random_start"), [(0.3, True), (0.3, False), (0.0, True)])
def test_counts_are_those_of_each_path_alone(noise: float, random_start: bool) -> None:
    asker = reasoner()
    query = questions(asker)
    variety = Variety(noise, random_start, 42)
    paths = [[one_path(asker, query, n, t, variety) for t in range(5)] for n in range(len(query))]
    assert len({bytes(p[3][0].numpy()) for p in paths[0]}) > 1
    scaling = measured(asker, [query], ARC, noise=noise, random_start=random_start)
    wanted = {}
    for steps in STEPS:
        for k in COUNTS:
            for method in METHODS:
                exact = 0
                for number, labels in enumerate(query.data["labels"]):
                    if (labels == IGNORED).all():
                        continue
                    here = [paths[number][t][steps] for t in range(k)]
                    right = [bool(((a == labels) | (labels == IGNORED)).all()) for a, _ in here]
                    said = [bytes(a.numpy()) for a, _ in here]
                    values = [q for _, q in here]
                    exact += (
                        any(right)
                        if method == "any"
                        else right[choose(method, said, values, [False] * k)]
                    )
                if (k == 1) == (method == "first") and method != "rules":
                    wanted[steps, k, method] = exact
    rows = scaling.result(scaling.sums())
    assert {(r["steps"], r["trajectories"], r["method"]): r["exact"] for r in rows} == wanted
    assert 0 < wanted[1, 1, "first"] < len(query) - 1
    for row in rows:
        k, steps = row["trajectories"], row["steps"]
        assert row["count"] == len(query) - 1
        assert (row["low"], row["high"]) == wilson(row["exact"], row["count"])
        assert row["act_steps"] == k * steps
        work = steps * reasoning_flops(asker.config, 1) + head_flops(asker.config, 1)
        assert row["flops"] == k * work


@pytest.mark.parametrize("rows_at_once", [1, 3, 5, 7, 64])
def test_batches_ranks_and_order_change_nothing(rows_at_once: int) -> None:
    asker = reasoner()
    query = questions(asker)
    whole = measured(asker, [query]).sums()
    order = np.random.default_rng(rows_at_once).permutation(len(query))
    pieces = [taken(query, order[start : start + 5]) for start in range(0, len(query), 5)]
    ranks = [
        measured(asker, part, rows_at_once=rows_at_once)
        for part in (pieces[:1], pieces[1:], [], [taken(query, slice(0))])
    ]
    for name, value in whole.items():
        parts = [rank.sums()[name] for rank in ranks]
        assert {part.shape for part in parts} == {value.shape}
        assert torch.equal(torch.stack(parts).sum(0), value)


def test_the_first_trajectory_is_the_plain_one() -> None:
    asker = reasoner(random_init=True)
    query = questions(asker, trained_on=3)
    rows = measured(asker, [query]).result(measured(asker, [query]).sums())
    plain = {int(said.steps[0]): int(said.solved.sum()) for said in rollout(asker, query, STEPS)}
    assert {r["steps"]: r["exact"] for r in rows if r["method"] == "first"} == plain
    assert plain[3] >= 6


def test_trajectories_without_variety_are_one() -> None:
    asker = reasoner()
    scaling = measured(asker, [questions(asker)], noise=0.0, random_start=False)
    by_method = scaling.sums()["scaling_right"]
    assert (by_method == by_method[:, :1, :1]).all()
    assert (by_method > 0).any()


def test_keys_depend_on_seed_puzzle_and_trajectory_alone() -> None:
    numbers = np.array([5, 0, 123456789012, 7])
    keys = Variety(0.0, True, 42).keys(numbers, 6)
    assert keys.dtype == np.int64
    assert len(np.unique(keys)) == keys.size
    assert (Variety(0.0, True, 42).keys(numbers[[2]], 3) == keys[[2], :3]).all()
    assert not np.isin(Variety(0.0, True, 43).keys(numbers, 6), keys).any()


def test_a_table_says_what_was_counted_and_marks_the_best() -> None:
    asker = reasoner()
    scaling = measured(asker, [questions(asker)])
    rows = scaling.result(scaling.sums())
    text = render_scaling(rows)
    assert "of 11 examples" in text
    assert "any (upper bound)" in text
    for row in rows:
        assert f"{row['exact_accuracy']:.4f}" in text
    best = max(r["exact"] for r in rows if r["steps"] == 1 and r["method"] != "any")
    assert f"{best / 11:.4f}*" in text
    nothing = measured(asker, [])
    assert "no example" in render_scaling(nothing.result(nothing.sums()))


def test_pictures_are_drawn_for_few_and_many_rows(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert plots.missing() == ""
    asker = reasoner()
    scaling = measured(asker, [questions(asker)])
    rows = scaling.result(scaling.sums())
    point = {"k": 1, "scoring": "fraction", "value": 0.5}
    more = {
        "over_tasks_low": 0.4,
        "over_tasks_high": 0.6,
        "over_draws_low": 0,
        "over_draws_high": 1,
    }
    curve = [
        {**point, **more, "count": count, "k": k, "scoring": scoring}
        for count in (1, 3, 1000, None)
        for k in (1, 2)
        for scoring in ("fraction", "all")
    ]
    steps = [
        {"steps": s, "exact_accuracy": 0.5, "low": 0.4, "high": 0.6, "accuracy": 0.9}
        for s in range(1, 40)
    ]
    for name, draw, table in (
        ("scaling", plots.plot_scaling, rows),
        ("plain", plots.plot_scaling, [row for row in rows if row["method"] == "first"]),
        ("steps", plots.plot_steps, steps),
        ("step", plots.plot_steps, steps[:1]),
        ("curve", plots.plot_augmentations, curve),
        ("all", plots.plot_augmentations, [row for row in curve if row["count"] is None]),
    ):
        draw(table, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
