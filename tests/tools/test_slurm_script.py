"""The batch script and the command line that makes it; tests/integration runs it on a SLURM."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.tiny.data_sets import write_online
from hrm_scale.base.errors import ConfigError, EnvironmentProblem
from hrm_scale.base.plugins import PUZZLE_FILES, take_plugins
from tools.slurm import cli as slurm
from tools.slurm.script import BatchJob, batch_script

JOB = BatchJob(
    name="run",
    nodes=2,
    gpus_per_node=8,
    processes_per_node=8,
    cpus_per_node=64,
    time="24:00:00",
    partition="gpu",
    account=None,
    directives=("--qos=high",),
    stop_seconds=120,
    max_restarts=2,
    max_requeues=100,
    logs=Path("/logs"),
    script=Path("/jobs/run.sbatch"),
    folder=Path("/work dir"),
    python=Path("/env/bin/python"),
    environment=Path("/env"),
    settings=("data_path=/data", "lr=1e-4"),
)

# Stands in for SLURM's commands and for the training: says how it was called, ends as it is told.
FAKE = """\
#!/bin/bash
case ${0##*/} in
  srun) while [ "$1" != /env/bin/python ]; do echo "srun $1" >>calls; shift; done
        printf '%s\\0' "$@" >command; printf %s "$HRM_SCALE_COMMAND" >again
        [ -z "${SLEEP-}" ] || { touch started; sleep "$SLEEP"; }
        exit "${CODE:-0}" ;;
  scontrol) case $1 in
      show) echo n7; echo n8 ;;
      --oneliner) echo "NodeName=$4 Arch=x86 NodeAddr=10.1.2.3 NodeHostName=n7" ;;
      requeue) echo "requeue $2" >>calls; exit "${REQUEUE:-0}" ;;
    esac ;;
  scancel) echo "scancel $*" >>calls ;;
esac
"""


def directives(text: str) -> list[str]:
    return [line.removeprefix("#SBATCH ") for line in text.splitlines() if "#SBATCH" in line]


def options_of(command: list[str]) -> dict[str, str]:
    """The launcher's options, up to the first setting."""
    pairs = command[command.index("hrm_scale.launch") + 1 :]
    return {pairs[i]: pairs[i + 1] for i in range(0, len(pairs), 2) if pairs[i].startswith("--")}


