"""Files of the published code: what is read of them, what is refused, what is written."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from hrm_scale.base.errors import CheckpointError, ConfigError
from hrm_scale.checkpoint import write_tensors
from hrm_scale.config.compose import compose
from hrm_scale.interchange.published_file import plain_name, read_state_dict
from hrm_scale.interchange.settings import read_published_config
from hrm_scale.interchange.sources import ImportOptions, read_source
from hrm_scale.interchange.targets import published_config, write_published
from tests.support.interchange_files import assert_equal_models, save_published, tiny_portable

TOLD = ("arch.num_heads=2", "arch.halt_max_steps=3", "arch.forward_dtype=float32")


class Bomb:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("the pickle was loaded",))


@pytest.mark.parametrize("prefix", ["", "model.", "_orig_mod.model.", "module._orig_mod.model."])
def test_wrappers_are_taken_off(prefix: str) -> None:
    assert plain_name(f"{prefix}inner.H_init") == "inner.H_init"


@pytest.mark.parametrize("content", [Bomb(), {"model.inner.x": Bomb()}, {"model": Bomb()}])
def test_a_file_that_would_run_code_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "step_1")
    with pytest.raises(CheckpointError, match="could run code") as caught:
        read_state_dict(tmp_path / "step_1")
    assert len(str(caught.value).splitlines()) == 1
    (tmp_path / "raw").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError) as caught:
        read_state_dict(tmp_path / "raw")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04", b"\x80\x02"])
def test_what_is_no_such_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "step_1").write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_state_dict(tmp_path / "step_1")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(2)], "holds a list"),
        ({"a": 3}, "'a' is a int"),
        ({"model.a": torch.zeros(2), "a": torch.zeros(2)}, "two tensors"),
        ({"a": torch.zeros(2, dtype=torch.int8)}, "no plain tensor"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "x")
    with pytest.raises(CheckpointError, match=message):
        read_state_dict(tmp_path / "x")


def test_step_averages_and_optimizers_of_later_files(tmp_path: Path) -> None:
    model = tiny_portable("trm")
    weights = {f"_orig_mod.model.{name}": t for name, t in model.tensors.items()}
    content = {
        "model": weights,
        "optimizers": [{"state": {0: {"step": 3, "exp_avg": torch.zeros(3)}}, "param_groups": []}],
        "step": 77,
        "ema_helper": {"_orig_mod.model.inner.lm_head.weight": torch.ones(6, 32)},
    }
    torch.save(content, tmp_path / "step_9")
    asked = [*TOLD, "arch.puzzle_emb_ndim=0"]
    found, _ = read_source(tmp_path / "step_9", ImportOptions(asked, seq_len=16))
    assert (found.step, found.weights, found.table) == (77, "averaged", None)
    assert torch.equal(found.tensors["inner.lm_head.weight"], torch.ones(6, 32))
    raw, _ = read_source(tmp_path / "step_9", ImportOptions(asked, seq_len=16, weights="raw"))
    assert torch.equal(raw.tensors["inner.lm_head.weight"], model.tensors["inner.lm_head.weight"])


def test_safetensors_are_read_too(tmp_path: Path) -> None:
    model = tiny_portable("hrm_v1", arch__puzzle_emb_ndim=0)
    write_tensors(tmp_path / "w.safetensors", {f"model.{n}": t for n, t in model.tensors.items()})
    found, _ = read_source(tmp_path / "w.safetensors", ImportOptions(TOLD, seq_len=16))
    assert {n: t.shape for n, t in found.tensors.items()} == {
        n: t.shape for n, t in model.tensors.items()
    }


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("hrm_v1", {}),
        ("trm", {"arch__puzzle_emb_len": 3}),
        ("trm_mlp", {"arch__puzzle_emb_len": 3, "arch__L_cycles": 2}),
        ("hrm_v2_params_matched", {"arch__H_layers": 2, "arch__num_heads": 3}),
        ("urm", {"arch__rope_theta": 500.0}),
        ("hrm_v1", {"arch__puzzle_emb_ndim": 0, "arch__pos_encodings": "learned"}),
        ("trm", {"arch__q_continue": "bootstrap", "arch__puzzle_emb_len": 1}),
    ],
)
@pytest.mark.parametrize("compiled", [False, True])
def test_there_and_back(
    tmp_path: Path, preset: str, changes: dict[str, Any], compiled: bool
) -> None:
    """With the all_config.yaml that was written nothing needs to be told but the length."""
    model = tiny_portable(preset, **changes)
    name = write_published(tmp_path, model, compiled=compiled)
    assert name == "step_12"
    keys = torch.load(tmp_path / name, weights_only=True)
    assert all(key.startswith("_orig_mod.model." if compiled else "model.inner.") for key in keys)
    found, _ = read_source(tmp_path / name, ImportOptions(seq_len=16))
    assert found.run.arch == model.run.arch
    assert_equal_models(found, model)


def test_start_states_are_written_in_the_type_of_the_forward_pass(tmp_path: Path) -> None:
    model = tiny_portable("hrm_v1", arch__forward_dtype="bfloat16")
    saved = torch.load(tmp_path / write_published(tmp_path, model, compiled=False))
    assert saved["model.inner.H_init"].dtype == torch.bfloat16
    assert saved["model.inner.lm_head.weight"].dtype == torch.float32


@pytest.mark.parametrize(
    "setting", ["arch.relaxation=0.5", "arch.random_init=true", "arch.puzzle_emb_len=3"]
)
def test_what_the_published_code_cannot_do_is_not_written(setting: str) -> None:
    with pytest.raises(ConfigError, match=r"not in the published code.*--to safetensors"):
        published_config(compose(["arch=hrm_v1", setting]).run)


def test_published_config_has_what_its_reader_requires() -> None:
    required = {"arch", "global_batch_size", "epochs", "lr", "lr_min_ratio", "lr_warmup_steps"}
    required |= {"weight_decay", "beta1", "beta2", "puzzle_emb_lr", "puzzle_emb_weight_decay"}
    config = published_config(compose(["epochs=null", "max_steps=5"]).run)
    assert required | {"data_path"} <= set(config)
    assert isinstance(config["epochs"], int)
    assert config["arch"]["name"] == "hrm.hrm_act_v1@HierarchicalReasoningModel_ACTV1"
    trm = published_config(compose(["arch=trm"]).run)
    assert trm["data_paths"] == [compose([]).run.data_path]
    assert trm["arch"]["no_ACT_continue"] is True


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x [1]\nb: *x\n", "aliases"),
        ("arch: 3", "no arch"),
        ("arch: [", "not valid YAML"),
        ("!!python/object/apply:os.getcwd []", "not valid YAML"),
    ],
)
def test_bad_configurations_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "all_config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_published_config(tmp_path / "all_config.yaml")
    assert len(str(caught.value).splitlines()) == 1


def test_addresses_in_a_configuration_are_not_followed(tmp_path: Path) -> None:
    for path, kept in (("data/arc", True), ("https://elsewhere/data", False)):
        content = {"arch": {"name": "x"}, "data_path": path}
        (tmp_path / "c.yaml").write_text(yaml.safe_dump(content))
        assert ("data_path" in read_published_config(tmp_path / "c.yaml")) == kept


def test_contradictions_are_named(tmp_path: Path) -> None:
    file = save_published(tmp_path / "step_1", tiny_portable("hrm_v1"))
    with pytest.raises(CheckpointError, match=r"inner\.H_init.* is 32, .* 64: .*arch\.KEY=VALUE"):
        read_source(file, ImportOptions([*TOLD, "arch.hidden_size=64"], seq_len=16))
    with pytest.raises(ConfigError, match=r"unknown key 'arch\.heads'"):
        read_source(file, ImportOptions(["arch.heads=2"], seq_len=16))
    with pytest.raises(ConfigError, match="not a preset"):
        read_source(file, ImportOptions(["arch=nothing"], seq_len=16))
    with pytest.raises(CheckpointError, match=r"has 16 numbers a row.*ndim is 32"):
        read_source(file, ImportOptions([*TOLD, "arch.puzzle_emb_ndim=32"], seq_len=16))
    (tmp_path / "all_config.yaml").write_text("arch: {name: trm, extra: 3}")
    with pytest.raises(ConfigError, match=r"arch\.extra.*all_config\.yaml"):
        read_source(file, ImportOptions(TOLD, seq_len=16))
