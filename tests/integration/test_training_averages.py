"""A run that averages its weights: what it saves, goes on from, evaluates and hands out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.runs import assert_same_bits, metrics_of, tensors_of, train_here
from hrm_scale.base.errors import CheckpointError
from hrm_scale.checkpoint import read_checkpoint
from hrm_scale.evaluate import main as evaluate
from hrm_scale.evaluation.restore import restore
from tests.checkpoint.test_hostile import rehash

AVERAGED: dict[str, Any] = {"ema": "true", "ema_rate": 0.8}
LOUD: dict[str, Any] = {"log__console": "line"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_online(tmp_path_factory.mktemp("averages") / "data", examples=60)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """9 steps, evaluated at the 4th, 8th and 9th."""
    run = tmp_path_factory.mktemp("averages") / "run"
    train_here(data, run, max_steps=9, log__every=1, evaluation__every_steps=4, **AVERAGED)
    return run


def part(run: Path, name: str) -> dict[str, torch.Tensor]:
    return dict(read_checkpoint(run).part(name).items())


def test_training_is_the_same_and_the_averages_are_a_file_of_weights(
    data: Path, run: Path, tmp_path: Path
) -> None:
    train_here(data, tmp_path / "plain", max_steps=9, log__every=1)
    ours, plain = tensors_of(run), tensors_of(tmp_path / "plain")
    averages = {name: value for name, value in ours.items() if name.startswith("ema/")}
    assert_same_bits({n: v for n, v in ours.items() if n not in averages}, plain)
    model = restore(run, device=torch.device("cpu")).model
    assert {name.removeprefix("ema/") for name in averages} == dict(model.named_parameters()).keys()
    assert any(not torch.equal(v, ours[f"model/{n[4:]}"]) for n, v in averages.items())
    # The table is not averaged: it is there once.
    assert sum("puzzle" in name for name in ours if "carry" not in name) == 1


def test_it_goes_on_bit_for_bit_and_evaluation_changes_nothing(
    data: Path, run: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    train_here(data, other, max_steps=5, log__every=1, **AVERAGED)
    train_here(data, other, max_steps=9, log__every=1, **AVERAGED)
    # The learning rate's course has another end at 5 steps, but it is constant.
    assert_same_bits(tensors_of(run), tensors_of(other))


def test_both_are_evaluated_and_the_average_is_what_counts(run: Path, tmp_path: Path) -> None:
    lines = [line for line in metrics_of(run) if "eval/count" in line]
    assert [line["step"] for line in lines] == [4, 8, 9]
    names = ("exact_accuracy", "accuracy", "lm_loss")
    assert all(f"eval/raw/{name}" in line for line in lines for name in names)
    assert sum(name.startswith("eval/raw/") for name in lines[0]) == len(names)
    for asked, prefix in (("auto", ""), ("averaged", ""), ("raw", "raw/")):
        out = tmp_path / asked
        evaluate([f"checkpoint={run}", f"output_dir={out}", f"weights={asked}", "batch_size=8"])
        document = json.loads((out / "results.json").read_text())
        assert document["weights"] == ("raw" if prefix else "averaged")
        for name in names:
            assert document["results"][name] == pytest.approx(lines[-1][f"eval/{prefix}{name}"])
    assert lines[-1]["eval/lm_loss"] != lines[-1]["eval/raw/lm_loss"]


def test_a_run_without_averages_starts_one_at_its_weights_and_may_drop_it(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    train_here(data, run, max_steps=3)
    start = part(run, "model")
    train_here(data, run, max_steps=4, **LOUD, **AVERAGED)
    end, averages = part(run, "model"), part(run, "ema")
    for name, value in averages.items():
        expected = 0.8 * start[name] + (1 - 0.8) * end[name]
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-6)
    said = capfd.readouterr()
    assert "no averaged weights: the average starts at its weights" in said.out + said.err
    train_here(data, run, max_steps=5, **LOUD)
    assert "ema" not in read_checkpoint(run).parts
    said = capfd.readouterr()
    assert "are not kept on: ema=false" in said.out + said.err


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_other_optimizers_go_on_bit_for_bit(data: Path, optimizer: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"optimizer": optimizer, **AVERAGED}
    train_here(data, tmp_path / "whole", max_steps=6, **settings)
    train_here(data, tmp_path / "broken", max_steps=3, **settings)
    train_here(data, tmp_path / "broken", max_steps=6, **settings)
    assert_same_bits(tensors_of(tmp_path / "whole"), tensors_of(tmp_path / "broken"))
    if optimizer == "muon":
        with pytest.raises(CheckpointError, match=r"state of muon: type optimizer=muon"):
            train_here(data, tmp_path / "broken", max_steps=7)


def test_muon_does_not_go_on_from_another(data: Path, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"another optimizer than muon: type optimizer=adam"):
        train_here(data, tmp_path / "run", max_steps=10, optimizer="muon")


@pytest.mark.parametrize("fault", ["missing", "shape", "unknown"])
def test_averages_of_another_model_are_refused(
    data: Path, run: Path, fault: str, tmp_path: Path
) -> None:
    broken = tmp_path / "run"
    shutil.copytree(run, broken)
    file = sorted((broken / "checkpoints").glob("step-*/ema.safetensors"))[-1]
    tensors = load_file(file)
    name = next(iter(tensors))
    if fault == "shape":
        tensors[name] = torch.zeros(3)
    elif fault == "unknown":
        tensors["more"] = torch.zeros(3)
    else:
        del tensors[name]
    save_file(tensors, file)
    rehash(file.parent)
    with pytest.raises(CheckpointError, match=r"ema\.safetensors"):
        train_here(data, broken, max_steps=10, **AVERAGED)
    with pytest.raises(CheckpointError, match=r"ema\.safetensors"):
        restore(broken, device=torch.device("cpu"))


def test_averages_that_are_not_there_are_named(data: Path, tmp_path: Path) -> None:
    train_here(data, tmp_path / "run", max_steps=1, evaluation__full_at_end="false")
    with pytest.raises(CheckpointError, match=r"no averaged weights .*: type weights=raw"):
        evaluate([f"checkpoint={tmp_path / 'run'}", "weights=averaged"])
