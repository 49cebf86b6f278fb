"""Planned against measured memory under a cap of 16 GB, on a CUDA device."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from hrm_scale.config.compose import compose
from hrm_scale.planning.choose import choose
from hrm_scale.planning.hardware import GIB, choose_machine
from hrm_scale.planning.job import Job, Setting, make_job, predicted_peak
from hrm_scale.planning.measure import measured_peak

pytestmark = pytest.mark.gpu

CAP = 16 * GIB


@pytest.fixture(autouse=True)
def cap() -> Iterator[None]:
    """torch may have 16 GB of this GPU, as on a laptop."""
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, CAP / total))
    yield
    torch.compiler.reset()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1.0)


def job_of(*settings: str) -> Job:
    return make_job(compose(list(settings)).run, choose_machine("laptop_16gb"))


def compare(job: Job, setting: Setting) -> None:
    predicted, measured = predicted_peak(job, setting), measured_peak(job, setting)
    print(f"{setting}: predicted {predicted / GIB:.3f} GiB, measured {measured / GIB:.3f} GiB")
    assert predicted == pytest.approx(measured, rel=0.1)


@pytest.mark.parametrize("experiment", ["sudoku_laptop_16gb", "maze_30x30_hard", "arc1"])
@pytest.mark.parametrize("compiled", [False, True])
def test_the_chosen_plan_fits_and_is_right(experiment: str, compiled: bool) -> None:
    job = job_of(f"experiment={experiment}", f"engine.compile={str(compiled).lower()}")
    compare(job, choose(job).setting)


@pytest.mark.parametrize(
    ("experiment", "setting"),
    [
        ("sudoku_laptop_16gb", Setting(1, False, "device")),
        ("sudoku_laptop_16gb", Setting(1, True, "device")),
        ("arc1", Setting(24, False, "host")),
        ("arc1", Setting(4, True, "device")),
    ],
)
def test_other_settings_are_right_too(experiment: str, setting: Setting) -> None:
    compare(job_of(f"experiment={experiment}"), setting)
