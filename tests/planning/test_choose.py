"""The planner changes as little as it can, in the order of harm."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

import pytest

from hrm_scale.base.errors import ConfigError
from hrm_scale.config.compose import compose
from hrm_scale.planning import choose as subject
from hrm_scale.planning.choose import choose
from hrm_scale.planning.hardware import choose_machine
from hrm_scale.planning.job import Job, Setting, make_job
from hrm_scale.planning.length import assumed_speed, length_of
from hrm_scale.planning.memory import Memory, static_bytes

GIVEN = Setting(1, False, "device")


@functools.lru_cache(maxsize=8)
def job_of(experiment: str = "arc1", gpus: int = 1) -> Job:
    return make_job(
        compose([f"experiment={experiment}"]).run, choose_machine("laptop_16gb", gpus=gpus)
    )


def memory_where(fits: Callable[[Setting], bool]) -> Callable[[Job, Setting], Memory]:
    """A memory that fits exactly where told."""

    def memory(job: Job, setting: Setting) -> Memory:
        amount = 0 if fits(setting) else job.machine.memory
        static = static_bytes(job.parameters, job.sharding)
        return Memory(static, 0, 0, 0, amount, 0, 0, 0, 0, True, "the forward pass", 0)

    return memory


@pytest.mark.parametrize(
    ("fits", "gpus", "chosen"),
    [
        (lambda s: True, 1, GIVEN),
        # Large micro-batches first, as many micro-steps as needed and no more.
        (lambda s: s.accumulation >= 10, 1, Setting(12, False, "device")),
        # Checkpointing rather than a handful of rows a micro-step.
        (lambda s: s.checkpointing or s.accumulation > 700, 1, Setting(1, True, "device")),
        (lambda s: s.checkpointing and s.accumulation > 4, 1, Setting(6, True, "device")),
        (lambda s: s.placement == "host", 1, Setting(1, True, "host")),
        (lambda s: s.placement == "sharded", 2, Setting(1, True, "sharded")),
        # Last, micro-batches that leave a GPU idle; still without checkpointing if that is enough.
        (lambda s: s.accumulation >= 200, 1, Setting(256, False, "device")),
    ],
)
def test_least_harm_first(
    fits: Callable[[Setting], bool], gpus: int, chosen: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "memory", memory_where(fits))
    choice = choose(job_of(gpus=gpus))
    assert choice.setting == chosen
    keys = {change.key: change.value for change in choice.changes}
    wanted = {
        "engine.accumulation": (GIVEN.accumulation, chosen.accumulation),
        "engine.activation_checkpointing": (GIVEN.checkpointing, chosen.checkpointing),
        "engine.puzzle_table": (GIVEN.placement, chosen.placement),
    }
    assert keys == {key: str(new).lower() for key, (old, new) in wanted.items() if new != old}
    assert job_of(gpus=gpus).rows_of_rank % chosen.accumulation == 0


def test_what_was_given_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of()
    engine = job.run.engine.model_copy(
        update={"accumulation": 8, "activation_checkpointing": True, "puzzle_table": "host"}
    )
    job = replace(job, run=job.run.model_copy(update={"engine": engine}))
    seen: list[Setting] = []

    def fits(setting: Setting) -> bool:
        seen.append(setting)
        return False

    monkeypatch.setattr(subject, "memory", memory_where(fits))
    with pytest.raises(ConfigError):
        choose(job)
    assert all(s.accumulation >= 8 and s.checkpointing and s.placement == "host" for s in seen)


def test_when_nothing_fits_one_line_says_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "memory", memory_where(lambda setting: False))
    with pytest.raises(ConfigError) as caught:
        choose(job_of())
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert text.startswith("nothing fits: laptop_16gb has 16.0 GiB a GPU")
    assert "--vram" in text
    assert caught.value.exit_code == 2


def test_the_length_counts_the_work_of_a_curriculum() -> None:
    def flops(curriculum: str) -> float:
        settings = ["experiment=arc1", "arch=trm", f"arch.depth_curriculum={curriculum}"]
        job = make_job(compose([*settings, "max_steps=100"]).run, choose_machine("single_80gb"))
        return length_of(job, 100, "max_steps", assumed_speed(job, 0.0)).flops

    # 30 % of the steps at a third of the depth, 30 % at two thirds.
    assert 0.45 < flops("cgar") / flops("off") < 0.7
