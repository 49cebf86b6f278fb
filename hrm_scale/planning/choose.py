"""What to change so that a run fits, least harm first, the global batch and what is learned kept.

The order: settings as given; more accumulation while micro-batches stay large (costs next to
nothing); activation checkpointing (one more forward pass of the blocks with gradient); the puzzle
table in the host's memory; the table over several ranks; and all of these again with small
micro-batches, which leave a GPU idle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from hrm_scale.base.errors import ConfigError
from hrm_scale.models.flops import graded_flops, training_flops
from hrm_scale.planning.hardware import GIB
from hrm_scale.planning.job import Job, Setting, given_setting, memory
from hrm_scale.planning.memory import Memory, Sharding

# Below about so many positions a micro-step, matrix products no longer fill a GPU (a judgement).
FULL_POSITIONS = 8192


@dataclass(frozen=True)
class Change:
    """A key the planner set, to what, and why."""

    key: str
    value: str
    why: str


@dataclass(frozen=True)
class Choice:
    setting: Setting
    memory: Memory
    as_given: Memory
    changes: list[Change]


def choose(job: Job) -> Choice:
    """The first setting in the order of harm that fits.

    Raises ConfigError with what else would help when none does.
    """
    given = given_setting(job.run)
    as_given = memory(job, given)
    if as_given.needed <= job.machine.memory:
        return Choice(given, as_given, as_given, [])
    least: tuple[int, Setting] | None = None
    for settings in _by_harm(job, given):
        # Smaller micro-batches need less: if the smallest is too much, all are.
        needed = memory(job, settings[-1]).needed
        if least is None or needed < least[0]:
            least = (needed, settings[-1])
        if needed > job.machine.memory:
            continue
        for setting in settings:
            found = memory(job, setting)
            if found.needed <= job.machine.memory:
                return Choice(setting, found, as_given, _changes(job, given, setting))
    assert least is not None
    raise ConfigError(_nothing_fits(job, *least))


def _by_harm(job: Job, given: Setting) -> Iterator[list[Setting]]:
    """Settings to try, those of one kind together, micro-batches from large to small.

    The global batch and its division stay exact.
    """
    kinds = [given]
    if not given.checkpointing:
        kinds.append(replace(given, checkpointing=True))
    if given.placement == "device" and job.has_table:
        kinds.append(replace(kinds[-1], placement="host"))
        if job.sharding.ranks > 1:
            kinds.append(replace(kinds[-1], placement="sharded"))
    large: list[int] = []
    small: list[int] = []
    for accumulation in range(given.accumulation, job.rows_of_rank + 1):
        rows, rest = divmod(job.rows_of_rank, accumulation)
        if rest == 0:
            full = rows * job.model.total_len >= FULL_POSITIONS
            (large if full else small).append(accumulation)
    for allowed in filter(None, (large, small)):
        for kind in kinds:
            yield [replace(kind, accumulation=accumulation) for accumulation in allowed]


def _changes(job: Job, given: Setting, setting: Setting) -> list[Change]:
    changes = []
    if setting.accumulation != given.accumulation:
        rows = job.rows_of_rank // setting.accumulation
        changes.append(
            Change(
                "engine.accumulation",
                f"{setting.accumulation}",
                f"micro-batches of {rows}; the global batch stays {job.run.global_batch_size} and"
                " every micro-batch keeps its own slots, so the step is the same",
            )
        )
    if setting.checkpointing and not given.checkpointing:
        changes.append(
            Change(
                "engine.activation_checkpointing",
                "true",
                "the blocks with gradient are computed once more in the backward pass:"
                f" {recompute_share(job):+.0%} work, the same numbers",
            )
        )
    if setting.placement != given.placement:
        where = {
            "host": "in the host's memory; the rows of a step travel to the device and back",
            "sharded": "rows over the ranks; those of a step are exchanged",
        }
        changes.append(
            Change("engine.puzzle_table", setting.placement, f"{where[setting.placement]}")
        )
    return changes


def recompute_share(job: Job) -> float:
    """Work that checkpointing adds, as a share of a training step's."""
    model = job.model
    return graded_flops(model, 1) / training_flops(model, 1)


def _nothing_fits(job: Job, least: int, setting: Setting) -> str:
    machine = job.machine
    helps = []
    if job.sharding.stage is None and not machine.is_cpu:
        for sharding in _stronger(job):
            other = replace(job, sharding=sharding)
            if memory(other, setting).needed <= machine.memory:
                helps.append(f"{sharding} (engine.deepspeed=PATH)")
                break
    more = "more memory" if machine.is_cpu else "more or larger GPUs (--gpus, --vram)"
    helps += [more, "a smaller model (arch=hrm_v1)"]
    rows = job.rows_of_rank // setting.accumulation
    there = f"{machine.memory / GIB:.1f} GiB {'free' if machine.is_cpu else 'a GPU'}"
    return (
        f"nothing fits: {machine.name} has {there}, the smallest plan"
        f" (micro-batch {rows}, checkpointing {'on' if setting.checkpointing else 'off'}, table"
        f" {setting.placement}) needs {least / GIB:.1f} GiB; what helps: {'; '.join(helps)}"
    )


def _stronger(job: Job) -> Iterator[Sharding]:
    """Ways to hold less, least harm first; without bf16 parameters, which change the arithmetic."""
    ranks = job.sharding.ranks
    if job.run.optimizer == "muon":
        return  # it needs whole matrices
    if ranks > 1:
        yield from (Sharding(ranks, stage) for stage in (1, 2, 3))
    yield Sharding(ranks, 2, offload_optimizer=True)
    yield Sharding(ranks, 3, offload_optimizer=True, offload_parameters=True)
