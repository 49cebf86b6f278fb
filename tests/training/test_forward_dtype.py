"""The forward dtype: chosen by the hardware, recorded in the run, kept by a resume."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.runs import assert_same_bits, tensors_of, train_here
from hrm_scale.base import machine
from hrm_scale.base.errors import ConfigError
from hrm_scale.checkpoint import CheckpointManager, read_checkpoint
from hrm_scale.config.compose import compose
from hrm_scale.config.origins import PRESETS
from hrm_scale.engine import PlainEngine
from hrm_scale.evaluation.restore import restore
from hrm_scale.modelling import choose_dtype
from hrm_scale.training.trainer import Trainer

CPU = torch.device("cpu")
WITH, WITHOUT = {"avx512f", "avx512_bf16"}, {"avx512f"}


def on_machine(monkeypatch: pytest.MonkeyPatch, flags: set[str]) -> None:
    monkeypatch.setattr(machine, "cpu_flags", lambda: flags)


@pytest.mark.parametrize(
    ("flags", "dtype"),
    [
        (WITH, "bfloat16"),
        ({"amx_bf16"}, "bfloat16"),
        ({"bf16"}, "bfloat16"),
        (WITHOUT, "float32"),
        (set(), "float32"),
    ],
)
def test_a_cpu_is_judged_by_its_flags(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], dtype: str
) -> None:
    on_machine(monkeypatch, flags)
    assert choose_dtype("auto", CPU)[0] == dtype
    assert choose_dtype("float32", CPU, "bfloat16")[0] == "float32"
    assert choose_dtype("auto", CPU, "float32")[0] == "float32"
    # Versions without a record computed in bfloat16.
    assert choose_dtype("auto", CPU, "auto")[0] == "bfloat16"


@pytest.mark.parametrize(
    ("capability", "dtype"), [((7, 5), "float32"), ((8, 0), "bfloat16"), ((12, 0), "bfloat16")]
)
def test_a_gpu_is_judged_by_its_compute_capability(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: str
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_dtype("auto", torch.device("cuda"))[0] == dtype


def test_presets_leave_the_choice_to_the_machine() -> None:
    forced = {
        path.stem
        for path in PRESETS.rglob("*.yaml")
        if "forward_dtype: float32" in path.read_text(encoding="utf-8")
    }
    assert not forced


def test_the_name_of_a_run_does_not_depend_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    names = set()
    for flags in (WITH, WITHOUT):
        on_machine(monkeypatch, flags)
        names.add(compose(["experiment=demo"]).run.run_name)
    assert len(names) == 1


def recorded(run: Path) -> str:
    return str(read_checkpoint(run).config["arch"]["forward_dtype"])


def carried(run: Path) -> set[torch.dtype]:
    return {
        t.dtype for name, t in tensors_of(run).items() if name.rpartition("/")[0].endswith("/z")
    }


def lines(run: Path, words: str) -> list[str]:
    return [line for line in (run / "log.txt").read_text().splitlines() if words in line]


def test_a_run_keeps_its_dtype_on_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, run, straight = write_online(tmp_path / "data"), tmp_path / "run", tmp_path / "straight"
    auto = {"arch__forward_dtype": "auto"}
    on_machine(monkeypatch, WITH)
    train_here(data, run, max_steps=3, **auto)
    assert recorded(run) == "bfloat16"
    assert "forward_dtype: bfloat16" in (run / "config.yaml").read_text()
    train_here(data, straight, max_steps=6, **auto)
    assert not lines(run, "as recorded in step-")

    on_machine(monkeypatch, WITHOUT)
    train_here(data, run, max_steps=6, **auto)
    assert_same_bits(tensors_of(run), tensors_of(straight))
    assert (recorded(run), carried(run)) == ("bfloat16", {torch.bfloat16})
    assert len(lines(run, "as recorded in step-00000003")) == 1
    assert not lines(run, "arch.forward_dtype: ")
    assert restore(run, device=CPU).model.config.forward_dtype == torch.bfloat16
    assert restore(run, device=CPU, dtype="float32").model.config.forward_dtype == torch.float32

    # An explicit change converts the carry, either way, and is kept from then on.
    for step, dtype in ((7, torch.float32), (8, torch.bfloat16), (9, torch.float32)):
        name = str(dtype).removeprefix("torch.")

        def converted(trainer: Trainer, dtype: torch.dtype = dtype) -> None:
            carries = trainer.parts.state.carries or []
            assert {z.dtype for carry in carries for z in carry.z} == {dtype}

        train_here(data, run, converted, max_steps=step, arch__forward_dtype=name)
        assert (recorded(run), carried(run)) == (name, {dtype})
    assert len(lines(run, "its carry is converted")) == 3
    on_machine(monkeypatch, WITH)
    train_here(data, run, max_steps=10, **auto)
    assert recorded(run) == "float32"

    fresh = tmp_path / "fresh"
    on_machine(monkeypatch, WITHOUT)
    train_here(data, fresh, max_steps=1, **auto)
    assert recorded(fresh) == "float32"


def test_checkpoints_of_versions_without_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, run = write_online(tmp_path / "data"), tmp_path / "run"
    on_machine(monkeypatch, WITHOUT)
    train_here(data, run, max_steps=2, arch__forward_dtype="bfloat16")
    saved = read_checkpoint(run)
    parts = {name: dict(part.items()) for name, part in saved.parts.items()}
    config = json.loads(json.dumps(saved.config))
    config["arch"]["forward_dtype"] = "auto"
    CheckpointManager(run).save(2, parts, saved.state, config)

    assert restore(run, device=CPU).model.config.forward_dtype == torch.bfloat16
    train_here(data, run, max_steps=4, arch__forward_dtype="auto")
    assert (recorded(run), carried(run)) == ("bfloat16", {torch.bfloat16})
    assert not lines(run, "arch.forward_dtype: ")
    # Of a network that was imported nothing is recorded: the machine decides.
    state = {**saved.state, "imported": {"from": "x", "weights": "raw"}}
    CheckpointManager(tmp_path / "imported").save_weights(2, parts, state, config)
    imported = restore(tmp_path / "imported", device=CPU)
    assert imported.model.config.forward_dtype == torch.float32


def test_processes_that_would_compute_differently_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gather(self: PlainEngine, value: object) -> list[object]:
        return [value, "bfloat16"] if isinstance(value, str) else [value]

    data = write_online(tmp_path / "data")
    monkeypatch.setattr(PlainEngine, "gather_objects", gather)
    on_machine(monkeypatch, WITHOUT)
    with pytest.raises(ConfigError, match="bfloat16 and float32 on different processes"):
        train_here(data, tmp_path / "run", max_steps=1, arch__forward_dtype="auto")


def test_a_damaged_checkpoint_of_another_dtype_is_named(tmp_path: Path) -> None:
    data, run = write_online(tmp_path / "data"), tmp_path / "run"
    for step, dtype in ((1, "bfloat16"), (2, "float32")):
        train_here(data, run, max_steps=step, arch__forward_dtype=dtype)
    file = run / "checkpoints" / "step-00000002" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="was computed in bfloat16"):
        train_here(data, run, max_steps=3, arch__forward_dtype="auto")
    train_here(data, run, max_steps=3, arch__forward_dtype="bfloat16")
    assert recorded(run) == "bfloat16"