class Cluster:
    """Runs a batch script with pretended SLURM commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("srun", "scontrol", "scancel"):
            (folder / name).write_text(FAKE)
            (folder / name).chmod(0o755)
        self.env = {
            "PATH": f"{folder}:/usr/bin:/bin",
            "SLURM_JOB_ID": "41234",
            "SLURM_JOB_NODELIST": "n[7-8]",
        }

    def start(self, job: BatchJob, *settings: str, **env: str) -> subprocess.Popen[str]:
        script = self.folder / "script"
        script.write_text(batch_script(replace(job, folder=self.folder, environment=None)))
        return subprocess.Popen(
            ["bash", str(script), *settings],
            env={**self.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, job: BatchJob, *settings: str, **env: str) -> tuple[int, str]:
        process = self.start(job, *settings, **env)
        output, _ = process.communicate(timeout=30)
        return process.returncode, output

    def stopped(self, job: BatchJob, **env: str) -> tuple[int, str]:
        """Run, with SIGTERM as from SLURM once the step runs."""
        (self.folder / "started").unlink(missing_ok=True)
        process = self.start(job, SLEEP="0.5", **env)
        while not (self.folder / "started").exists():
            assert process.poll() is None
        process.terminate()
        output, _ = process.communicate(timeout=30)
        return process.returncode, output

    def command(self) -> list[str]:
        return (self.folder / "command").read_text().split("\0")[:-1]

    def again(self) -> str:
        """The command that resumes the run, as passed to it."""
        return (self.folder / "again").read_text()

    def calls(self) -> list[str]:
        file = self.folder / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return [line for line in lines if not line.startswith("srun")]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def test_asks_slurm_for_what_was_wanted() -> None:
    assert directives(batch_script(JOB)) == [
        "--job-name=run",
        "--nodes=2",
        "--ntasks-per-node=1",
        "--cpus-per-task=64",
        "--gpus-per-node=8",
        "--time=24:00:00",
        "--partition=gpu",
        "--signal=B:TERM@120",
        "--requeue",
        "--open-mode=append",
        "--output=/logs/run-%j.log",
        "--qos=high",
    ]
    without = replace(JOB, gpus_per_node=0, partition=None, account="a b", name="50%")
    text = directives(batch_script(without))
    assert not [line for line in text if "gpus" in line or "partition" in line]
    assert '"--account=a b"' in text
    assert "--output=/logs/50%%-%j.log" in text


def test_directives_come_before_the_first_command() -> None:
    lines = batch_script(JOB).splitlines()
    first = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    assert not [line for line in lines[first:] if line.startswith("#SBATCH")]


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck")
@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize("environment", [None, Path("/an env")])
def test_shellcheck_has_nothing_to_say(
    tmp_path: Path, nodes: int, environment: Path | None
) -> None:
    file = tmp_path / "script"
    file.write_text(batch_script(replace(JOB, nodes=nodes, environment=environment)))
    done = subprocess.run(["shellcheck", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_starts_one_launcher_per_node(cluster: Cluster) -> None:
    code, output = cluster.run(JOB)
    assert code == 0, output
    command = cluster.command()
    assert command[:4] == ["/env/bin/python", "-u", "-m", "hrm_scale.launch"]
    assert options_of(command) == {
        "--processes": "8",
        "--max-restarts": "2",
        "--stop-seconds": "120",
        "--nodes": "2",
        "--rendezvous": "10.1.2.3:21234",
        "--run-id": "41234.0",
    }
    assert command[-2:] == ["data_path=/data", "lr=1e-4"]
    cluster.run(replace(JOB, nodes=1), SLURM_RESTART_COUNT="3")
    assert set(options_of(cluster.command())) == {
        "--processes",
        "--max-restarts",
        "--stop-seconds",
    }


def test_settings_given_to_sbatch_come_last(cluster: Cluster) -> None:
    """`sbatch SCRIPT resume=auto max_time=2h` resumes where the script itself would not."""
    job = replace(JOB, settings=(*JOB.settings, "resume=./a"))
    cluster.run(job, "resume=auto", "run_name=a b")
    assert cluster.command()[-3:] == ["resume=./a", "resume=auto", "run_name=a b"]
    assert cluster.again() == "sbatch /jobs/run.sbatch resume=auto run_name=a\\ b"
    _, output = cluster.stopped(job, CODE="75", REQUEUE="1")
    assert "submit it again: sbatch /jobs/run.sbatch resume=auto\n" in output
    assert cluster.again() == "sbatch /jobs/run.sbatch"


@settings(max_examples=15)
@given(st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))))
def test_settings_arrive_as_they_were_given(values: list[str]) -> None:
    text = batch_script(replace(JOB, settings=tuple(f"run_name={value}" for value in values)))
    step = text[text.index("/env/bin/python") : text.index(" &\nstep=")]
    # Splits as the shell does; the variables of the script are left as they are.
    assert [word for word in shlex.split(step) if "=" in word] == [f"run_name={v}" for v in values]


def test_hostile_settings_are_not_run(cluster: Cluster) -> None:
    hostile = ("run_name=$(touch hacked)`touch hacked`", "a=' ; touch hacked #", 'b="\n@NODES@\\')
    code, output = cluster.run(replace(JOB, settings=hostile))
    assert code == 0, output
    assert tuple(cluster.command()[-3:]) == hostile
    assert not (cluster.folder / "hacked").exists()


def test_nothing_of_the_environment_is_written_but_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "geheim")
    assert "geheim" not in batch_script(JOB)


@pytest.mark.parametrize("code", [0, 1, 2, 6, 75, 137])
def test_a_job_that_slurm_did_not_ask_to_stop_is_never_requeued(
    cluster: Cluster, code: int
) -> None:
    got, output = cluster.run(JOB, CODE=str(code))
    assert got == code
    assert f"ended with exit code {code}" in output
    assert cluster.calls() == []


@pytest.mark.parametrize("code", [75, 143])
def test_a_stopped_job_is_requeued_when_it_has_saved(cluster: Cluster, code: int) -> None:
    got, output = cluster.stopped(JOB, CODE=str(code))
    assert got == 0, output
    assert cluster.calls() == ["scancel --signal=TERM 41234.0", "requeue 41234"]
    assert "back in the queue" in output


@pytest.mark.parametrize("code", [0, 1, 2])
def test_a_job_that_ended_before_it_could_stop_is_not_requeued(cluster: Cluster, code: int) -> None:
    got, _ = cluster.stopped(JOB, CODE=str(code))
    assert got == code
    assert cluster.calls() == ["scancel --signal=TERM 41234.0"]


def test_a_requeue_that_is_refused_or_too_many_end_the_job_with_75(cluster: Cluster) -> None:
    code, output = cluster.stopped(JOB, CODE="75", REQUEUE="1")
    assert code == 75
    assert "SLURM does not requeue it: submit it again" in output
    cluster.calls()
    code, output = cluster.stopped(JOB, CODE="75", SLURM_RESTART_COUNT="100")
    assert code == 75
    assert "requeued 100 times already" in output
    assert cluster.calls() == ["scancel --signal=TERM 41234.0"]


# --- the command line -------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


RUN = ["--nodes", "2", "--gpus-per-node", "4", "data_path=data", "global_batch_size=64"]


def test_writes_the_script_and_says_how_to_submit_it(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert slurm.main([*RUN, "run_name=first run"]) == 0
    script = here / "slurm" / "first-run.sbatch"
    text = script.read_text()
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"wrote {script}: 2 x 4 processes, log in {here}/slurm/first-run-%j.log"
    assert out[1] == f"submit with: sbatch {script}"
    assert f"--output={here}/slurm/first-run-%j.log" in directives(text)
    assert "--cpus-per-task=32" in directives(text)
    assert f"\ncd {shlex.quote(str(here))} ||" in text
    assert f"{sys.executable} -u -m hrm_scale.launch --processes 4" in text
    assert "'run_name=first run'" in text
    assert os.access(script, os.X_OK)


def test_a_cluster_without_gpus(here: Path) -> None:
    options = ["--gpus-per-node", "0", "--processes-per-node", "8", "--cpus-per-process", "2"]
    slurm.main(["--nodes", "2", *options, "global_batch_size=64", "--output", "j", "--logs", "l"])
    text = (here / "j").read_text()
    assert "--cpus-per-task=16" in directives(text)
    assert f"--output={here}/l/" in text
    assert (here / "l").is_dir()
    assert "--processes 8 " in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--gpus-per-node", "1"], "required: --nodes"),
        ([*RUN, "--nodes", "0"], "--nodes: '0' is not a whole number of at least 1"),
        ([*RUN, "--time", "2 days"], "'2 days' is not a time as SLURM writes it"),
        ([*RUN, "--tme", "10"], "unrecognized arguments: --tme"),
        ([*RUN, "--partition", "a\nb"], "is not one line of text"),
        ([*RUN, "--processes-per-node", "2"], "one process for each"),
        ([*RUN, "lr=much"], "lr"),
        ([*RUN, "learning_rate=1"], "Did you mean"),
        ([*RUN, "global_batch_size=60"], "a multiple of 8"),
    ],
)
def test_wrong_usage_is_one_line_and_writes_nothing(
    here: Path, arguments: list[str], says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        slurm.main(arguments)
    assert says in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("time", ["90", "90:00", "24:00:00", "2-12", "2-12:30", "2-12:30:00"])
def test_times_of_slurm_are_accepted(here: Path, time: str) -> None:
    assert slurm.main([*RUN, "--time", time, "--output", "j"]) == 0
    assert f"--time={time}" in directives((here / "j").read_text())


def test_submits(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{here}/bin:/usr/bin:/bin")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(EnvironmentProblem, match="no sbatch on the PATH"):
        slurm.main([*RUN, "--submit", "--output", "j"])
    monkeypatch.undo()
    monkeypatch.chdir(here)
    monkeypatch.setenv("PATH", f"{here}/bin:/usr/bin:/bin")
    sbatch = here / "bin" / "sbatch"
    sbatch.write_text('#!/bin/sh\n[ "$1" = --parsable ] && echo "77;lab"\n')
    sbatch.chmod(0o755)
    assert slurm.main([*RUN, "--submit", "--output", "j"]) == 0
    assert re.search(r"^submitted as job 77$", capsys.readouterr().out, re.MULTILINE)
    sbatch.write_text("#!/bin/sh\necho 'invalid partition' >&2; exit 1\n")
    with pytest.raises(EnvironmentProblem, match=r"sbatch refused .*: invalid partition"):
        slurm.main([*RUN, "--submit", "--output", "j"])


@pytest.mark.parametrize(
    ("words", "warns"),
    [
        (["--gpus-per-node", "8", "data_path=nope"], ["--output-dir nope", "tools.plan"]),
        (["--gpus-per-node", "8", "data_path=set"], ["tools.plan"]),
        (["--gpus-per-node", "0", "data_path=s3://bucket/set"], []),
        (["--gpus-per-node", "8", "--vram", "16", "data_path=set"], []),
        (["--gpus-per-node", "1", "--vram", "3", "data_path=set"], ["engine.accumulation=4"]),
        (
            ["--gpus-per-node", "8", "--vram", "3", "arch=hrm_1b", "data_path=set"],
            ["memory: nothing fits"],
        ),
        (
            ["--gpus-per-node", "8", "--vram", "16", "data_path=mix.yaml"],
            ["memory was not planned: nope"],
        ),
    ],
)
def test_missing_data_and_memory_that_was_not_planned_are_warned_of(
    words: list[str],
    warns: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_online(tmp_path / "set", size=9, examples=20)
    (tmp_path / "mix.yaml").write_text("sources: [{path: nope}]")
    assert slurm.main(["--nodes", "1", *words, "experiment=sudoku_extreme_1k"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(warns)
    for line, says in zip(lines, warns, strict=True):
        assert line.startswith("warning: ")
        assert says in line


def test_the_job_knows_the_kinds_of_puzzles_of_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my puzzle.py").write_text("")
    monkeypatch.setenv(PUZZLE_FILES, "")
    words = take_plugins([*RUN, "--puzzle", "my puzzle.py", "--output", "j"])
    assert slurm.main(words) == 0
    (written,) = [line for line in Path("j").read_text().splitlines() if "--puzzle" in line]
    assert shlex.split(written.rstrip("\\")) == [f"--puzzle={tmp_path / 'my puzzle.py'}"]
