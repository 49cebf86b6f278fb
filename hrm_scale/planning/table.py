"""The table of docs/memory.md: what to type for each GPU size and task."""

from __future__ import annotations

from collections.abc import Callable

from hrm_scale.base.errors import ConfigError
from hrm_scale.planning.hardware import GIB
from hrm_scale.planning.plan import Plan

SIZES = ("laptop_8gb", "laptop_12gb", "laptop_16gb", "single_24gb", "single_80gb")
EXPERIMENTS = {"Sudoku": "sudoku_extreme_1k", "Maze": "maze_30x30_hard", "ARC": "arc1"}


def markdown(plan: Callable[[str, str], Plan]) -> str:
    """One row a GPU size and task; `plan` makes the plan of (experiment, machine)."""
    lines = [
        "| GPU | task | global batch | type after `experiment=NAME` | micro-batch "
        "| checkpointing | table | predicted peak | with reserve |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for machine in SIZES:
        for task, experiment in EXPERIMENTS.items():
            try:
                lines.append(_row(plan(experiment, machine), task, experiment))
            except ConfigError:
                lines.append(f"| {machine} | {task} `{experiment}` | | nothing fits | | | | | |")
    return "\n".join(lines)


def _row(plan: Plan, task: str, experiment: str) -> str:
    job, choice = plan.job, plan.choice
    setting, memory = choice.setting, choice.memory
    keys = " ".join(f"{change.key}={change.value}" for change in choice.changes)
    cells = [
        job.machine.name,
        f"{task} `{experiment}`",
        f"{job.run.global_batch_size}",
        f"`{keys}`" if keys else "nothing more",
        f"{job.rows_of_rank // setting.accumulation}",
        "on" if setting.checkpointing else "off",
        setting.placement,
        f"{memory.allocated / GIB:.1f} GiB",
        f"{memory.needed / GIB:.1f} of {job.machine.memory / GIB:.1f} GiB",
    ]
    return f"| {' | '.join(cells)} |"
