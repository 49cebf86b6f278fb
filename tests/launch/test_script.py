"""launch.sh, with a Python that only pretends to install: every decision, no download."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CPU_INDEX = "https://download.pytorch.org/whl/cpu"

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")

# Answers like Python where launch.sh asks; `venv` and `pip` only write down how they were called.
FAKE_PYTHON = """#!/usr/bin/env bash
case "$*" in
  "-ISc "*) echo "${{FAKE_VERSION:-3.11.7}}" ;;
  "-m venv "*)
    echo "venv" >>"$FAKE_CALLS"
    [ "${{FAKE_FAIL:-}}" != venv ] || {{ echo "ensurepip is not available"; exit 1; }}
    mkdir -p "$3/bin"
    cp "$0" "$3/bin/python"
    ;;
  "-I -m pip install "*)
    echo "pip $*" >>"$FAKE_CALLS"
    [ -z "${{FAKE_SLOW:-}}" ] || sleep "$FAKE_SLOW"
    case "$*" in *"${{FAKE_FAIL:-nothing fails}}"*) echo "${{FAKE_SAYS:-}}" && exit 1 ;; esac
    while [ $# -gt 0 ]; do
      if [ "$1" = --report ]; then
        echo '{{"install": [{{"metadata": {{"requires_dist": ['"${{FAKE_NEEDS:-}}"']}}}}]}}' >"$2"
      fi
      shift
    done
    ;;
  "-I -c import "*) [ "${{FAKE_FAIL:-}}" != import ] || {{ echo "${{FAKE_SAYS:-}}"; exit 1; }} ;;
  "-m "*) echo "ran $*${{HRM_SCALE_PROCESSES:+ in $HRM_SCALE_PROCESSES}}" ;;
  *) exec {python} "$@" ;;
