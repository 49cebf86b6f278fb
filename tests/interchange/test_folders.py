"""Folders that convert makes: whole or not there, read back bit for bit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import ModelCard

from hrm_scale.base.errors import CheckpointError, ConfigError
from hrm_scale.evaluation.restore import restore
from hrm_scale.interchange.hub import read_hub_folder, write_hub_folder
from hrm_scale.interchange.model_card import write_card
from hrm_scale.interchange.output import new_folder
from hrm_scale.interchange.sources import ImportOptions, read_source
from hrm_scale.interchange.targets import write_checkpoint
from tests.support.disk_calls import record_disk_calls
from tests.support.interchange_files import assert_equal_models, tiny_portable


def write(path: Path, name: str, overwrite: bool = False) -> None:
    with new_folder(path, overwrite=overwrite) as folder:
        (folder / name).write_text("new")


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    target = tmp_path / "a" / "out"
    write(target, "config.json")
    with pytest.raises(ConfigError, match=r"exists.*--overwrite"):
        write(target, "README.md")
    write(target, "README.md", overwrite=True)
    assert [path.name for path in target.iterdir()] == ["README.md"]
    assert [path.name for path in target.parent.iterdir()] == ["out"]


def test_all_of_a_folder_is_durable_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        calls = record_disk_calls(patch, tmp_path)
        with new_folder(tmp_path / "out", overwrite=False) as folder:
            (folder / "checkpoints").mkdir()
            (folder / "checkpoints" / "model.safetensors").touch()
            (folder / "README.md").touch()
    name = folder.name
    inside = {"", "/README.md", "/checkpoints", "/checkpoints/model.safetensors"}
    assert set(calls[:-2]) == {("fsync", name + path) for path in inside}
    assert calls[-2:] == [("rename", name, "out"), ("fsync", ".")]


@pytest.mark.parametrize("foreign", ["thesis.tex", "checkpoints/step-00000004"])
def test_other_peoples_files_are_never_replaced(tmp_path: Path, foreign: str) -> None:
    (tmp_path / "out" / foreign).mkdir(parents=True)
    with pytest.raises(ConfigError, match="not written by convert"):
        write(tmp_path / "out", "README.md", overwrite=True)
    assert (tmp_path / "out" / foreign).exists()


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    write(tmp_path / "out", "README.md")
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "out", "no folder/config.json", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["README.md"]


@pytest.mark.parametrize("ndim", [0, 16])
def test_checkpoint_is_restored_as_any_other(tmp_path: Path, ndim: int) -> None:
    model = tiny_portable("trm_mlp", arch__puzzle_emb_ndim=ndim, arch__puzzle_emb_len=0)
    write_checkpoint(tmp_path, model, tmp_path)
    restored = restore(tmp_path, device=torch.device("cpu"))
    assert restored.checkpoint.step == 12
    for name, tensor in restored.model.state_dict().items():
        assert torch.equal(tensor, model.tensors[name]), name
    assert (restored.table is None) == (ndim == 0)
    found, _ = read_source(tmp_path, ImportOptions())
    assert_equal_models(found, model)


def test_hub_folder_is_read_back(tmp_path: Path) -> None:
    model = tiny_portable("urm", data_path="/somebody/secret/data", ema="true")
    write_hub_folder(tmp_path, model, "mine", None)
    found, _ = read_source(tmp_path, ImportOptions())
    assert_equal_models(found, model)
    assert found.run.ema
    assert found.meta.board == model.meta.board
    text = "".join(p.read_text(errors="replace") for p in tmp_path.iterdir())
    assert "secret" not in text


def test_the_card(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    content: dict[str, Any] = {
        "step": 12,
        "weights": "raw",
        "data": {"path": "/somebody/data", "fingerprint": "f00", "split": "test"},
        "limit": 500,
        "results": {"exact_accuracy": 0.875, "by_rating": {"1": 1.0}},
    }
    results.write_text(json.dumps(content))
    (tmp_path / "hub").mkdir()
    write_hub_folder(tmp_path / "hub", tiny_portable("trm"), "mine", results)
    card = (tmp_path / "hub" / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert front["library_name"] == "hrm_scale"
    assert front["license"] == "FILL-IN"
    assert {"trm", "sudoku"} <= set(front["tags"])
    assert "| `exact_accuracy` | 0.875 |" in card
    assert "500 puzzles" in card
    assert "/somebody" not in card
    for change, message in ((("step", 3), "of step 3"), (("results", 1), "no results.json")):
        results.write_text(json.dumps({**content, change[0]: change[1]}))
        with pytest.raises(ConfigError, match=message):
            write_card(tmp_path / "README.md", tiny_portable("trm"), "mine", results)


@pytest.mark.parametrize("kind", ["no", "a: b"])
def test_card_keeps_names_that_mean_something_in_yaml(tmp_path: Path, kind: str) -> None:
    model = tiny_portable("trm")
    model = replace(model, meta=replace(model.meta, kind=kind))
    write_card(tmp_path / "README.md", model, "mine", None)
    front = ModelCard.load(tmp_path / "README.md").data
    assert front.tags == ["hrm_scale", "trm", kind, "recursive-reasoning"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema 2"),
        ({"format": "other"}, "not made by"),
        ({"step": "x"}, "step"),
        ({"dataset": {"kind": "sudoku"}}, "is missing"),
        ({"arch": []}, "no objects"),
        ({"arch": {"name": "trm", "hidden_size": 64}}, "network of arch.name=trm"),
    ],
)
def test_damaged_hub_folders_are_one_line(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    write_hub_folder(tmp_path, tiny_portable("trm"), "mine", None)
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises((CheckpointError, ConfigError), match=message) as caught:
        read_hub_folder(tmp_path)
    assert len(str(caught.value).splitlines()) == 1
