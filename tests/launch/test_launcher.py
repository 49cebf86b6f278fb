"""Decisions of `python -m hrm_scale.launch`; tests/integration starts it for real."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hrm_scale import train
from hrm_scale.base.errors import ConfigError, EnvironmentProblem
from hrm_scale.base.worker_exit import STOPPED_FILE, stop_is_no_failure
from hrm_scale.config.compose import compose
from hrm_scale.config.schema import RunConfig
from hrm_scale.launch import cli as launch
from hrm_scale.launch import elastic


def configuration(**changes: Any) -> RunConfig:
    settings = {"engine.device": "cpu", "global_batch_size": 12, **changes}
    return compose([f"{key}={value}" for key, value in settings.items()]).run


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (launch.PROCESSES, STOPPED_FILE, "TORCHELASTIC_MAX_RESTARTS", "SLURM_NODEID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[elastic.Job]:
    """Jobs that would have been started; what `launch` sets in the environment is taken back."""
    jobs: list[elastic.Job] = []
    monkeypatch.setattr(elastic, "launch", lambda job: jobs.append(job) or 0)
    for name in ("OMP_NUM_THREADS", "HRM_SCALE_COMMAND", "GLOO_SOCKET_IFNAME"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return jobs


RUN = ["engine.device=cpu", "global_batch_size=12", "run_name=a b"]


def test_one_node(started: list[elastic.Job]) -> None:
    assert launch.main([*RUN, "--processes", "2", "--max-restarts", "3"]) == 0
    (job,) = started
    assert job.command[:4] == (sys.executable, "-u", "-m", "hrm_scale.train")
    assert list(job.command[4:]) == RUN
    assert (job.processes, job.nodes, job.node_rank, job.max_restarts) == (2, 1, 0, 3)
    # Nothing depends on whether this machine can resolve its own name.
    assert (job.endpoint, job.address) == (("127.0.0.1", 0), "127.0.0.1")


def test_several_nodes(started: list[elastic.Job], monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = ["--nodes", "3", "--rendezvous", "127.0.0.1:4567", "--run-id", "7"]
    launch.main([*RUN, *nodes, "--node-rank", "2"])
    monkeypatch.setenv("SLURM_NODEID", "1")
    launch.main([*RUN, *nodes, "--local-addr", "10.1.2.3"])
    first, second = started
    assert (first.nodes, first.node_rank, first.run_id) == (3, 2, "7")
    assert (first.endpoint, first.address) == (("127.0.0.1", 4567), "127.0.0.1")
    assert (second.node_rank, second.address) == (1, "10.1.2.3")


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_environment_of_the_workers(
    started: list[elastic.Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "usable_cores", lambda: 9)
    launch.main([*RUN, "--processes", "2"])
    assert launch.os.environ["OMP_NUM_THREADS"] == "4"
    assert launch.os.environ["GLOO_SOCKET_IFNAME"] == "lo"
    assert launch.os.environ["HRM_SCALE_COMMAND"] == (
        "python -m hrm_scale.launch engine.device=cpu global_batch_size=12 'run_name=a b'"
        " --processes 2"
    )
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "mine")
    launch.main([*RUN, "--processes", "2"])
    assert launch.os.environ["OMP_NUM_THREADS"] == "1"
    assert launch.os.environ["GLOO_SOCKET_IFNAME"] == "mine"


def test_one_process_needs_no_launcher(
    started: list[elastic.Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(train, "main", lambda settings: seen.append(settings) or 0)
    monkeypatch.setattr(sys, "argv", ["launch", "--processes", "1", *RUN])
    assert launch.main(["--processes", "1", *RUN]) == 0
    assert (seen, started) == ([RUN], [])
    assert sys.argv[1:] == RUN  # what the run tells people to type again
    launch.main(["--processes", "1", "--max-restarts", "1", *RUN])
    assert len(started) == 1


def test_show_starts_nothing(
    started: list[elastic.Job], capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch.main(["--processes", "2", "--show", *RUN]) == 0
    assert started == []
    assert "global_batch_size" in capsys.readouterr().out


def test_default_number_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert launch.default_processes(configuration()) == 1
    assert launch.default_processes(configuration(**{"engine.device": "auto"})) == 4
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert launch.default_processes(configuration(**{"engine.device": "auto"})) == 1
    monkeypatch.setenv(launch.PROCESSES, "3")
    assert launch.default_processes(configuration()) == 3
    monkeypatch.setenv(launch.PROCESSES, "many")
    with pytest.raises(ConfigError, match="HRM_SCALE_PROCESSES: 'many' is not a whole number"):
        launch.default_processes(configuration())


@pytest.mark.parametrize("text", ["host", "host:", ":29500", "host:0", "host:70000", "host:x"])
def test_wrong_rendezvous_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not HOST:PORT"):
        launch.main([*RUN, "--nodes", "2", "--rendezvous", text])


def test_unreachable_rendezvous_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(EnvironmentProblem, match="nohost:1 cannot be reached") as caught:
        launch.main([*RUN, "--nodes", "2", "--node-rank", "0", "--rendezvous", "nohost:1"])
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("codes", "worst"),
    [
        ([1, 3], 3),  # the others only lost their peer
        ([-15, 2], 2),
        ([1, -9], 137),
        ([-15, 1], 1),
        ([-15], 143),
        ([7, -9], 137),
        ([7, 1], 1),
        ([-15, 7], 7),
        ([0, 0, 1], 1),
        ([], 1),
    ],
)
def test_one_exit_code_out_of_many(codes: list[int], worst: int) -> None:
    assert elastic._worst(codes) == worst


def leave(code: int) -> int:
    with pytest.raises(SystemExit) as caught, stop_is_no_failure():
        sys.exit(code)
    return int(str(caught.value.code))


def test_a_stop_is_told_to_the_launcher_that_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert leave(75) == 75
    note = tmp_path / "note"
    monkeypatch.setenv(STOPPED_FILE, str(note))
    for code in (0, 1, 2, 130):
        assert leave(code) == code
    assert not note.exists()
    assert leave(75) == 0
    assert note.exists()


@pytest.mark.parametrize(("restarts", "code"), [("0", 75), ("2", 0)])
def test_a_stop_is_no_failure_where_failures_are_started_again(
    restarts: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", restarts)
    assert leave(75) == code
    assert leave(2) == 2


def test_the_command_needs_no_torch_to_find_mistakes() -> None:
    script = (
        "import sys\nfrom hrm_scale.launch import cli as launch\n"
        "try:\n    launch.main(['--nodes', '2', 'max_steps=1'])\n"
        "except Exception as error:\n    print(error)\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "needs --rendezvous" in done.stdout
