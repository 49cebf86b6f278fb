"""A whole plan: what was chosen, and every figure with where it comes from."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from hrm_scale.planning import hardware
from hrm_scale.planning.choose import Choice, choose, recompute_share
from hrm_scale.planning.hardware import GIB, MIB
from hrm_scale.planning.job import Job
from hrm_scale.planning.length import Length, Speed, assumed_speed, checkpoint_bytes, length_of
from hrm_scale.planning.measure import measured_speed
from hrm_scale.planning.memory import Sharding, Static, static_bytes
from hrm_scale.planning.wire import Wire, wire_bytes

PROBED, COMPUTED, QUOTED, GIVEN, ASSUMED = "probe", "computed", "quoted", "given", "assumed"
MEASURED = "measured"
MARKS = {
    PROBED: "measured by the probe",
    MEASURED: "on this machine, just now",
    COMPUTED: "worked out from a formula",
    QUOTED: "somebody else's figure",
    GIVEN: "from the command line, a preset or the data set",
    ASSUMED: "neither known nor given",
}


@dataclass(frozen=True)
class Row:
    """One figure: its name, its value as text, its mark, a remark; `amount` for programs."""

    name: str
    text: str
    mark: str
    note: str = ""
    amount: float | None = None


@dataclass(frozen=True)
class Plan:
    job: Job
    choice: Choice
    length: Length
    arguments: list[str]
    assumed: str | None
    """What machine was assumed, where none was given."""

    def command(self) -> str:
        """What to type to train as planned."""
        keys = [f"{change.key}={change.value}" for change in self.choice.changes]
        changed = {change.key for change in self.choice.changes}
        kept = [a for a in self.arguments if a.lstrip("+").split("=")[0] not in changed]
        machine = self.job.machine
        if machine.is_cpu and hardware.gpu_here():
            kept = [*kept, "engine.device=cpu"]
        words = shlex.join(["-m", "hrm_scale.train", *kept, *keys])
        if machine.ranks == 1:
            return f"python {words}"
        launch = f"torchrun --nproc_per_node {machine.gpus}"
        if machine.nodes > 1:
            launch += f" --nnodes {machine.nodes} --rdzv_backend c10d --rdzv_endpoint HOST:29500"
        return f"{launch} {words}"


def make_plan(
    job: Job,
    *,
    steps: int,
    limit: str,
    rate: float | None,
    arguments: list[str],
    assumed: str | None = None,
) -> Plan:
    """Choose, and work out everything else; on a CPU, take some real steps for the speed.

    Raises ConfigError when nothing fits.
    """
    choice = choose(job)
    if rate is not None:
        speed = Speed(rate, GIVEN, "--rate")
    elif job.machine.is_cpu:
        speed = measured_speed(job, choice.setting)
    else:
        recompute = recompute_share(job) if choice.setting.checkpointing else 0.0
        speed = assumed_speed(job, recompute)
    return Plan(job, choice, length_of(job, steps, limit, speed), arguments, assumed)


def memory_rows(plan: Plan) -> list[Row]:
    """Memory of one device at the worst moment of a step; the last rows are sum and device."""
    job, machine, memory, setting = (
        plan.job,
        plan.job.machine,
        plan.choice.memory,
        plan.choice.setting,
    )
    static = memory.static
    rows_of_step = job.rows_of_rank // setting.accumulation
    gradients = static.gradients if memory.gradients_at_peak else 0
    why = "" if memory.gradients_at_peak else "made as activations go; none at the peak"
    rows = [
        _size("weights", static.weights, COMPUTED, f"{job.sharding}"),
        _size("gradients", gradients, COMPUTED, why or "fp32"),
        _size(
            "optimizer",
            static.moments,
            COMPUTED,
            f"{job.run.optimizer}: moments" + (" and averaged weights" if job.run.ema else ""),
        ),
    ]
    if static.master or static.buckets:
        rows.append(
            _size("copies", static.master + static.buckets, COMPUTED, "fp32 part, flat buckets")
        )
    rows += [
        _size(
            "puzzle table",
            memory.table,
            COMPUTED,
            f"{job.task.identifiers:,} rows, placement {setting.placement}"
            if job.has_table
            else "none",
        ),
        _size("carry", memory.carry, COMPUTED, "old and new, of the other micro-steps"),
        _size("weight casts", memory.casts, PROBED, "once a step"),
        _size(
            "activations",
            memory.activations,
            PROBED,
            f"{rows_of_step} x {job.model.total_len} positions, "
            + ("block inputs only" if setting.checkpointing else "all blocks with gradient"),
        ),
        _size("logits and loss", memory.loss, PROBED, "float64 for stablemax"),
        _size("passing values", memory.passing, PROBED, f"worst in {memory.moment}"),
        _size("workspace", memory.workspace, QUOTED, "matrix library"),
    ]
    share = f"{memory.needed / machine.memory:.0%} of"
    if machine.is_cpu:
        return [
            *rows,
            _size("reserve", memory.reserve, QUOTED, "Python, torch, slack of the allocator"),
            _size("sum", memory.needed, COMPUTED, f"{share} it"),
            _size("free memory", machine.memory, MEASURED, machine.example),
        ]
    given = machine.example == "given"
    return [
        *rows,
        _size("reserve", memory.reserve, QUOTED, "CUDA context, fragmentation, display"),
        _size("sum", memory.needed, COMPUTED, f"{share} a GPU"),
        _size("one GPU", machine.memory, GIVEN if given else QUOTED, machine.example),
    ]


def run_rows(plan: Plan) -> list[Row]:
    """Length, time and disk."""
    job, length = plan.job, plan.length
    one = checkpoint_bytes(job)
    keep = job.run.checkpoint.keep_last
    speed = length.speed
    rows = [
        Row("steps", f"{length.steps:,}", COMPUTED, f"set by {length.limit}", length.steps),
        Row("samples", f"{length.samples:,}", COMPUTED, "offered", length.samples),
        Row(
            "work",
            f"{length.flops / 1e9:,.1f} GFLOP",
            COMPUTED,
            "an example and step",
            length.flops,
        ),
        Row(
            "speed",
            f"{speed.rate:,.{_digits(speed.rate)}f} examples/s",
            speed.source,
            speed.note,
            speed.rate,
        ),
        Row(
            "time",
            _duration(length.seconds),
            ASSUMED if speed.source == ASSUMED else COMPUTED,
            "training only",
            length.seconds,
        ),
        _size("checkpoint", one, COMPUTED, "on disk"),
        _size("disk", one * (keep + 1), COMPUTED, f"{keep} kept and one being written"),
    ]
    if plan.choice.memory.host:
        rows.append(_size("host memory", plan.choice.memory.host, COMPUTED, "pinned, a process"))
    return rows


def stage_rows(plan: Plan) -> list[tuple[Sharding, Static, Wire]]:
    """Ways to share a model over these ranks: bytes held by each, and sent by each in a step."""
    job, setting = plan.job, plan.choice.setting
    ranks = job.sharding.ranks
    ways = [Sharding(ranks), *(Sharding(ranks, stage) for stage in range(4))]
    ways += [
        Sharding(ranks, 1, bf16_parameters=True),
        Sharding(ranks, 2, offload_optimizer=True),
        Sharding(ranks, 3, offload_optimizer=True, offload_parameters=True),
    ]
    result = []
    for sharding in ways:
        wire = wire_bytes(
            job.parameters,
            sharding,
            accumulation=setting.accumulation,
            global_batch_size=job.run.global_batch_size,
            table_width=job.model.puzzle_emb_ndim,
            placement=setting.placement,
        )
        result.append((sharding, static_bytes(job.parameters, sharding, job.optimizer_state), wire))
    return result


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan for programs; sizes in bytes, times in seconds."""
    job, choice = plan.job, plan.choice

    def figures(rows: list[Row]) -> dict[str, Any]:
        return {row.name: {"value": row.amount, "from": row.mark} for row in rows}

    return {
        "fits": True,
        "machine": job.machine.name,
        "assumed_machine": plan.assumed,
        "ranks": job.sharding.ranks,
        "parameters": job.parameters,
        "global_batch_size": job.run.global_batch_size,
        "micro_batch_size": job.rows_of_rank // choice.setting.accumulation,
        "accumulation": choice.setting.accumulation,
        "activation_checkpointing": choice.setting.checkpointing,
        "puzzle_table": choice.setting.placement,
        "assumed": assumptions(job),
        "predicted_peak_bytes": choice.memory.allocated,
        "changes": [vars(change) for change in choice.changes],
        "memory": figures(memory_rows(plan)),
        "run": figures(run_rows(plan)),
        "stages": {
            str(way): {
                "static_bytes": static.total,
                "host_bytes": static.host,
                "wire_bytes": wire.total,
            }
            for way, static, wire in stage_rows(plan)
        },
        "command": plan.command(),
    }


def assumptions(job: Job) -> dict[str, str]:
    """What the count took for granted about how the step is computed."""
    model = job.model
    return {
        "dtype": str(model.forward_dtype).removeprefix("torch."),
        "attention": model.attention
        + ("" if model.attention == "math" else " (flash keeps the same)"),
        "blocks": "compiled" if model.compile else "not compiled",
        "loss": job.run.arch.loss.loss_type,
    }


def _size(name: str, amount: int, mark: str, note: str) -> Row:
    text = f"{amount / GIB:.2f} GiB" if amount >= 0.1 * GIB else f"{amount / MIB:.1f} MiB"
    return Row(name, text, mark, note, amount)


def _digits(rate: float) -> int:
    return 0 if rate >= 10 else 2


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
