"""Write, and on demand submit, the batch script of a training job for SLURM: `./launch.sh slurm`.

The job starts one `hrm_scale.launch` per node. When SLURM announces the end of its time, or takes
the nodes for somebody else, the run saves, the job goes back into the queue, and later goes on.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hrm_scale.base.batch_shape import BatchShape
from hrm_scale.base.command_line import Parser, natural, positive
from hrm_scale.base.errors import ConfigError, EnvironmentProblem, HrmError
from hrm_scale.base.output import cannot_write, check_file, make_folder
from hrm_scale.base.plugins import plugin_files
from hrm_scale.base.untrusted import printable

if TYPE_CHECKING:
    from hrm_scale.config.schema import RunConfig

# SLURM's spellings: minutes, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS.
_TIME = re.compile(r"\d+(:\d\d){0,2}|\d+-\d{1,2}(:\d\d){0,2}")


def main(arguments: list[str]) -> int:
    options = _parser().parse_intermixed_args(arguments)
    from hrm_scale.config.entry import resolve

    from .script import BatchJob, batch_script

    if options.gpus_per_node and options.processes_per_node:
        raise ConfigError(
            "--processes-per-node is for --gpus-per-node 0; with GPUs there is one process for each"
        )
    processes = options.gpus_per_node or options.processes_per_node or 1
    # A mistake should show now, not when the job has waited for its turn.
    resolved = resolve(options.settings, "", "train")
    assert resolved is not None
    run: RunConfig = resolved.run
    BatchShape(run.global_batch_size, run.engine.accumulation, options.nodes * processes)
    name = options.job_name or _job_name(run)
    here = Path.cwd()
    script = here / (options.output or f"slurm/{name}.sbatch")
    logs = script.parent if options.logs is None else here / options.logs
    job = BatchJob(
        name=name,
        nodes=options.nodes,
        gpus_per_node=options.gpus_per_node,
        processes_per_node=processes,
        cpus_per_node=processes * (options.cpus_per_process or (8 if options.gpus_per_node else 1)),
        time=options.time,
        partition=options.partition,
        account=options.account,
        directives=tuple(options.sbatch),
        stop_seconds=options.stop_seconds,
        max_restarts=options.max_restarts,
        max_requeues=options.max_requeues,
        logs=logs,
        script=script,
        folder=here,
        python=Path(sys.executable),
        environment=Path(sys.prefix) if sys.prefix != sys.base_prefix else None,
        settings=(*(f"--puzzle={file}" for file in plugin_files()), *options.settings),
    )
    text = batch_script(job)
    make_folder(logs, "--logs")
    make_folder(script.parent, "--output")
    check_file(script, "--output")
    try:
        script.write_text(text, encoding="utf-8")
        script.chmod(0o755)
    except OSError as error:
        raise cannot_write(error, script, "--output") from error
    for warning in _warnings(run, options):
        print(printable(f"warning: {warning}"), file=sys.stderr)
    wrote = f"wrote {script}: {options.nodes} x {processes} processes, log in {job.log_path}"
    print(printable(wrote))
    if options.submit:
        print(f"submitted as job {_submit(script)}")
    else:
        print(printable(f"submit with: sbatch {script}"))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m tools.slurm",
        usage="./launch.sh slurm --nodes N --gpus-per-node M [OPTION ...] KEY=VALUE ...",
        description=__doc__,
    )
    add = parser.add_argument
    add("settings", nargs="*", metavar="KEY=VALUE", help="settings of the run")
    add("--nodes", type=positive, required=True, metavar="N", help="how many nodes")
    add(
        "--gpus-per-node",
        type=natural,
        required=True,
        metavar="M",
        help="GPUs, and so processes, on each; 0 on a cluster without",
    )
    add("--processes-per-node", type=positive, metavar="K", help="without GPUs (default: 1)")
    add(
        "--cpus-per-process",
        type=positive,
        metavar="C",
        help="cores of a process (default: 8 with GPUs, else 1)",
    )
    add("--time", type=_time, default="24:00:00", help="limit of one job (default: 24:00:00)")
    add("--partition", type=_line, metavar="P")
    add("--account", type=_line, metavar="A")
    add("--job-name", type=_line, metavar="NAME", help="default: the run's name")
    add(
        "--sbatch",
        type=_line,
        action="append",
        default=[],
        metavar="OPTION",
        help="any other option of sbatch, such as --sbatch=--qos=high; may be repeated",
    )
    add("--output", type=_line, metavar="FILE", help="the script (default: slurm/NAME.sbatch)")
    add("--logs", type=_line, metavar="DIR", help="the job's log (default: beside the script)")
    add(
        "--stop-seconds",
        type=positive,
        default=120,
        metavar="S",
        help="how long before its limit a job saves and leaves (default: 120)",
    )
    add(
        "--max-restarts",
        type=natural,
        default=2,
        metavar="N",
        help="restarts after a crash within one job (default: 2)",
    )
    add(
        "--max-requeues",
        type=natural,
        default=100,
        metavar="N",
        help="how often the job goes back into the queue (default: 100)",
    )
    add(
        "--vram",
        type=float,
        metavar="GIB",
        help="memory of one GPU: warn when the run does not fit it",
    )
    add("--submit", action="store_true", help="hand it to sbatch")
    return parser


def _warnings(run: RunConfig, options: argparse.Namespace) -> Iterator[str]:
    """What would end the job when its turn comes: data that are missing here, GPUs too small."""
    from hrm_scale.data import is_dataset

    if not is_dataset(run.data_path):
        remedy = f"type `{run.data_build}`" if run.data_build else "build or copy them"
        yield f"data_path={run.data_path}: no data there; {remedy} before the job starts"
    if not options.gpus_per_node:
        return
    machine = f"--gpus {options.gpus_per_node} --nodes {options.nodes}"
    if options.vram is None:
        yield (
            "memory was not planned: give --vram GIB here, or type `python -m tools.plan"
            f" {shlex.join(options.settings)} --vram GIB {machine}`"
        )
        return
    from hrm_scale.planning.choose import choose
    from hrm_scale.planning.hardware import GIB, choose_machine
    from hrm_scale.planning.job import make_job

    try:
        gpus = {"gpus": options.gpus_per_node, "nodes": options.nodes}
        job = make_job(run, choose_machine(None, vram=options.vram, **gpus))
        choice = choose(job)
    except ConfigError as error:  # nothing fits
        yield f"memory: {error}"
        return
    except HrmError as error:  # the data, whose sizes decide
        yield f"memory was not planned: {error}"
        return
    if choice.changes:
        keys = " ".join(f"{change.key}={change.value}" for change in choice.changes)
        needed = f"{choice.as_given.needed / GIB:.1f} of {options.vram:g} GiB"
        yield f"memory: as given the run needs {needed} of a GPU; add {keys}"


def _line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} is not one line of text")
    return text


def _time(text: str) -> str:
    if not _TIME.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"'{text}' is not a time as SLURM writes it: 90 (minutes), 24:00:00 or 2-12:00:00"
        )
    return text


def _job_name(run: RunConfig) -> str:
    from hrm_scale.config.identity import path_safe

    return path_safe(run.run_name or "hrm_scale")


def _submit(script: Path) -> str:
    if shutil.which("sbatch") is None:
        raise EnvironmentProblem(
            f"--submit: no sbatch on the PATH; on a login node of the cluster type: sbatch {script}"
        )
    done = subprocess.run(
        ["sbatch", "--parsable", str(script)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise EnvironmentProblem(f"sbatch refused {script}: {said}")
    return done.stdout.strip().split(";")[0]
