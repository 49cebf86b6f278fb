"""Every shipped DeepSpeed configuration starts a training run for real, scaled down to this CPU."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.ranks import LAUNCHER_VARIABLES, free_port, run_ranks
from benchmarks.tiny.runs import ROOT, arguments, call, metrics_of

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


SETTINGS: dict[str, Any] = {
    "max_steps": 2,
    "log__every": 1,
    "arch__forward_dtype": "bfloat16",
    "engine__accumulation": 2,
    "log__console": "line",
}


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


def launch_line(name: str, processes: int) -> list[str]:
    """What a user types after `accelerate launch`, scaled down."""
    place = {"num_machines": 1, "num_processes": processes, "main_process_port": free_port()}
    options = [word for key, value in place.items() for word in (f"--{key}", str(value))]
    return ["--config_file", f"ds_configs/{name}.yaml", *options, "-m", "hrm_scale.train"]


def assert_trained(name: str, processes: int, run: Path) -> None:
    settings = json.loads((FOLDER / f"{name}.json").read_text())
    stage = settings["zero_optimization"]["stage"]
    said = (run / "log.txt").read_text()
    assert f"over {processes} processes, ZeRO stage {stage}, bf16" in said
    assert [line["step"] for line in metrics_of(run)][:2] == [1, 2]


@pytest.mark.slow
@pytest.mark.multi
@pytest.mark.parametrize(("name", "processes"), [("cpu_2proc", 2), ("laptop_16gb", 1)])
def test_accelerate_launch_starts_it(name: str, processes: int, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = arguments(data, run, **SETTINGS)
    launcher = launch_line(name, processes)
    done = call("accelerate.commands.launch", *launcher, *settings, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_trained(name, processes, run)


@pytest.mark.slow
@pytest.mark.multi
@pytest.mark.parametrize("name", NAMES)
def test_it_trains(name: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all that `accelerate launch` tells its processes, in some that start at once."""
    from accelerate.commands import launch
    from accelerate.utils.launch import prepare_deepspeed_cmd_env

    variables: dict[str, str] = {}
    monkeypatch.setattr(
        launch,
        "deepspeed_launcher",
        lambda line: variables.update(prepare_deepspeed_cmd_env(line)[1]),
    )
    monkeypatch.chdir(ROOT)
    run = tmp_path / "run"
    processes = min(yaml.safe_load((FOLDER / f"{name}.yaml").read_text())["num_processes"], 2)
    line = launch_line(name, processes)
    launch.launch_command(launch.launch_command_parser().parse_args(line))

    def work() -> None:
        from hrm_scale import train
        from hrm_scale.config.compose import compose

        os.environ.update({**variables, **{name: os.environ[name] for name in LAUNCHER_VARIABLES}})
        train.run(compose(arguments(data, run, **SETTINGS)))

    run_ranks(processes, work)
    assert_trained(name, processes, run)
