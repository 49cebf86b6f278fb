"""What a run needs before it is started: `python -m tools.plan experiment=NAME hardware=NAME`.

Memory of a GPU, what to change so that it fits, length, disk and network. Nothing is trained and no
GPU is needed. Exit status 2 when nothing fits.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from hrm_scale.command_line import Parser
from hrm_scale.errors import ConfigError, run_cli

if TYPE_CHECKING:
    from hrm_scale.planning.plan import Plan

_MACHINES = (
    "laptop_8gb, laptop_12gb, laptop_16gb, single_24gb, single_80gb, h100_8x, h100_multinode"
)


def main(arguments: list[str]) -> int:
    """Entry point. Returns the exit status."""
    options = _parser().parse_args(arguments)
    if options.rate is not None and not 0 < options.rate < float("inf"):
        raise ConfigError(f"--rate {options.rate:g} is not above 0; allowed: a positive number")
    if options.table:
        from hrm_scale.planning.table import markdown

        print(markdown(lambda name, machine: _plan([f"experiment={name}"], machine, options)))
        return 0
    settings = [word for word in options.settings if not word.startswith("hardware=")]
    machines = [word.partition("=")[2] for word in options.settings if word not in settings]
    plan = _plan(settings, machines[-1] if machines else None, options)
    if options.json:
        from hrm_scale.planning.plan import as_json

        print(json.dumps(as_json(plan), indent=1))
        return 0
    from hrm_scale.planning.report import as_text

    print(as_text(plan))
    if options.measure:
        from hrm_scale.planning.measure import compare

        print(f"\n{compare(plan)}")
    return 0


def _plan(settings: list[str], machine: str | None, options: argparse.Namespace) -> Plan:
    from hrm_scale.config.compose import compose
    from hrm_scale.planning.hardware import choose_machine
    from hrm_scale.planning.job import make_job
    from hrm_scale.planning.plan import make_plan
    from hrm_scale.training.horizon import plan_horizon

    run = compose(settings).run
    chosen = choose_machine(
        machine,
        vram=options.vram,
        gpus=options.gpus,
        nodes=options.nodes,
        bandwidth=options.bandwidth,
    )
    job = make_job(run, chosen)
    horizon = plan_horizon(run, job.task.examples_per_epoch, job.model)
    return make_plan(
        job,
        steps=horizon.total_steps,
        limit=horizon.limit,
        rate=options.rate,
        arguments=settings,
    )


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m tools.plan",
        description="Memory, length, disk and network of a run, and what to change so that it "
        "fits. The global batch and what is learned are never changed.",
        epilog=f"hardware: {_MACHINES} (default laptop_16gb). All other KEY=VALUE are those of "
        "`python -m hrm_scale.train`. Exit codes: 0 fits, 2 nothing fits or wrong arguments.",
    )
    parser.add_argument(
        "settings", nargs="*", metavar="KEY=VALUE", help="hardware=NAME, and keys of a run"
    )
    parser.add_argument("--vram", type=float, metavar="GIB", help="memory of a GPU instead")
    parser.add_argument("--gpus", type=int, metavar="N", help="GPUs a node")
    parser.add_argument("--nodes", type=int, metavar="M", help="nodes")
    parser.add_argument(
        "--rate", type=float, metavar="EXAMPLES_PER_SECOND", help="known speed of all GPUs together"
    )
    parser.add_argument(
        "--bandwidth", type=float, metavar="GB/S", help="of the slowest link, in one direction"
    )
    parser.add_argument("--json", action="store_true", help="the plan as one JSON object")
    parser.add_argument(
        "--measure", action="store_true", help="take the planned steps on this machine's GPU"
    )
    parser.add_argument(
        "--table", action="store_true", help="the table of docs/memory.md, in Markdown"
    )
    return parser


if __name__ == "__main__":
    run_cli(main)