esac
"""


class Machine:
    """A folder with a clone, a home and a PATH on which only the pretending Python is found."""

    def __init__(self, folder: Path) -> None:
        self.clone = folder / "a clone"
        self.clone.mkdir()
        for name in ("launch.sh", "setup.cfg", "setup.py", "pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, self.clone / name)
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.calls_file = folder / "calls"
        self.program("python3", FAKE_PYTHON.format(python=sys.executable))
        self.env = {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "HOME": str(folder),
            "FAKE_CALLS": str(self.calls_file),
            "CUDA_VISIBLE_DEVICES": "",
        }

    def program(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text, encoding="utf-8")
        (self.bin / name).chmod(0o755)

    def add_gpu(self) -> None:
        self.program("nvidia-smi", "#!/bin/sh\necho 'GPU 0: Some GPU (UUID: 0)'\n")
        del self.env["CUDA_VISIBLE_DEVICES"]

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", str(self.clone / "launch.sh"), *arguments],
            env={**self.env, **env},
            cwd=self.clone.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def launch(self, *arguments: str, **env: str) -> tuple[int, str]:
        process = self.start(*arguments, **env)
        output, _ = process.communicate(timeout=60)
        return process.returncode, output

    def calls(self) -> list[str]:
        """What was installed since the last question."""
        if not self.calls_file.exists():
            return []
        lines = self.calls_file.read_text(encoding="utf-8").splitlines()
        self.calls_file.unlink()
        return [line for line in lines if "--upgrade pip" not in line]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_help_lists_every_command_and_needs_no_environment(machine: Machine) -> None:
    for arguments in (["help"], ["--help"], []):
        code, output = machine.launch(*arguments)
        assert code == 0
        for command in (
            "demo",
            "test",
            "exec",
            "train",
            "eval",
            "predict",
            "play",
            "slurm",
            "doctor",
            "env",
        ):
            assert re.search(rf"^  {command} ", output, re.MULTILINE), command
    assert machine.calls() == []


@pytest.mark.parametrize(
    ("arguments", "env", "says"),
    [
        (["trian"], {}, "Did you mean 'train'?"),
        (["zzz"], {}, "Commands: demo, test"),
        (["exec"], {}, "exec needs a command"),
        (
            ["env"],
            {"HRM_SCALE_EXTRAS": "tset"},
            "choose from cuda, fast, export, plot, s3, web, servers, test, dev",
        ),
    ],
)
def test_wrong_usage_is_one_line(
    machine: Machine, arguments: list[str], env: dict[str, str], says: str
) -> None:
    code, output = machine.launch(*arguments, **env)
    assert code == 2
    assert says in output
    assert len(output.splitlines()) == 1
    assert machine.calls() == []


def test_makes_the_environment_once(machine: Machine) -> None:
    code, output = machine.launch("exec", "echo", "in it")
    assert code == 0, output
    assert output.endswith("in it\n")
    calls = machine.calls()
    assert calls[0] == "venv"
    assert "--dry-run" in calls[1]
    # torch before everything that would pull in another build of it
    assert calls[2].endswith("torch==2.13.0")
    assert calls[3].endswith("-c constraints.txt -e .[test]")
    assert len(calls) == 4

    begun = time.perf_counter()
    assert machine.launch("exec", "echo", "again") == (0, "again\n")
    assert machine.calls() == []
    assert time.perf_counter() - begun < 2


def test_commands_run_with_the_environment_first_on_the_path(machine: Machine) -> None:
    code, output = machine.launch("exec", "bash", "-c", 'command -v python; echo "$VIRTUAL_ENV"')
    assert code == 0
    venv = machine.clone / ".venv"
    assert output.splitlines()[-2:] == [str(venv / "bin" / "python"), str(venv)]


def test_exit_status_and_arguments_of_the_command_are_kept(machine: Machine) -> None:
    code, output = machine.launch(
        "exec", "bash", "-c", 'printf "<%s>" "$@"; exit 7', "x", "a b", ""
    )
    assert code == 7
    assert output.endswith("<a b><>")
    code, output = machine.launch("exec", "no-such-program")
    assert (code, len(output.splitlines())) == (2, 1)


def test_changed_requirements_make_it_again(machine: Machine) -> None:
    machine.launch("env")
    machine.calls()
    with (machine.clone / "constraints.txt").open("a") as file:
        file.write("# changed\n")
    _, output = machine.launch("env")
    assert "made for other requirements" in output
    assert machine.calls()[0] == "venv"


def test_another_python_makes_it_again(machine: Machine) -> None:
    machine.launch("env")
    machine.calls()
    _, output = machine.launch("env", FAKE_VERSION="3.12.1")
    assert "belongs to another Python" in output
    assert machine.calls()[0] == "venv"


def test_extras_are_added_and_stay(machine: Machine) -> None:
    machine.launch("env")
    machine.calls()
    _, output = machine.launch("env", HRM_SCALE_EXTRAS="dev, s3")
    assert "lacks some of the extras" in output
    assert machine.calls()[-1].endswith("-e .[dev,s3,test]")
    machine.launch("env")
    assert machine.calls() == []


def test_cuda_extra_sees_the_installed_torch(machine: Machine) -> None:
    machine.launch("env", HRM_SCALE_EXTRAS="test,cuda")
    calls = machine.calls()
    assert calls[-2].endswith("-e .[test]")
    assert "--no-build-isolation" in calls[-1]
    assert calls[-1].endswith("-e .[cuda]")


def test_environment_elsewhere(machine: Machine, tmp_path: Path) -> None:
    code, output = machine.launch("env", HRM_SCALE_VENV="else where/env")
    assert code == 0
    assert f"environment in {tmp_path}/else where/env" in output
    assert not (machine.clone / ".venv").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one build of torch")
class TestTorchChoice:
    def test_no_gpu_and_a_cuda_default_takes_the_cpu_build(self, machine: Machine) -> None:
        needs = '"filelock", "nvidia-cublas==1; platform_system == \\"Linux\\""'
        code, output = machine.launch("env", FAKE_NEEDS=needs)
        assert code == 0
        assert CPU_INDEX in output
        calls = [call for call in machine.calls() if "--dry-run" not in call]
        assert f"--index-url {CPU_INDEX} torch==2.13.0" in calls[1]
        assert len(calls) == 3

    def test_cpu_index_out_of_reach_goes_on_with_the_default(self, machine: Machine) -> None:
        code, output = machine.launch("env", FAKE_NEEDS='"cuda-bindings"', FAKE_FAIL=CPU_INDEX)
        assert code == 0
        assert "could not get it there" in output
        assert machine.calls()[-2].endswith("constraints.txt torch==2.13.0")

    def test_gpu_takes_the_default_without_asking(self, machine: Machine) -> None:
        machine.add_gpu()
        _, output = machine.launch("env")
        assert "NVIDIA GPU" in output
        assert not [call for call in machine.calls() if "--dry-run" in call]

    def test_named_index_wins(self, machine: Machine) -> None:
        machine.add_gpu()
        machine.launch("env", HRM_SCALE_TORCH_INDEX="https://mirror/x")
        assert "--index-url https://mirror/x" in machine.calls()[1]
        machine.launch("env")
        assert machine.calls() == []
        _, output = machine.launch("env", HRM_SCALE_TORCH_INDEX="https://mirror/y")
        assert "torch from elsewhere" in output

    def test_a_gpu_that_appears_replaces_a_cpu_build(self, machine: Machine) -> None:
        machine.launch("env")
        machine.calls()
        machine.add_gpu()
        _, output = machine.launch("env")
        assert "there is a GPU now" in output
        machine.calls()
        # Back on a machine without one, a CUDA build serves as well.
        machine.launch("env", CUDA_VISIBLE_DEVICES="")
        assert machine.calls() == []


def test_killed_while_installing_is_made_again(machine: Machine) -> None:
    process = machine.start("env", FAKE_SLOW="2")
    stamp = machine.clone / ".venv" / "hrm_scale.environment"
    deadline = time.monotonic() + 30
    while not (stamp.exists() and machine.calls_file.exists()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()
    # Its pip lives on for a moment and holds the lock: nobody builds beside it.
    code, output = machine.launch("exec", "echo", "ok")
    assert code == 0
    assert "it was left half made" in output
    assert output.endswith("ok\n")


@pytest.mark.skipif(shutil.which("flock") is None, reason="needs flock")
def test_two_shells_build_once(machine: Machine) -> None:
    first = machine.start("exec", "echo", "first", FAKE_SLOW="0.3")
    deadline = time.monotonic() + 30
    while not machine.calls_file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    code, output = machine.launch("exec", "echo", "second")
    assert "waiting for it" in output
    assert (code, output.splitlines()[-1]) == (0, "second")
    assert first.communicate()[0].endswith("first\n")
    assert machine.calls().count("venv") == 1


@pytest.mark.parametrize(
    ("env", "cause"),
    [
        ({"FAKE_FAIL": "venv"}, "apt-get install python3-venv"),
        ({"FAKE_FAIL": "-e .", "FAKE_SAYS": "[Errno 28] No space left on device"}, "disk is full"),
        (
            {"FAKE_FAIL": "import", "FAKE_SAYS": "ImportError: libstdc++.so.6: no such file"},
            "a system library is missing",
        ),
        ({"FAKE_FAIL": "-e .", "FAKE_SAYS": "NewConnectionError: refused"}, "cannot be reached"),
        (
            {"FAKE_FAIL": "-e .", "FAKE_SAYS": "ERROR: No matching distribution found for x"},
            "no build for Python 3.11.7",
        ),
    ],
)
def test_failure_shows_the_log_and_the_likely_cause(
    machine: Machine, env: dict[str, str], cause: str
) -> None:
    code, output = machine.launch("env", **env)
    assert code == 5
    assert cause in output.splitlines()[-1]
    assert "Last lines of" in output
    assert env.get("FAKE_SAYS", "ensurepip") in output
    assert not (machine.clone / ".venv" / "hrm_scale.stamp").exists()


def test_python_too_old_or_absent(machine: Machine) -> None:
    for name in ("python3.13", "python3.12", "python3.11"):
        machine.program(name, "#!/bin/sh\nexit 127\n")
    code, output = machine.launch("env", FAKE_VERSION="3.10.2")
    assert code == 5
    assert "no Python >= 3.11 found (seen: python3=3.10.2)" in output.splitlines()[-1]
    code, output = machine.launch("env", HRM_SCALE_PYTHON="no-such-python")
    assert code == 5
    assert "HRM_SCALE_PYTHON=no-such-python is not a Python >= 3.11" in output


def test_foreign_folder_is_never_touched(machine: Machine, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine")
    code, output = machine.launch("env", HRM_SCALE_VENV=str(precious))
    assert code == 5
    assert "was not made by launch.sh" in output
    assert os.listdir(precious) == ["file"]
    assert machine.calls() == []


def test_start_time_is_passed_on(machine: Machine) -> None:
    before = time.time()
    _, output = machine.launch("exec", "bash", "-c", 'echo "$HRM_SCALE_STARTED_AT"')
    assert before - 1.1 <= float(output.splitlines()[-1]) <= time.time()


def test_train_prints_what_it_runs(machine: Machine) -> None:
    machine.launch("env")
    code, output = machine.launch("train", HRM_SCALE_PROCESSES="none")
    assert (code, len(output.splitlines())) == (2, 1)
    assert machine.launch("train", "a=b") == (
        0,
        "launch: running: python -m hrm_scale.launch a=b (processes: 1)\n"
        "ran -m hrm_scale.launch a=b\n",
    )


def test_train_takes_every_gpu_unless_told_otherwise(machine: Machine) -> None:
    machine.launch("env")
    machine.program("nvidia-smi", "#!/bin/sh\necho 'GPU 0: A'\necho 'GPU 1: B'\n")
    del machine.env["CUDA_VISIBLE_DEVICES"]
    for env, processes in (
        ({}, 2),
        ({"HRM_SCALE_PROCESSES": "1"}, 1),
        ({"HRM_SCALE_PROCESSES": "3"}, 3),
    ):
        code, output = machine.launch("train", "a=b", **env)
        assert code == 0
        assert output.splitlines()[-1] == f"ran -m hrm_scale.launch a=b in {processes}"
    # GPUs that this shell may not use do not count.
    _, output = machine.launch("train", "a=b", CUDA_VISIBLE_DEVICES="")
    assert output.splitlines()[-1] == "ran -m hrm_scale.launch a=b"


def test_train_with_an_accelerate_configuration(machine: Machine, tmp_path: Path) -> None:
    machine.launch("env")
    file = tmp_path / "a b.yaml"
    file.write_text("num_processes: 2\n")
    for option in (["--config_file", str(file)], [f"--config_file={file}"]):
        code, output = machine.launch("train", *option, "--machine_rank", "1", "a=b", "+c=d e")
        assert code == 0
        assert output.splitlines()[-1] == (
            f"ran -m accelerate.commands.launch --config_file {file} --machine_rank 1"
            " -m hrm_scale.train a=b +c=d e"
        )
    for wrong in (["--config_file"], ["--config_file", "gone.yaml"]):
        code, output = machine.launch("train", *wrong)
        assert (code, len(output.splitlines())) == (2, 1), output


@pytest.mark.parametrize(
    ("command", "module"),
    [
        ("demo", "hrm_scale.demo"),
        ("test", "pytest -n auto --dist loadfile --no-loadscope-reorder"),
        ("eval", "hrm_scale.evaluate"),
        ("predict", "hrm_scale.predict"),
        ("play", "hrm_scale.play"),
        ("slurm", "tools.slurm"),
        ("doctor", "hrm_scale.doctor"),
    ],
)
def test_commands_start_their_module(machine: Machine, command: str, module: str) -> None:
    code, output = machine.launch(command, "x=1", "--flag")
    assert (code, output.splitlines()[-1]) == (0, f"ran -m {module} x=1 --flag")
