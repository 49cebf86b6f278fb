"""A plan as text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from hrm_scale.planning.hardware import GIB
from hrm_scale.planning.plan import (
    MARKS,
    Plan,
    Row,
    assumptions,
    memory_rows,
    run_rows,
    stage_rows,
)


def as_text(plan: Plan) -> str:
    """The whole plan, aligned; at most 100 columns but for the command, which is to be copied."""
    job, choice = plan.job, plan.choice
    machine, setting = job.machine, choice.setting
    rows = job.rows_of_rank // setting.accumulation
    gpus = f"{machine.ranks} GPU{'s' if machine.ranks > 1 else ''} of"
    devices = f"{machine.example}, free" if machine.is_cpu else gpus
    batch = f"{job.run.global_batch_size} = "
    batch += f"{machine.ranks} ranks x " if machine.ranks > 1 else ""
    batch += f"{setting.accumulation} micro-step{'s' if setting.accumulation > 1 else ''} x {rows}"
    head = [
        *([("assumed", plan.assumed)] if plan.assumed else []),
        ("machine", f"{machine.name}: {devices} {machine.memory / GIB:.1f} GiB"),
        ("model", f"{job.run.arch.name}, {job.parameters:,} parameters"),
        (
            "data",
            f"{job.task.name}: length {job.task.seq_len}, vocabulary {job.task.vocab_size}, "
            f"{job.task.identifiers:,} identifier{'s' if job.task.identifiers > 1 else ''}",
        ),
        ("", job.task.source),
        ("batch", batch),
        ("counted", ", ".join(assumptions(job).values())),
    ]
    lines = [f"{name:<10} {text}" for name, text in head]
    whose = "the process" if machine.is_cpu else "a GPU"
    lines += ["", f"Memory of {whose} (predicted peak of torch {_gib(choice.memory.allocated)})"]
    lines += _table(memory_rows(plan), ruled=2)
    lines += ["", "The run", *_table(run_rows(plan))]
    if not machine.is_cpu:
        lines += ["", *_stages(plan)]
    lines += ["", *_changes(plan), "", "Type:", f"  {plan.command()}", ""]
    lines += [f"{mark:<8}  {meaning}" for mark, meaning in MARKS.items()]
    return "\n".join(line.rstrip() for line in lines)


def _table(rows: Sequence[Row], ruled: int = 0) -> list[str]:
    """Aligned rows; a rule before the last `ruled` of them."""
    names = max(len(row.name) for row in rows)
    values = max(len(row.text) for row in rows)
    lines = [
        f"  {row.name:<{names}}  {row.text:>{values}}  {row.mark:<8}  {row.note}" for row in rows
    ]
    if ruled:
        lines.insert(len(lines) - ruled, "  " + "-" * (names + 2 + values))
    return lines


def _stages(plan: Plan) -> list[str]:
    machine, rows = plan.job.machine, stage_rows(plan)
    names = max(len(str(way)) for way, _, _ in rows)
    sent = machine.ranks > 1 and machine.bandwidth is not None
    lines = [
        f"Weights, gradients and optimizer by ways to share them over {machine.ranks} rank"
        f"{'s' if machine.ranks > 1 else ''} (computed)",
        f"  {'':<{names}}  {'a GPU':>9}  {'its host':>9}" + "  sent by a rank in a step" * sent,
    ]
    for way, static, wire in rows:
        line = f"  {way!s:<{names}}  {_gib(static.total):>9}  {_gib(static.host):>9}"
        if sent and machine.bandwidth:
            line += (
                f"  {wire.total / 1e6:>9,.1f} MB  {wire.milliseconds(machine.bandwidth):>8,.1f} ms"
            )
        lines.append(line)
    if sent and machine.bandwidth:
        table = rows[0][2].table
        lines.append(
            f"  ({table / 1e6:,.1f} MB of it for the puzzle table; no latency, nothing overlapped;"
        )
        lines.append(f"   at {machine.bandwidth / 1e9:g} GB/s: {machine.link})")
    return lines


def _changes(plan: Plan) -> list[str]:
    changes = plan.choice.changes
    if not changes:
        return ["Changed: nothing; it fits as it is."]
    machine, before = plan.job.machine, plan.choice.as_given
    lines = [
        f"Changed, because as given it needs {_gib(before.needed)} of {_gib(machine.memory)}",
        "(the global batch and what is learned stay the same):",
    ]
    for change in changes:
        text = f"{change.key}={change.value}: {change.why}"
        lines += textwrap.wrap(text, 98, initial_indent="  ", subsequent_indent="    ")
    return lines


def _gib(amount: int) -> str:
    return f"{amount / GIB:.2f} GiB"
