"""Counting right answers, against plain numpy over all rows at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.tiny.data_sets import sudoku_meta, write_online
from benchmarks.tiny.models import IGNORED, eval_steps, random_batch, tiny_model
from benchmarks.tiny.runs import assert_same_bits
from hrm_scale.data import open_dataset
from hrm_scale.engine import PlainEngine
from hrm_scale.evaluation.early_exit import early_exit_rollout
from hrm_scale.evaluation.evaluate import evaluate
from hrm_scale.evaluation.observers.breakdown import Breakdown
from hrm_scale.evaluation.observers.step_counts import StepCounts
from hrm_scale.evaluation.observers.tally import Tally, best_baseline
from hrm_scale.evaluation.rollout import ModelOutputs, Query, rollout
from hrm_scale.evaluation.row_threads import row_threads
from hrm_scale.models.act import ActModel
from hrm_scale.models.inference import Reasoner
from hrm_scale.optim.puzzle_table import DeviceTable

VOCAB, CELLS, PAD = 5, 4, 1
LOSS = "softmax_cross_entropy"
CPU = torch.device("cpu")


def brute_force(
    inputs: np.ndarray, labels: np.ndarray, logits: np.ndarray, q_halt: np.ndarray
) -> dict[str, float]:
    """Every quantity row by row, as its name says."""
    rows = [
        (i, y, x.argmax(-1), q)
        for i, y, x, q in zip(inputs, labels, logits, q_halt, strict=True)
        if (y != IGNORED).any()
    ]
    count = len(rows)
    if not count:
        return {"count": 0.0}

    def score(predictions: list[np.ndarray]) -> tuple[float, float]:
        exact = cells = 0.0
        for (_, y, _, _), guess in zip(rows, predictions, strict=True):
            real = y != IGNORED
            share = float((guess[real] == y[real]).mean())
            exact, cells = exact + (share == 1), cells + share
        return exact / count, cells / count

    labelled = np.concatenate([y[y != IGNORED] for _, y, _, _ in rows])
    frequent = int(np.bincount(labelled, minlength=VOCAB).argmax())
    out = {"count": float(count)}
    out["exact_accuracy"], out["accuracy"] = score([guess for _, _, guess, _ in rows])
    solved = [bool((guess[y != IGNORED] == y[y != IGNORED]).all()) for _, y, guess, _ in rows]
    out["q_halt_accuracy"] = float(
        np.mean([(q >= 0) == right for (_, _, _, q), right in zip(rows, solved, strict=True)])
    )
    guesses = {
        "all_pad": [np.full(CELLS, PAD)] * count,
        "most_frequent": [np.full(CELLS, frequent)] * count,
        "copy_input": [i for i, _, _, _ in rows],
    }
    for name, predictions in guesses.items():
        exact, cells = score(predictions)
        out[f"baseline/{name}/exact_accuracy"] = exact
        out[f"baseline/{name}/accuracy"] = cells
    return out


def answers_of(
    inputs: np.ndarray, labels: np.ndarray, logits: np.ndarray, q_halt: np.ndarray
) -> ModelOutputs:
    """The last answers to some rows, after four steps."""
    data = {"inputs": torch.from_numpy(inputs), "labels": torch.from_numpy(labels)}
    q = torch.from_numpy(q_halt)
    steps = torch.full((len(inputs),), 4, dtype=torch.int32)
    query = Query(data, None, np.arange(len(inputs)))
    return ModelOutputs(query, steps, torch.from_numpy(logits), q, -q, last=True)


def tally_of(
    inputs: np.ndarray, labels: np.ndarray, logits: np.ndarray, q_halt: np.ndarray, size: int
) -> dict[str, float]:
    tally = Tally(VOCAB, PAD, LOSS, CPU)
    for start in range(0, len(inputs), size):
        part = slice(start, start + size)
        tally.add(answers_of(inputs[part], labels[part], logits[part], q_halt[part]))
    return tally.result()


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 5), st.floats(0, 1))
def test_tally_equals_counting_by_hand(seed: int, rows: int, size: int, ease: float) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, (rows, CELLS)).astype(np.int32)
    labels[rng.random(rows) < 0.3] = rng.integers(0, 2)  # rows that a constant solves
    inputs = np.where(rng.random((rows, CELLS)) < ease, labels, 1).astype(np.int32)
    logits = rng.normal(size=(rows, CELLS, VOCAB)).astype(np.float32)
    np.put_along_axis(logits, labels[..., None], 4 * ease, -1)
    labels[rng.random((rows, CELLS)) < 0.2] = IGNORED
    labels[rng.random(rows) < 0.2] = IGNORED  # padding rows
    q_halt = rng.normal(size=rows).astype(np.float32)
    ours = tally_of(inputs, labels, logits, q_halt, size)
    expected = brute_force(inputs, labels, logits, q_halt)
    for name, value in expected.items():
        assert ours[name] == pytest.approx(value, abs=1e-6), name
    if expected["count"]:
        assert ours["steps"] == 4
        assert best_baseline(ours) == max(
            value
            for name, value in expected.items()
            if name.startswith("baseline") and name.endswith("exact_accuracy")
        )


def test_nothing_evaluated_is_said() -> None:
    assert Tally(VOCAB, PAD, LOSS, CPU).result() == {"count": 0.0}
    assert "nothing to evaluate" in Tally(VOCAB, PAD, LOSS, CPU).render({"count": 0.0})


def test_answers_know_which_rows_are_solved() -> None:
    logits = np.zeros((3, CELLS, VOCAB), np.float32)
    logits[..., 2] = 1
    labels = np.full((3, CELLS), 2, np.int32)
    labels[1, 0] = 1
    labels[2] = IGNORED
    answers = answers_of(labels, labels, logits, np.zeros(3, np.float32))
    assert answers.solved.tolist() == [True, False, False]
    assert answers.scored.tolist() == [True, True, False]
    assert answers.share.tolist() == [1.0, 0.75, 0.0]


def test_a_halting_value_of_zero_means_right() -> None:
    """As in the loss: a sigmoid of 1/2 counts as a claim to be right."""
    labels = np.zeros((4, CELLS), np.int32)
    logits = np.zeros((4, CELLS, VOCAB), np.float32)
    logits[:3, :, 0], logits[3, :, 1] = 1, 1
    answers = answers_of(labels, labels, logits, np.zeros(4, np.float32))
    tally, counts = Tally(VOCAB, PAD, LOSS, CPU), StepCounts([4], CPU)
    tally.add(answers)
    counts.add(answers)
    (row,) = counts.result(counts.sums())
    found = tally.result()
    assert (row["exact"], row["q_halt_accuracy"]) == (3, 0.75)
    assert (found["exact_accuracy"], found["q_halt_accuracy"]) == (0.75, 0.75)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_online(tmp_path_factory.mktemp("evaluate") / "data", examples=60)  # 50 test rows


def measure(
    model: ActModel, data: Path, batch_size: int, limit: int | None = None, seed: int = 0
) -> dict[str, float]:
    table = DeviceTable(1, 16, torch.device("cpu"))
    questions = open_dataset(data).eval_batches("test", batch_size, limit=limit, seed=seed)
    tally = Tally(model.config.vocab_size, PAD, LOSS, CPU)
    what = (model, table, questions, [tally])
    result = evaluate(*what, PlainEngine("cpu"), report_steps=[4])
    assert result is not None
    results: dict[str, float] = result["results"]
    return results


def test_the_batch_size_does_not_matter(data: Path) -> None:
    model = tiny_model().train()
    whole = measure(model, data, 50)
    assert whole["count"] == 50
    assert whole["steps"] == 4
    for batch_size in (7, 32, 64):  # the last batch is padded
        found = measure(model, data, batch_size)
        for name, value in found.items():
            assert value == pytest.approx(whole[name], rel=1e-5, abs=1e-6), (batch_size, name)
    assert model.training


def test_a_limit_takes_a_seeded_subset(data: Path) -> None:
    model = tiny_model()
    subset = measure(model, data, 8, limit=20)
    assert subset["count"] == 20
    assert subset == measure(model, data, 8, limit=20)
    assert subset["lm_loss"] != measure(model, data, 8, limit=20, seed=1)["lm_loss"]
    assert measure(model, data, 8, limit=10_000)["count"] == 50


def test_evaluation_ends_early_when_progress_says_so(data: Path) -> None:
    seen: list[int] = []

    def progress(done: int) -> bool:
        seen.append(done)
        return len(seen) == 2

    model = tiny_model().train()
    what = (model, DeviceTable(1, 16, CPU), open_dataset(data).eval_batches("test", 8), [])
    assert evaluate(*what, PlainEngine("cpu"), report_steps=[4], progress=progress) is None
    assert seen == [8, 16]
    assert model.training


def test_rollout_touches_neither_weights_nor_random_numbers() -> None:
    model = tiny_model().eval()
    batch = random_batch(model.config, 5)
    table = DeviceTable(3, 16, CPU)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    generator = torch.random.get_rng_state()
    query = Query(batch, table.lookup(batch["puzzle_identifiers"]), np.arange(5))
    found = list(rollout(Reasoner(model), query, range(1, 5)))
    assert [answers.steps.tolist() for answers in found] == [[n] * 5 for n in (1, 2, 3, 4)]
    assert [answers.last for answers in found] == [False, False, False, True]
    assert torch.equal(torch.random.get_rng_state(), generator)
    assert_same_bits(before, dict(model.state_dict()))
    assert not found[-1].logits.requires_grad


@pytest.mark.parametrize("name", ["hrm_v1", "trm", "hrm_v2", "urm"])
@pytest.mark.parametrize("changes", [{}, {"random_init": True}, {"q_continue": "none"}])
def test_a_rollout_is_the_models_own_steps_bit_for_bit(name: str, changes: dict[str, Any]) -> None:
    model = tiny_model(name=name, **changes).eval()
    batch = random_batch(model.config, 5)
    table = DeviceTable(3, 16, CPU)
    table.load_rows(torch.randn(3, 16))
    query = Query(batch, table.lookup(batch["puzzle_identifiers"]), np.arange(5))
    ours = list(rollout(Reasoner(model), query, range(1, 5)))
    theirs = list(eval_steps(model, table, batch))
    for answers, (carry, outputs) in zip(ours, theirs, strict=True):
        assert torch.equal(answers.logits, outputs.logits)
        assert torch.equal(answers.q_halt, outputs.q_halt_logits)
        assert torch.equal(answers.q_continue, outputs.q_continue_logits)
        assert torch.equal(answers.steps, carry.steps)


def test_early_exit_waits_for_an_answer_that_stands() -> None:
    """Against the same rule applied to a whole pass, for every order and number of slots."""
    model = tiny_model(halt_max_steps=8, q_continue="none").eval()
    with torch.no_grad():
        # Now the halting value crosses 0 in the middle of a pass, for many rows.
        model.inner.q_head.weight[0] = 3 * torch.randn(32)
        model.inner.q_head.bias[0] = 0
    batch = random_batch(model.config, 60)
    table = DeviceTable(3, 16, CPU)
    query = Query(batch, table.lookup(batch["puzzle_identifiers"]), np.arange(60))
    reasoner = Reasoner(model)
    whole = list(rollout(reasoner, query, range(1, 9)))
    expected = {}
    for row in range(60):
        for step in range(2, 9):
            now, before = whole[step - 1], whole[step - 2]
            stands = torch.equal(now.predictions[row], before.predictions[row])
            if step == 8 or (now.q_halt[row] > 0 and stands):
                expected[row] = (step, now.predictions[row].tolist())
                break
    assert len({step for step, _ in expected.values()}) >= 2, "rows end at different steps"
    for slots, cut in ((1, 60), (7, 10), (60, 60), (64, 13)):
        questions = [query[start : start + cut] for start in range(0, 60, cut)]
        found = {}
        for answers in early_exit_rollout(reasoner, questions, slots, 8):
            assert len(answers) <= slots
            rows = zip(answers.query.numbers, answers.steps, answers.predictions, strict=True)
            found |= {int(n): (int(step), tokens.tolist()) for n, step, tokens in rows}
        assert found == expected, (slots, cut)


@pytest.mark.parametrize("rows", [1, 2, 3, 11])
def test_threads_give_the_numbers_of_one(rows: int) -> None:
    model = tiny_model().eval()
    batch = random_batch(model.config, rows)
    table = DeviceTable(3, 16, CPU)
    query = Query(batch, table.lookup(batch["puzzle_identifiers"]), np.arange(rows))
    reasoner = Reasoner(model)
    alone = {answers.steps[0].item(): answers for answers in rollout(reasoner, query, (2, 4))}
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with row_threads(CPU, compiled=False) as threads:
            found = list(threads.rollout(reasoner, query, (2, 4)))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    for step in (2, 4):
        parts = [answers for answers in found if answers.steps[0] == step]
        assert np.concatenate([part.query.numbers for part in parts]).tolist() == list(range(rows))
        assert torch.equal(torch.cat([part.logits for part in parts]), alone[step].logits)


def test_ratings_and_sources_are_counted_in_bins() -> None:
    """Two batches and two ranks; a row without a label counts nowhere."""
    labels = np.full((6, CELLS), 2, np.int32)
    labels[5] = IGNORED
    logits = np.zeros((6, CELLS, VOCAB), np.float32)
    logits[..., 2] = 1
    logits[1:3, 0, 3] = 2  # rows 1 and 2 have a wrong cell
    ratings, sources = np.array([0, 0, 5, 6, 500, 7]), np.array([0, 1, 1, 1, 0, 1], np.uint8)
    meta = sudoku_meta(4, "dense", extra={"sources": ["easy", "hard"]})
    totals: dict[str, torch.Tensor] = {}
    for rank in (slice(0, 2), slice(2, 6)):
        found = answers_of(labels[rank], labels[rank], logits[rank], np.zeros(6, np.float32)[rank])
        extras = {"ratings": ratings[rank], "sources": sources[rank]}
        breakdown = Breakdown(meta, CPU)
        breakdown.add(replace(found, query=replace(found.query, extras=extras)))
        breakdown.add(replace(found, last=False))
        for name, sums in breakdown.sums().items():
            totals[name] = totals[name] + sums if name in totals else sums
    tables = {
        name: [(row["name"], row["exact"], row["count"]) for row in rows]
        for name, rows in breakdown.result(totals).items()
    }
    assert tables == {
        "ratings": [("0", 1, 2), ("1 to 5", 0, 1), ("6 to 10", 1, 1), ("101 and up", 1, 1)],
        "sources": [("easy", 2, 2), ("hard", 1, 3)],
    }


def test_results_are_rendered_with_the_baselines() -> None:
    names = ("exact_accuracy", "accuracy", "q_halt_accuracy", "steps", "lm_loss")
    results = {"count": 10.0, **dict.fromkeys(names, 0.25)}
    for index, name in enumerate(("all_pad", "most_frequent", "copy_input")):
        results[f"baseline/{name}/exact_accuracy"] = index / 10
        results[f"baseline/{name}/accuracy"] = index / 5
    text = Tally(VOCAB, PAD, LOSS, CPU).render(results)
    for part in ("all PAD", "most frequent token", "copy of the input", "0.2500"):
        assert part in text
    assert best_baseline(results) == 0.2
