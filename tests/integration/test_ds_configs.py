"""Every shipped DeepSpeed configuration starts a training run for real, scaled down to this CPU."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.ranks import free_port
from tests.runs import ROOT, arguments, call, metrics_of
from tests.unit.data_sets import write_online

FOLDER = ROOT / "ds_configs"
NAMES = (
    "cpu_2proc",
    "h100_8x",
    "h100_multinode",
    "laptop_16gb",
    "single_80gb",
    "zero2_offload",
    "zero3_large",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_online(tmp_path_factory.mktemp("ds") / "data", examples=40)


def test_these_are_all_of_them() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.yaml")) == sorted(NAMES)
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_says_when_and_when_not_and_what_was_tested(name: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text()
    for word in ("When:", "When not:", "Tested:", "accelerate launch --config_file"):
        assert f"# {word}" in text
    for path in re.findall(r"[\w/]+\.(?:md|py)", text):
        assert (ROOT / path).exists(), path


@pytest.mark.slow
@pytest.mark.multi
@pytest.mark.parametrize("name", NAMES)
def test_it_trains(name: str, data: Path, tmp_path: Path) -> None:
    launch = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    settings = json.loads((FOLDER / f"{name}.json").read_text())
    processes = min(launch["num_processes"], 2)
    run = tmp_path / "run"
    done = call(
        "accelerate.commands.launch",
        *("--config_file", f"ds_configs/{name}.yaml", "--num_machines", 1),
        *("--num_processes", processes, "--main_process_port", free_port()),
        *("-m", "hrm_scale.train"),
        *arguments(data, run, max_steps=2, log__every=1, arch__forward_dtype="bfloat16"),
        *("engine.accumulation=2", "log.console=line"),
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        f"over {processes} processes, ZeRO stage {settings['zero_optimization']['stage']}, bf16"
        in (done.stdout)
    )
    assert [line["step"] for line in metrics_of(run)][:2] == [1, 2]
