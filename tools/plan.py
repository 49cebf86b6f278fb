"""What a run needs before it is started: `python -m tools.plan experiment=NAME hardware=NAME`.

Memory of a GPU, what to change so that it fits, length, disk and network. Nothing is trained and no
GPU is needed. For a CPU a few real steps are timed. Exit status 2 when nothing fits.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from hrm_scale.base.command_line import Parser
from hrm_scale.base.errors import ConfigError, run_cli
from hrm_scale.base.untrusted import printable_lines

if TYPE_CHECKING:
    from hrm_scale.planning.job import Job
    from hrm_scale.planning.plan import Plan
    from hrm_scale.training.horizon import Horizon

_MACHINES = (
    "laptop_8gb, laptop_12gb, laptop_16gb, single_24gb, single_80gb, h100_8x, h100_multinode, cpu"
)


# FLOP that a few cores do in a day, at 60 GFLOP/s.
_CPU_WORK = 5e15


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

    print(printable_lines(as_text(plan)))
    if options.measure:
        from hrm_scale.planning.measure import compare

        print(f"\n{compare(plan)}")
    return 0


def _plan(settings: list[str], machine: str | None, options: argparse.Namespace) -> Plan:
    from hrm_scale.config.compose import compose
    from hrm_scale.planning.hardware import CPU, choose_machine, default_machine
    from hrm_scale.planning.job import make_job
    from hrm_scale.planning.plan import make_plan
    from hrm_scale.training.horizon import plan_horizon

    given = {name: getattr(options, name) for name in ("vram", "gpus", "nodes", "bandwidth")}
    run, chosen, assumed = compose(settings).run, choose_machine(machine, **given), None
    job = make_job(run, chosen)
    horizon = plan_horizon(run, job.task.examples_per_epoch, job.model)
    if machine is None:
        what = default_machine(options.gpus, options.nodes)
        if all(value is None for value in given.values()) and _suits_cpu(job, horizon):
            what, chosen = "this CPU, which the run is small enough for", choose_machine(CPU)
        elif options.vram is not None:
            what = f"speed and links of {what}"
        assumed = f"{what}; for another type hardware=NAME or --vram GIB"
    if chosen.is_cpu:
        if run.engine.device == "cuda":
            raise ConfigError("hardware=cpu and engine.device=cuda exclude each other")
        job = make_job(compose([*settings, "engine.device=cpu"]).run, chosen)
    return make_plan(
        job,
        steps=horizon.total_steps,
        limit=horizon.limit,
        rate=options.rate,
        arguments=settings,
        assumed=assumed,
    )


def _suits_cpu(job: Job, horizon: Horizon) -> bool:
    """Whether a run without a named machine is planned for the CPU: it is to use it, or there is no
    GPU here and the work is done in about a day."""
    from hrm_scale.planning import hardware
    from hrm_scale.planning.length import mean_flops

    device = job.run.engine.device
    if device != "auto" or hardware.gpu_here():
        return device == "cpu"
    work = horizon.total_steps * job.run.global_batch_size * mean_flops(job)
    return work <= _CPU_WORK


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m tools.plan",
        description="Memory, length, disk and network of a run, and what to change so that it "
        "fits. The global batch and what is learned are never changed.",
        epilog=f"hardware: {_MACHINES} (this one). Without hardware= one GPU of laptop_16gb, "
        "several of h100_8x, or for a small run on a machine without a GPU its CPU. All other "
        "KEY=VALUE are those of `python -m hrm_scale.train`. Exit codes: 0 fits, 2 nothing fits "
        "or wrong arguments.",
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
        "--table", action="store_true", help="what to type by GPU and task, in Markdown"
    )
    return parser


if __name__ == "__main__":
    run_cli(main)
