"""Train on several processes and nodes: ``python -m hrm_scale.launch [OPTION ...] KEY=VALUE ...``.

A thin shell around torch's elastic agent, the engine of `torchrun`, for `hrm_scale.train`: the same
processes and environment variables, with the run's own exit codes and one line per error.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import socket
import struct
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from hrm_scale.base.batch_shape import BatchShape
from hrm_scale.base.command_line import Parser, natural, positive
from hrm_scale.base.errors import ConfigError, EnvironmentProblem
from hrm_scale.base.machine import usable_cores

if TYPE_CHECKING:
    from hrm_scale.config.schema import RunConfig

_SIOCGIFADDR = 0x8915  # linux/sockios.h: address of an interface
PROCESSES = "HRM_SCALE_PROCESSES"
DESCRIPTION = "Start training in one process per GPU, on one node or many."
EPILOG = f"""\
KEY=VALUE settings are those of python -m hrm_scale.train (--help lists them).
The exit code is that of the run: 0 done, 75 stopped on request and saved, 2 wrong configuration ...
environment: {PROCESSES} (default of --processes), SLURM_NODEID (default of --node-rank),
  OMP_NUM_THREADS (default: cores / processes), GLOO_SOCKET_IFNAME (default: from --local-addr)
"""


def _endpoint(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"'{text}' is not HOST:PORT with a port of 1 to 65535")
    return host, int(port)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m hrm_scale.launch",
        usage="python -m hrm_scale.launch [OPTION ...] KEY=VALUE ...",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("settings", nargs="*", metavar="KEY=VALUE", help="settings of the run")
    add("--show", action="store_true", help="print every setting and its origin, start nothing")
    add("--dry-run", action="store_true", help="print what would run, start nothing")
    add("--processes", type=positive, metavar="N", help="on this node (default: its GPUs, else 1)")
    add(
        "--max-restarts",
        type=natural,
        default=0,
        metavar="N",
        help="start all processes again after a crash, at most N times (default: 0)",
    )
    add(
        "--stop-seconds",
        type=positive,
        default=300,
        metavar="S",
        help="how long processes asked to stop may take to save (default: 300)",
    )
    nodes = parser.add_argument_group("several nodes (start the same command on each)")
    add = nodes.add_argument
    add("--nodes", type=positive, default=1, metavar="N", help="how many (default: 1)")
    add("--node-rank", type=natural, metavar="R", help="which of them this is, from 0")
    add(
        "--rendezvous",
        type=_endpoint,
        metavar="HOST:PORT",
        help="where node 0 waits for the others",
    )
    add(
        "--local-addr",
        metavar="ADDRESS",
        help="this node as seen by the others (default: the one that leads to the rendezvous)",
    )
    add(
        "--run-id",
        default="hrm_scale",
        metavar="ID",
        help="the same on all nodes, different for jobs that share HOST:PORT",
    )
    add(
        "--rendezvous-seconds",
        type=positive,
        default=300,
        metavar="S",
        help="how long nodes wait for each other (default: 300)",
    )
    return parser


def main(arguments: list[str]) -> int:
    options = _parser().parse_intermixed_args(arguments)
    from hrm_scale.config.entry import resolve

    # Once here rather than at every process: mistakes show before anything starts.
    shown = ["--show"] if options.show else []
    resolved = resolve([*options.settings, *shown], DESCRIPTION, "train")
    if resolved is None:
        return 0
    if options.dry_run:
        return _in_this_process([*options.settings, "--dry-run"])
    place = _place(options)
    processes = options.processes or default_processes(resolved.run)
    run = resolved.run
    BatchShape(run.global_batch_size, run.engine.accumulation, options.nodes * processes)
    if options.nodes * processes == 1 and options.max_restarts == 0:
        return _in_this_process(options.settings)
    _set_environment(place.address, processes, arguments)
    with _quiet_store():
        from hrm_scale.launch.elastic import Job, launch

    job = Job(
        command=(sys.executable, "-u", "-m", "hrm_scale.train", *options.settings),
        processes=processes,
        nodes=options.nodes,
        node_rank=place.node_rank,
        endpoint=place.endpoint,
        address=place.address,
        run_id="" if options.nodes == 1 else options.run_id,
        max_restarts=options.max_restarts,
        stop_seconds=options.stop_seconds,
        rendezvous_seconds=options.rendezvous_seconds,
    )
    return launch(job)


@contextlib.contextmanager
def _quiet_store() -> Iterator[None]:
    """Around the import of torch in this process: the store of the rendezvous, which is C++, would
    print stack traces while it waits for node 0. The workers keep their own setting."""
    name = "TORCH_CPP_LOG_LEVEL"
    if name in os.environ or os.environ.get("HRM_SCALE_DEBUG"):
        yield
        return
    os.environ[name] = "FATAL"
    try:
        yield
    finally:
        del os.environ[name]


def default_processes(run: RunConfig) -> int:
    """HRM_SCALE_PROCESSES, else one per GPU that the run may use, else 1."""
    if text := os.environ.get(PROCESSES):
        try:
            return positive(text)
        except argparse.ArgumentTypeError as error:
            raise ConfigError(f"{PROCESSES}: {error}") from None
    if run.engine.device == "cpu":
        return 1
    with _quiet_store():
        import torch

    return max(1, torch.cuda.device_count())


def _in_this_process(settings: list[str]) -> int:
    from hrm_scale import train

    # What the run tells people to type to continue is made from its own command line.
    sys.argv = ["hrm_scale.train", *settings]
    return train.main(settings)


class Place(NamedTuple):
    """Where this launcher is among its nodes."""

    node_rank: int
    endpoint: tuple[str, int]
    address: str


def _place(options: argparse.Namespace) -> Place:
    nodes, rank = options.nodes, options.node_rank
    if nodes == 1:
        # Loopback by number: many machines cannot resolve their own name. Port 0 is any free one.
        return Place(0, ("127.0.0.1", 0), "127.0.0.1")
    if options.rendezvous is None:
        raise ConfigError(
            f"--nodes {nodes} needs --rendezvous HOST:PORT: the address of node 0, a free port"
        )
    if rank is None and (slurm := os.environ.get("SLURM_NODEID", "")).isdigit():
        rank = int(slurm)
    if rank is None or rank >= nodes:
        given = "nothing" if rank is None else f"{rank}"
        raise ConfigError(f"--nodes {nodes} needs a --node-rank of 0 to {nodes - 1}, got {given}")
    address = options.local_addr or _address_towards(*options.rendezvous)
    return Place(rank, options.rendezvous, address)


def _address_towards(host: str, port: int) -> str:
    """This machine's address on the way to `host`. Nothing is sent: UDP has no connection."""
    try:
        family, kind, _, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(target)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise EnvironmentProblem(
            f"--rendezvous {host}:{port} cannot be reached from this node ({error.strerror}):"
            " give the address of node 0"
        ) from None


def _set_environment(address: str, processes: int, arguments: list[str]) -> None:
    """What the workers inherit, unless the user has set it."""
    env = os.environ
    env.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // processes)))
    env.setdefault(
        "HRM_SCALE_COMMAND", shlex.join(["python", "-m", "hrm_scale.launch", *arguments])
    )
    # Gloo takes the interface of the host's name, which is loopback on many machines.
    if interface := _interface_of(address):
        env.setdefault("GLOO_SOCKET_IFNAME", interface)


def _interface_of(address: str) -> str | None:
    """The network interface with this IPv4 address; None where that cannot be told."""
    if sys.platform != "linux":
        return None
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode())
            # An interface without an address answers with an error.
            with contextlib.suppress(OSError):
                answer = fcntl.ioctl(any_socket, _SIOCGIFADDR, request)
                if socket.inet_ntoa(answer[20:24]) == address:
                    return name
    return None
