"""`python -m tools.checkpoint convert`, as a user meets it: a run goes out and comes back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.tiny.data_sets import columns, puzzles, sudoku_meta
from benchmarks.tiny.runs import call, error_lines, tensors_of, train_here
from hrm_scale import evaluate, predict
from hrm_scale.base.errors import (
    EXIT_CHECKPOINT,
    EXIT_CONFIG,
    CheckpointError,
    ConfigError,
    HrmError,
)
from hrm_scale.checkpoint import read_checkpoint
from hrm_scale.data import DatasetWriter
from hrm_scale.modelling import TABLE
from tools.checkpoint.cli import main

pytestmark = pytest.mark.slow
NAMES = ["<blank>", "a_t0_0213456789", "b", "c"]
TOLD = [
    "arch.num_heads=2",
    "arch.H_cycles=1",
    "arch.halt_max_steps=4",
    "arch.forward_dtype=float32",
]


def write_named(path: Path, names: list[str]) -> Path:
    """4x4 Sudokus whose examples have the identifiers of `names` in turn."""
    inputs, labels = puzzles(4, 32)
    groups = np.arange(32)
    meta = sudoku_meta(4, "dense", 0, num_puzzle_identifiers=len(names), augmentation={})
    rows = columns(inputs, labels, groups)
    rows["puzzle_identifiers"] = (groups % len(names)).astype(np.int32)
    with DatasetWriter(path, meta) as writer:
        writer.write_split("train", [rows])
        writer.write_split("test", [rows])
        writer.write_identifiers(names)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_named(tmp_path_factory.mktemp("interchange") / "data", NAMES)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with averaged weights, which differ from the raw ones."""
    folder = tmp_path_factory.mktemp("interchange") / "run"
    train_here(data, folder, max_steps=6, ema="true", lr_warmup_steps=0)
    return folder


