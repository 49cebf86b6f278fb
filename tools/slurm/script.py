"""The batch script of a training job, as text."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

# `@NAME@` is filled in. Everything else is as the job runs it.
_BODY = r"""
set -uo pipefail
@ENVIRONMENT@
HRM_SCALE_COMMAND=@AGAIN@
export HRM_SCALE_COMMAND  # what to type to resume, with the settings given to sbatch
cd @FOLDER@ || exit 5

# The nodes meet at the first one, at the address by which SLURM itself reaches it.
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(scontrol --oneliner show node "$first" | sed -n 's/.* NodeAddr=\([^ ]*\).*/\1/p')
port=$((20000 + SLURM_JOB_ID % 10000))
restarts=${SLURM_RESTART_COUNT:-0}
echo "job $SLURM_JOB_ID: start number $((restarts + 1)) on $SLURM_JOB_NODELIST," \
  "rendezvous at ${address:-$first}:$port, $(date '+%F %T')"

asked=""
trap 'asked=yes' TERM USR1
# shellcheck disable=SC2317  # a trap calls it
on_stop() {
  # SLURM asks again at the end of the grace period, and when the job is put back into the queue.
  trap '' TERM USR1
  asked=yes interrupted=yes
  echo "job $SLURM_JOB_ID: asked to stop, passing it on, $(date '+%F %T')"
  # The step may not be there yet.
  until scancel --signal=TERM "$SLURM_JOB_ID.0" || ! kill -0 "$step"; do sleep 1; done
}

# --wait: when one node is done or lost, the others get a minute to end by themselves.
srun --nodes=@NODES@ --ntasks=@NODES@ --ntasks-per-node=1 --cpus-per-task=@CPUS@ \
  --kill-on-bad-exit=0 --wait=60 \
  @COMMAND@ &
step=$!
trap on_stop TERM USR1
[ -z "$asked" ] || on_stop
# A trap interrupts `wait`, whose status says nothing about the step then: ask again.
while :; do
  interrupted=""
  wait "$step"
  code=$?
  [ -n "$interrupted" ] || break
done

# 75: stopped on request, saved. 143: the request came before there was anything to save. A stop
# that SLURM did not ask for (STOP file, max_time) was meant: such a job ends.
if [ -n "$asked" ] && { [ "$code" -eq 75 ] || [ "$code" -eq 143 ]; }; then
  if [ "$restarts" -ge @MAX_REQUEUES@ ]; then
    echo "job $SLURM_JOB_ID: saved, but requeued $restarts times already:" \
      "submit it again: $HRM_SCALE_COMMAND@RESUME@"
  elif scontrol requeue "$SLURM_JOB_ID"; then
    echo "job $SLURM_JOB_ID: saved, back in the queue"
    exit 0
  else
    echo "job $SLURM_JOB_ID: saved, but SLURM does not requeue it:" \
      "submit it again: $HRM_SCALE_COMMAND@RESUME@"
  fi
fi
echo "job $SLURM_JOB_ID: ended with exit code $code, $(date '+%F %T')"
exit "$code"
"""


@dataclass(frozen=True)
class BatchJob:
    """What one SLURM job asks for and runs. All paths are absolute."""

    name: str
    nodes: int
    gpus_per_node: int
    processes_per_node: int
    cpus_per_node: int
    time: str
    partition: str | None
    account: str | None
    directives: tuple[str, ...]
    stop_seconds: int
    max_restarts: int
    max_requeues: int
    logs: Path
    script: Path
    folder: Path
    python: Path
    environment: Path | None
    settings: tuple[str, ...]

    @property
    def log_path(self) -> Path:
        """The job's log; %j is its number. A percent sign of the path itself is doubled."""
        return Path(str(self.logs / self.name).replace("%", "%%") + "-%j.log")


def batch_script(job: BatchJob) -> str:
    """The script to hand to sbatch. Nothing of the environment but paths is written into it."""
    asked = [
        f"--job-name={job.name}",
        f"--nodes={job.nodes}",
        "--ntasks-per-node=1",
        f"--cpus-per-task={job.cpus_per_node}",
        *([f"--gpus-per-node={job.gpus_per_node}"] if job.gpus_per_node else []),
        f"--time={job.time}",
        *([f"--partition={job.partition}"] if job.partition else []),
        *([f"--account={job.account}"] if job.account else []),
        f"--signal=B:TERM@{job.stop_seconds}",
        "--requeue",
        "--open-mode=append",
        f"--output={job.log_path}",
        *job.directives,
    ]
    head = ["#!/usr/bin/env bash", *(f"#SBATCH {_directive(option)}" for option in asked)]
    return "\n".join(head) + "\n" + _fill(_BODY, _values(job))


def _values(job: BatchJob) -> dict[str, str]:
    launcher = [
        *[str(job.python), "-u", "-m", "hrm_scale.launch"],
        *["--processes", str(job.processes_per_node), "--max-restarts", str(job.max_restarts)],
        *["--stop-seconds", str(job.stop_seconds)],
    ]
    command = shlex.join(launcher)
    if job.nodes > 1:
        command += f' \\\n  --nodes {job.nodes} --rendezvous "${{address:-$first}}:$port"'
        command += ' --run-id "$SLURM_JOB_ID.$restarts"'
    settings = "".join(f" \\\n  {shlex.quote(setting)}" for setting in job.settings)
    settings += ' "$@"'  # sbatch SCRIPT KEY=VALUE: a later setting wins
    again = shlex.quote(shlex.join(["sbatch", str(job.script)]))
    resumes = any(setting.lstrip("+").startswith("resume=") for setting in job.settings)
    environment = "# No virtual environment: the interpreter is named by its path."
    if job.environment is not None:
        environment = (
            f"export VIRTUAL_ENV={shlex.quote(str(job.environment))}\n"
            'export PATH="$VIRTUAL_ENV/bin:$PATH"'
        )
    return {
        "ENVIRONMENT": environment,
        "AGAIN": again + "${1:+$(printf ' %q' \"$@\")}",
        "RESUME": " resume=auto" if resumes else "",
        "FOLDER": shlex.quote(str(job.folder)),
        "NODES": str(job.nodes),
        "CPUS": str(job.cpus_per_node),
        "COMMAND": command + settings,
        "MAX_REQUEUES": str(job.max_requeues),
    }


def _fill(text: str, values: dict[str, str]) -> str:
    # In one pass over the template: what is filled in is never looked at again.
    parts = text.split("@")
    return "".join(values[part] if i % 2 else part for i, part in enumerate(parts))


def _directive(option: str) -> str:
    """`option` as sbatch reads it in a #SBATCH line, where only quotes keep spaces together."""
    if any(mark in option for mark in " #'\"\\"):
        return '"' + option.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return option
