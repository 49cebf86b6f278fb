"""Two nodes, network namespaces joined by a cable: the losses are those of one node."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.runs import ROOT, arguments, call, environment, metrics_of, saved_steps
from tests.support import network_lab
from tests.support.network_lab import Node

STEPS = 20
PORT = 29500  # each test has the namespaces' ports to itself
SETTINGS: dict[str, Any] = {
    "max_steps": STEPS,
    "checkpoint__every_steps": 10,
    "evaluation__full_at_end": "false",
    "evaluation__limit": 10,
    "log__every": 1,
    "log__console": "line",
}
Start = Callable[[int, Node, Node], list[str]]

pytestmark = [pytest.mark.slow, pytest.mark.multi]


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[Node, Node]]:
    if reason := network_lab.why_not():
        pytest.skip(reason)
    with network_lab.two_nodes() as both:
        yield both


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_online(tmp_path_factory.mktemp("nodes") / "data", examples=100)


@pytest.fixture(scope="module")
def one_node(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two processes on one node."""
    run = tmp_path_factory.mktemp("one-node") / "run"
    done = call("hrm_scale.launch", "--processes", 2, *arguments(data, run, **SETTINGS))
    assert done.returncode == 0, done.stderr
    return run


def accelerate(rank: int, _: Node, first: Node) -> list[str]:
    return [
        *["accelerate.commands.launch", "--use_deepspeed", "--zero_stage", "1"],
        *["--deepspeed_multinode_launcher", "standard", "--mixed_precision", "no"],
        *["--dynamo_backend", "no", "--num_machines", "2", "--num_processes", "2"],
        *["--machine_rank", str(rank), "--main_process_ip", first.address],
        *["--main_process_port", str(PORT), "-m", "hrm_scale.train"],
    ]


def torchrun(rank: int, node: Node, first: Node) -> list[str]:
    return [
        *["torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"],
        *["--rdzv-backend", "c10d", "--rdzv-id", "test"],
        *["--rdzv-endpoint", f"{first.address}:{PORT + 1}", "--local-addr", node.address],
        *["--rdzv-conf", f"is_host={int(rank == 0)}", "-m", "hrm_scale.train"],
    ]


def launch(rank: int, _: Node, first: Node) -> list[str]:
    return [
        *["hrm_scale.launch", "--nodes", "2", "--node-rank", str(rank), "--processes", "1"],
        *["--rendezvous", f"{first.address}:{PORT + 2}"],
    ]


def run_on(nodes: tuple[Node, Node], how: Start, settings: list[str]) -> list[tuple[int, str]]:
    """Start one launcher in each namespace; exit code and output of each."""
    processes = []
    for rank, node in enumerate(nodes):
        # A host's name is no use here: it leads to loopback. hrm_scale.launch finds this by itself.
        interface = {} if how is launch else {"GLOO_SOCKET_IFNAME": node.interface}
        processes.append(
            subprocess.Popen(
                [*node.inside, sys.executable, "-m", *how(rank, node, nodes[0]), *settings],
                cwd=ROOT,
                env={**environment(), **interface},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    try:
        outputs = [process.communicate(timeout=180)[0] for process in processes]
    finally:
        for process in processes:
            process.terminate()
    return [(process.returncode, out) for process, out in zip(processes, outputs, strict=True)]


def losses(run: Path) -> list[float]:
    return [line["train/lm_loss"] for line in metrics_of(run) if "train/lm_loss" in line]


@pytest.mark.parametrize("how", [accelerate, torchrun, launch])
def test_two_nodes_train_as_one(
    how: Start, nodes: tuple[Node, Node], data: Path, one_node: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    ended = run_on(nodes, how, arguments(data, run, **SETTINGS))
    assert [code for code, _ in ended] == [0, 0], "\n".join(output for _, output in ended)
    told = "\n".join(output for _, output in ended)
    assert ("ZeRO stage 1" in told) == (how is accelerate), told
    assert "2 ranks" in told
    assert saved_steps(run)[-1] == STEPS
    wanted = losses(one_node)
    assert len(wanted) == STEPS
    assert losses(run) == pytest.approx(wanted, rel=1e-5 if how is accelerate else 0, abs=0)
