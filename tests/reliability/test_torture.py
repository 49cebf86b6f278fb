"""A few kills of `python -m benchmarks.reliability.torture`, and that program's own rules."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from benchmarks.reliability.ends import differences, unlearned
from benchmarks.reliability.moments import SAVE_EVERY, plan, steps_for
from benchmarks.reliability.torture import Torture, Trial
from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.runs import train_here


@pytest.mark.slow
def test_one_process_survives_two_kills(tmp_path: Path) -> None:
    torture = Torture(Trial(kills=2, seed=3, engine="plain", world=1, compiled=False), tmp_path)
    torture.run()
    assert sum(torture.landed.values()) == 2


@pytest.mark.slow
@pytest.mark.multi
def test_zero_1_on_two_ranks_survives_a_kill(tmp_path: Path) -> None:
    torture = Torture(Trial(kills=1, seed=7, engine="zero1", world=2, compiled=False), tmp_path)
    torture.run()
    assert sum(torture.landed.values()) == 1


@pytest.mark.parametrize("compiled", [False, True])
def test_a_plan_reaches_every_kind_of_moment_and_the_run_is_long_enough(compiled: bool) -> None:
    for seed in range(20):
        moments = plan(40, random.Random(seed), compiled=compiled)
        assert len(moments) == 40
        kinds = {moment.kind for moment in moments}
        assert kinds >= {"start", "saving", "saved", "evaluation", "training", "end"}
        assert ("compiling" in kinds) == compiled
        assert moments[-1].kind == "end"
        assert steps_for(moments) % SAVE_EVERY == 0
        assert steps_for(moments) > sum(moment.steps for moment in moments)
    assert plan(9, random.Random(1), compiled=compiled) == plan(
        9, random.Random(1), compiled=compiled
    )


def test_ends_that_differ_are_told_apart(tmp_path: Path) -> None:
    data = write_online(tmp_path / "data", examples=20)
    one, same, other = tmp_path / "one", tmp_path / "same", tmp_path / "other"
    train_here(data, one, max_steps=4, log__every=2)
    shutil.copytree(one, same)
    train_here(data, other, max_steps=4, log__every=2, seed=1)
    assert differences(one, same) == []
    found = differences(one, other)
    assert {line.split(":")[0] for line in found} == {"tensors", "metrics.jsonl", "state.json"}
    assert unlearned(one, same)

    metrics = same / "metrics.jsonl"
    lines = metrics.read_text().splitlines(keepends=True)
    metrics.write_text("".join([*lines, lines[-1]]))
    assert differences(one, same) == [
        f"metrics.jsonl: {len(lines)} and {len(lines) + 1} lines",
    ]
    train_here(data, same, max_steps=6, log__every=2)
    assert differences(one, same) == ["last checkpoint: step 4 and step 6"]
    assert unlearned(one, same) == []
