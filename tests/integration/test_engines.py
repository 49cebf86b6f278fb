"""Real processes train the same run on DDP and ZeRO as one process does, and go on from each other.

The whole table of engines is `python -m benchmarks.parity.engines`; these are the cases that
differ most.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.parity.engine_cases import CASES, Case, run_case
from benchmarks.parity.engines import BOUND, Table
from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.ranks import run_ranks
from benchmarks.tiny.runs import assert_same_bits, metrics_of, saved_steps, tensors_of, train_here

pytestmark = [pytest.mark.slow, pytest.mark.multi]
BY_NAME = {case.name: case for case in CASES}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    return Table(tmp_path_factory.mktemp("engines"))


@pytest.mark.parametrize(
    ("name", "accumulation", "dtype"),
    [
        ("DDP 4", 4, "float32"),
        ("ZeRO-0 2", 1, "float32"),
        ("ZeRO-1 2", 1, "bfloat16"),
        ("ZeRO-2 2 offload", 4, "float32"),
        ("ZeRO-3 2 offload", 4, "float32"),
        ("ZeRO-3 2", 1, "bfloat16"),
    ],
)
def test_it_learns_what_one_process_learns(
    name: str, accumulation: int, dtype: str, table: Table
) -> None:
    case = BY_NAME[name]
    found, run = table.row(case, accumulation, dtype)
    assert max(found.values()) <= BOUND, found
    if case.stage == 3:
        # One for each of the 20 steps, whatever the number of micro-steps and recurrent passes.
        assert (run / "gathers.txt").read_text() == "20"


@pytest.mark.parametrize(
    ("name", "dtype"), [("ZeRO-1 2", "bfloat16"), ("ZeRO-3 2 offload", "float32")]
)
def test_a_stopped_run_goes_on_bit_for_bit(name: str, dtype: str, table: Table) -> None:
    case = BY_NAME[name]
    straight = table.row(case, 1, dtype)[1]
    run = table.folder / f"stopped-{name}-{dtype}".replace(" ", "-")
    first = {"accumulation": 1, "dtype": dtype}
    run_case(case, table.data, table.start(dtype), run, **first, max_steps=9)
    run_case(case, table.data, Path("auto"), run, **first)
    assert saved_steps(run) == [9, 21]
    assert_same_bits(tensors_of(run), tensors_of(straight))
    assert metrics_of(run) == metrics_of(straight)


def test_one_process_goes_on_from_what_zero_3_saved(table: Table) -> None:
    """...and 4 processes, as it would itself."""
    saved = table.row(BY_NAME["ZeRO-3 2 offload"], 4, "float32")[1] / "checkpoints"
    ends = []
    for name, case in (("same", BY_NAME["ZeRO-3 2 offload"]), ("one", None), ("four", CASES[1])):
        run = table.folder / f"on-{name}"
        start = saved / "step-00000021"
        run_case(case, table.data, start, run, accumulation=1, dtype="float32", max_steps=25)
        ends.append(tensors_of(run))
    for other in ends[1:]:
        for name, value in ends[0].items():
            if not name.startswith("carry"):
                torch.testing.assert_close(other[name], value, rtol=0, atol=BOUND)


def test_ranks_share_the_evaluation_and_say_the_same(tmp_path: Path) -> None:
    data = write_online(tmp_path / "data", examples=47)
    settings = {"max_steps": 6, "evaluation__every_steps": 3, "evaluation__batch_size": 8}
    for ranks in (0, 2):
        run_ranks(ranks, lambda: _train(data, tmp_path / f"run{ranks}", settings))  # noqa: B023
    one, two = (
        [line for line in metrics_of(tmp_path / f"run{ranks}") if "eval/count" in line]
        for ranks in (0, 2)
    )
    assert [line["eval/count"] for line in one] == [37, 37]
    for a, b in zip(one, two, strict=True):
        # Rows that pad the last batch differ in number; they count in no other mean.
        assert b == pytest.approx({**a, "eval/q_halt_loss": b["eval/q_halt_loss"]}, abs=1e-5)


def _train(data: Path, run: Path, settings: dict[str, object]) -> None:
    train_here(data, run, **settings).parts.engine.close()


def test_a_fault_of_one_rank_ends_all_and_is_told_once(tmp_path: Path) -> None:
    """Rank 1 finds no data. Rank 0 must not wait for it, and must not speak."""
    data = write_online(tmp_path / "data", examples=20)
    notes = tmp_path / "notes"
    notes.mkdir()

    def work() -> None:
        import os

        from hrm_scale.base.errors import HrmError

        rank = os.environ["RANK"]
        here = data if rank == "0" else tmp_path / "nowhere"
        try:
            train_here(here, tmp_path / "run", max_steps=2)
        except HrmError as error:
            (notes / rank).write_text(
                json.dumps([error.exit_code, error.already_reported, str(error)])
            )

    run_ranks(2, work, seconds=60)
    told = {path.name: json.loads(path.read_text()) for path in notes.iterdir()}
    assert told["0"][:2] == [3, True]
    assert told["1"][:2] == [3, False]
    assert "no such data set" in told["1"][2]


def test_a_batch_that_cannot_be_dealt_is_refused_before_anybody_waits(tmp_path: Path) -> None:
    data = write_online(tmp_path / "data", examples=20)

    def work() -> None:
        from hrm_scale.base.errors import ConfigError

        with pytest.raises(ConfigError, match="a multiple of 3"):
            train_here(data, tmp_path / "run", max_steps=2)

    run_ranks(3, work, seconds=60)


def test_the_optimizer_stays_adam_atan2_under_offload(tmp_path: Path) -> None:
    data = write_online(tmp_path / "data", examples=20)
    zero = {"stage": 2, "offload_optimizer": {"device": "cpu"}}
    file = tmp_path / "zero.json"
    file.write_text(json.dumps({"zero_optimization": zero}))

    def work() -> None:
        from hrm_scale.optim.adam_atan2 import AdamATan2

        trainer = train_here(data, tmp_path / "run", max_steps=2, engine__deepspeed=file)
        engine = trainer.parts.engine
        inner = engine._engine.optimizer.optimizer  # type: ignore[attr-defined]
        assert inner is engine.optimizer
        assert type(inner) is AdamATan2
        engine.close()

    run_ranks(2, work)


def test_a_gradient_that_is_not_finite_stops_all_ranks_before_the_update(tmp_path: Path) -> None:
    data = write_online(tmp_path / "data", examples=20)
    file = tmp_path / "zero.json"
    file.write_text(json.dumps({"zero_optimization": {"stage": 2}}))

    def poison(trainer: object) -> None:
        head = trainer.parts.engine._parameters["inner.lm_head.weight"]  # type: ignore[attr-defined]
        with torch.no_grad():
            head[0, 0] = float("nan")

    def work() -> None:
        from hrm_scale.base.errors import NonFiniteError

        with pytest.raises(NonFiniteError, match="at step 1"):
            train_here(data, tmp_path / "run", poison, max_steps=3, engine__deepspeed=file)

    run_ranks(2, work, seconds=60)
    assert saved_steps(tmp_path / "run") == []


def test_a_case_is_what_its_name_says() -> None:
    for case in CASES:
        assert isinstance(case, Case)
        kind, ranks, *offload = case.name.split()
        assert case.ranks == int(ranks)
        assert (case.stage is None) == (kind == "DDP")
        assert bool(offload) == ("offload_optimizer" in (case.deepspeed or {}))
