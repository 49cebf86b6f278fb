"""The batch script that `./launch.sh slurm` writes, on a real SLURM of two virtual nodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.runs import (
    arguments,
    assert_same_bits,
    call,
    environment,
    saved_steps,
    tensors_of,
)
from tests.support.slurm_lab import Slurm, running_slurm, why_not

STEPS = 200
SETTINGS: dict[str, Any] = {
    "max_steps": STEPS,
    "checkpoint__every_steps": 10,
    "evaluation__full_at_end": "false",
    "evaluation__limit": 10,
    "log__console": "line",
}
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")

pytestmark = [pytest.mark.slow, pytest.mark.multi]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    if reason := why_not():
        pytest.skip(reason)
    with running_slurm(tmp_path_factory.mktemp("slurm")) as cluster:
        # As sbatch passes on the environment it is called with.
        cluster.env.update(environment(), SLURM_CONF=cluster.env["SLURM_CONF"])
        yield cluster


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_online(tmp_path_factory.mktemp("slurm-data") / "data", examples=100)


def submit(slurm: Slurm, folder: Path, *settings: str) -> tuple[str, Path]:
    """Write a script for two nodes of one process, hand it in; the job and its log."""
    script = folder / "a job.sbatch"
    options = ["--nodes", "2", "--gpus-per-node", "0", "--time", "10:00", "--job-name", "job"]
    done = call("tools.slurm", *options, "--output", script, *settings)
    assert done.returncode == 0, done.stderr
    job = slurm.run("sbatch", "--parsable", str(script)).strip()
    return job, folder / f"job-{job}.log"


def wait_for_step(slurm: Slurm, job: str, run: Path, step: int) -> None:
    def there() -> bool:
        assert slurm.field(job, "JobState") not in ENDED, slurm.logs()
        return any(saved >= step for saved in saved_steps(run))

    slurm.wait_until(there, seconds=120)


def test_preempted_job_saves_goes_back_into_the_queue_and_ends_the_same(
    slurm: Slurm, data: Path, tmp_path: Path
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    job, log = submit(slurm, tmp_path, *arguments(data, stopped, **SETTINGS))
    wait_for_step(slurm, job, stopped, 10)
    slurm.run("scancel", "--signal=TERM", "--batch", job)
    slurm.wait_for(job, "Restarts", ("1",), seconds=120)
    held = saved_steps(stopped)[-1]
    assert 10 <= held < STEPS, log.read_text()
    assert slurm.wait_for(job, "JobState", ENDED, seconds=180) == "COMPLETED", log.read_text()

    text = log.read_text()
    assert f"job {job}: start number 1 on n[1-2]" in text
    assert f"job {job}: saved, back in the queue" in text
    assert f"job {job}: start number 2 on n[1-2]" in text
    assert f"resumed at step {held}" in text
    assert "Traceback" not in text
    assert slurm.field(job, "Restarts") == "1"
    assert saved_steps(stopped)[-1] == STEPS

    settings = arguments(data, whole, **SETTINGS)
    done = call("hrm_scale.launch", "--processes", 2, *settings)
    assert done.returncode == 0, done.stderr
    assert_same_bits(tensors_of(whole), tensors_of(stopped))


def test_a_job_that_cannot_go_on_fails_and_is_not_requeued(
    slurm: Slurm, data: Path, tmp_path: Path
) -> None:
    """Data that are not there when the job starts: exit code 3 of the run is that of the job."""
    job, log = submit(slurm, tmp_path, *arguments(tmp_path / "gone", tmp_path / "run", **SETTINGS))
    assert slurm.wait_for(job, "JobState", ENDED, seconds=120) == "FAILED", log.read_text()
    assert slurm.field(job, "ExitCode") == "3:0"
    assert slurm.field(job, "Restarts") == "0"
    text = log.read_text()
    assert text.count("error:") == 1 + text.count("srun: error:"), text
    assert "Traceback" not in text


def test_a_stop_that_slurm_did_not_ask_for_is_not_requeued(
    slurm: Slurm, data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    job, log = submit(slurm, tmp_path, *arguments(data, run, **{**SETTINGS, "max_steps": 2000}))
    wait_for_step(slurm, job, run, 10)
    (run / "STOP").touch()
    assert slurm.wait_for(job, "JobState", ENDED, seconds=120) == "FAILED", log.read_text()
    assert slurm.field(job, "ExitCode") == "75:0"
    assert slurm.field(job, "Restarts") == "0"
    assert "file STOP in the run folder" in log.read_text()
