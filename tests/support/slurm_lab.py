"""A real SLURM of two virtual nodes on this machine, for tests: needs root and the `slurm-wlm`
package of Debian or Ubuntu. Nothing listens outside loopback, nothing outlives the test."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel", "squeue")

# Users are not authenticated here, so munge is not needed. `cred_expire` and `requeue_delay` decide
# how long a requeued job waits: 120 s by default.
_CONF = """\
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,requeue_delay=1,batch_sched_delay=0
MpiDefault=none
ReturnToService=2
JobRequeue=1
KillWait=5
InactiveLimit=0
{nodes}
PartitionName=main Nodes={names} Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str | None:
    """The reason why no SLURM can be started here, or None."""
    if os.geteuid() != 0:
        return "a SLURM of one's own needs root"
    missing = [name for name in PROGRAMS if _find(name) is None]
    return f"no {missing[0]} here (Debian: apt-get install slurm-wlm)" if missing else None


def _find(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


class Slurm:
    """A running cluster. `run` calls its commands; a job's life is read with `state`."""

    def __init__(self, folder: Path, conf: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "SLURM_CONF": str(conf)}

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, env=self.env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def field(self, job: str, name: str) -> str:
        """One field of `scontrol show job`, such as JobState or Restarts."""
        shown = self.run("scontrol", "--oneliner", "show", "job", job)
        return next(item for item in shown.split() if item.startswith(f"{name}=")).split("=")[1]

    def wait_for(self, job: str, name: str, values: tuple[str, ...], seconds: float) -> str:
        """Wait until a field of a job has one of these values; the one it has."""
        self.wait_until(lambda: self.field(job, name) in values, seconds)
        return self.field(job, name)

    def wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"nothing in {seconds} s\n{self.logs()}"
            time.sleep(0.05)

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*.log")))


@contextlib.contextmanager
def running_slurm(folder: Path) -> Iterator[Slurm]:
    """A cluster of nodes n1 and n2 with two cores each, ended at the end with all its jobs."""
    ports = [_free_port() for _ in range(3)]
    host = socket.gethostname().split(".")[0]
    for name in ("state", "spool-n1", "spool-n2"):
        (folder / name).mkdir()
    nodes = "\n".join(
        f"NodeName=n{i} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[i]} CPUs=2 Boards=1"
        " SocketsPerBoard=1 CoresPerSocket=2 ThreadsPerCore=1 RealMemory=1000 State=UNKNOWN"
        for i in (1, 2)
    )
    conf = folder / "slurm.conf"
    conf.write_text(
        _CONF.format(host=host, port=ports[0], folder=folder, nodes=nodes, names="n1,n2")
    )
    slurm = Slurm(folder, conf)
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        for command in (
            ["slurmctld", "-D", "-c"],
            ["slurmd", "-D", "-N", "n1"],
            ["slurmd", "-D", "-N", "n2"],
        ):
            program = _find(command[0])
            assert program is not None
            daemons.append(
                subprocess.Popen(
                    [program, "-f", str(conf), *command[1:]],
                    env=slurm.env,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
        _wait_until_idle(slurm, daemons)
        yield slurm
    finally:
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
            slurm.run("scancel", "--user=root")
            slurm.run("scancel", "--user=root", "--signal=KILL", "--full")
            _wait_until_empty(slurm)
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            try:
                daemon.wait(timeout=15)
            except subprocess.TimeoutExpired:
                daemon.kill()


def _wait_until_idle(slurm: Slurm, daemons: list[subprocess.Popen[bytes]]) -> None:
    end = time.monotonic() + 30
    while True:
        assert all(daemon.poll() is None for daemon in daemons), slurm.logs()
        assert time.monotonic() < end, slurm.logs()
        with contextlib.suppress(AssertionError):
            if slurm.run("sinfo", "--noheader", "--format=%t %D").split() == ["idle", "2"]:
                return
        time.sleep(0.2)


def _wait_until_empty(slurm: Slurm) -> None:
    end = time.monotonic() + 20
    while slurm.run("squeue", "--noheader").strip() and time.monotonic() < end:
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as any_socket:
        any_socket.bind(("127.0.0.1", 0))
        return int(any_socket.getsockname()[1])