@pytest.fixture(scope="module")
def published(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a published file, its configuration taken away."""
    folder = tmp_path_factory.mktemp("interchange") / "published"
    convert(run, "published", folder, "--orig-mod")
    (folder / "all_config.yaml").unlink()
    (folder / "identifiers.json").write_text(json.dumps(NAMES))
    return folder / "step_6"


def convert(source: Path, target: str, output: Path, *more: str) -> Path:
    assert main(["convert", str(source), "--to", target, "--output", str(output), *more]) == 0
    return output


def results(run: Path, data: Path, output: Path) -> dict[str, float]:
    evaluate.main([f"checkpoint={run}", f"data_path={data}", f"output_dir={output}"])
    found: dict[str, float] = json.loads((output / "results.json").read_text())["results"]
    return found


def test_an_imported_run_scores_and_predicts_as_the_trained_one(
    data: Path, run: Path, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = convert(published, "hrm_scale", tmp_path / "run", "--data-path", str(data), *TOLD)
    text = capsys.readouterr().out
    assert "arch.num_heads" in text
    assert "command line" in text
    assert results(again, data, tmp_path / "a") == results(run, data, tmp_path / "b")
    said = []
    for checkpoint in (run, again):
        capsys.readouterr()
        predict.main([f"checkpoint={checkpoint}", "puzzle=1...3...........", "color=never"])
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert main(["info", str(again)]) == 0
    assert "init_from=" in capsys.readouterr().out


def test_a_run_starts_from_what_was_imported(
    data: Path, run: Path, published: Path, tmp_path: Path
) -> None:
    start = convert(published, "hrm_scale", tmp_path / "run", "--data-path", str(data), *TOLD)
    seen: dict[str, torch.Tensor] = {}

    def look(trainer: object) -> None:
        seen.update({n: t.clone() for n, t in trainer.parts.model.state_dict().items()})  # type: ignore[attr-defined]
        seen[TABLE] = trainer.parts.table.owned_rows().clone()  # type: ignore[attr-defined]

    train_here(data, tmp_path / "new", look, max_steps=1, init_from=start)
    there = tensors_of(run)
    for name in seen.keys() - {TABLE}:
        part = "ema" if f"ema/{name}" in there else "model"
        assert torch.equal(seen[name], there[f"{part}/{name}"]), name
    assert torch.equal(seen[TABLE], there[f"puzzle_table/{TABLE}"])


def table_of(run: Path) -> torch.Tensor:
    return tensors_of(run)[f"puzzle_table/{TABLE}"]


def test_rows_for_other_puzzles(published: Path, run: Path, tmp_path: Path) -> None:
    other = write_named(tmp_path / "other", ["<blank>", "c", "a|||t0|||0213456789", "x", "y"])
    told = ["--data-path", str(other), *TOLD]
    with pytest.raises(CheckpointError, match=r"4 rows.*5 identifiers.*remap.*extend.*drop"):
        convert(published, "hrm_scale", tmp_path / "keep", *told)
    assert not (tmp_path / "keep").exists()
    before = table_of(run)
    zero = torch.zeros_like(before[0])
    ways = {
        "remap": [before[0], before[3], before[1], zero, zero],
        "extend": [*before, zero],
        "drop": [before[0]],
    }
    for how, expected in ways.items():
        made = convert(published, "hrm_scale", tmp_path / how, "--identifiers", how, *told)
        assert torch.equal(table_of(made), torch.stack(expected)), how
        facts = read_checkpoint(made).state["dataset"]
        assert facts["num_puzzle_identifiers"] == len(expected)
    results(tmp_path / "remap", other, tmp_path / "scores")
    with pytest.raises(ConfigError, match="--data-path"):
        convert(
            published, "hrm_scale", tmp_path / "x", "--identifiers", "extend", "--seq-len", "16"
        )


def test_both_kinds_of_weights(run: Path, tmp_path: Path) -> None:
    there = tensors_of(run)
    for kind, part in (("averaged", "ema"), ("raw", "model"), ("auto", "ema")):
        made = convert(run, "hrm_scale", tmp_path / kind, "--weights", kind)
        name = "inner.lm_head.weight"
        assert torch.equal(tensors_of(made)[f"model/{name}"], there[f"{part}/{name}"])


def test_the_hub_folder_carries_its_results(run: Path, data: Path, tmp_path: Path) -> None:
    results(run, data, tmp_path / "scores")
    file = str(tmp_path / "scores" / "results.json")
    hub = convert(run, "safetensors", tmp_path / "hub", "--results", file)
    assert "`exact_accuracy`" in (hub / "README.md").read_text()
    back = convert(hub, "hrm_scale", tmp_path / "back", "--data-path", str(data))
    assert results(back, data, tmp_path / "again") == results(run, data, tmp_path / "b")


def test_mistakes_are_one_line(published: Path, run: Path, tmp_path: Path) -> None:
    output = ["--to", "hrm_scale", "--output", tmp_path / "out"]
    cases = [
        ([published, *output, "--seq-len", 0], EXIT_CONFIG, "whole number"),
        ([published, *output, "--sqe-len", 3], EXIT_CONFIG, "Did you mean '--seq-len'"),
        ([published, *output, "--seq-len", 16, "arch.heads=2"], EXIT_CONFIG, "arch.num_heads"),
        ([published.parent, *output], EXIT_CONFIG, "step_6"),
        ([run, *output, "arch.num_heads=2"], EXIT_CONFIG, "says itself"),
        ([tmp_path / "none", *output], EXIT_CHECKPOINT, "does not exist"),
        ([run, "--to", "gguf", "--output", tmp_path / "out"], EXIT_CONFIG, "torch-export"),
    ]
    for arguments, code, message in cases:
        with pytest.raises(HrmError) as told:
            main(["convert", *map(str, arguments)])
        assert told.value.exit_code == code
        assert message in str(told.value)
        assert len(str(told.value).splitlines()) == 1
        assert not (tmp_path / "out").exists()
    done = call("tools.checkpoint", "convert", *cases[0][0])
    assert done.returncode == cases[0][1], done.stderr
    assert len(error_lines(done.stderr)) == len(done.stderr.splitlines()) == 1, done.stderr
