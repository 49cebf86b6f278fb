"""What is saved is what is loaded, by name, by bit, and by slot."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn

from hrm_scale.base.errors import CheckpointError
from hrm_scale.checkpoint import (
    CheckpointManager,
    Ranks,
    carry_part_name,
    changed_settings,
    pack_optimizer,
    read_carry,
    read_checkpoint,
    require_fit,
    unpack_optimizer,
)
from hrm_scale.checkpoint.tensor_file import TensorFile, write_tensors

DTYPES = [
    torch.float64,
    torch.float32,
    torch.bfloat16,
    torch.float16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.uint8,
    torch.int8,
    torch.bool,
]


def same_bits(one: Tensor, other: Tensor) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    flat = [t.contiguous().reshape(-1).view(torch.uint8) for t in (one, other)]
    return torch.equal(*flat)


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_tensor_files_are_standard_and_bit_exact(data: st.DataObject, tmp_path_factory) -> None:
    shapes = st.lists(st.integers(0, 4), max_size=3).map(tuple)
    names = data.draw(st.lists(st.text("ab./é", min_size=1, max_size=8), unique=True, max_size=6))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    tensors = {}
    for name in names:
        shape = data.draw(shapes)
        dtype = data.draw(st.sampled_from(DTYPES))
        raw = torch.randint(0, 100, shape, generator=generator)
        tensors[name] = (raw > 50) if dtype is torch.bool else raw.to(dtype)
    path = tmp_path_factory.mktemp("t") / "x.safetensors"
    entry = write_tensors(path, tensors)
    assert path.stat().st_size == entry.bytes
    mine, theirs = TensorFile(path), load_file(path)
    assert set(mine) == set(theirs) == set(tensors)
    for name, tensor in tensors.items():
        assert same_bits(mine[name], tensor)
        assert same_bits(theirs[name], tensor)


def test_nan_payloads_and_strided_tensors_survive(tmp_path: Path) -> None:
    bits = torch.tensor([0x7FC00001, 0x7F800000, -1], dtype=torch.int32).view(torch.float32)
    strided = torch.arange(12, dtype=torch.float32).reshape(3, 4).t()
    write_tensors(tmp_path / "x.safetensors", {"nan": bits, "t": strided})
    file = TensorFile(tmp_path / "x.safetensors")
    assert same_bits(file["nan"], bits)
    assert same_bits(file["t"], strided)
    assert torch.equal(file.rows("t", 1, 3), strided[1:3])


def test_round_trip_and_folder_layout(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path)
    parts = {"model": {"w": torch.randn(3, 2)}, "puzzle_table": {"weights": torch.randn(5, 4)}}
    state = {"samples": 77, "clock": {"train": 0.1 + 0.2}, "best": None}
    path = manager.save(12, parts, state, {"lr": 1e-4})
    assert path == tmp_path / "checkpoints" / "step-00000012"
    assert sorted(item.name for item in path.iterdir()) == [
        "config.json",
        "manifest.json",
        "model.safetensors",
        "puzzle_table.safetensors",
        "state.json",
        "versions.json",
    ]
    loaded = read_checkpoint(path)
    assert loaded.step == 12
    assert loaded.state == {**state, "step": 12}
    assert loaded.config == {"lr": 1e-4}
    assert torch.equal(loaded.part("model")["w"], parts["model"]["w"])
    assert manager.last_bytes == loaded.manifest.total_bytes
    # A run folder means its newest valid checkpoint.
    assert read_checkpoint(tmp_path).path == path
    assert manager.latest_valid()[0] == path


def test_versions_hold_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "hunter2-secret")
    path = CheckpointManager(tmp_path / "run").save(1, {}, {}, {})
    text = "".join(file.read_text() for file in path.iterdir())
    assert "hunter2" not in text
    assert str(tmp_path) not in text
    assert set(json.loads((path / "versions.json").read_text())) == {"python", "packages", "git"}


def test_missing_part_names_those_there_are(tmp_path: Path) -> None:
    path = CheckpointManager(tmp_path).save(1, {"model": {"w": torch.ones(1)}}, {}, {})
    with pytest.raises(CheckpointError, match=r"no part 'ema'; it has: model"):
        read_checkpoint(path).part("ema")


def test_bad_part_name_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="part name"):
        CheckpointManager(tmp_path).save(1, {"../model": {}}, {}, {})
    assert list(tmp_path.iterdir()) == []


def test_state_that_json_cannot_hold_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        CheckpointManager(tmp_path).save(1, {}, {"x": object()}, {})
    assert list(tmp_path.iterdir()) == []


@settings(deadline=None, max_examples=25)
@given(
    cuts=st.lists(st.integers(1, 15), unique=True, max_size=4),
    bounds=st.tuples(st.integers(0, 15), st.integers(1, 16)).filter(lambda b: b[0] < b[1]),
)
def test_carry_is_dealt_again_by_slot(cuts: list[int], bounds: tuple, tmp_path_factory) -> None:
    run = tmp_path_factory.mktemp("run")
    whole = {"z_H": torch.randn(16, 3, 2).bfloat16(), "steps": torch.arange(16)}
    edges = [0, *sorted(cuts), 16]
    parts = {
        carry_part_name(lo, hi): {key: value[lo:hi] for key, value in whole.items()}
        for lo, hi in itertools.pairwise(edges)
    }
    checkpoint = read_checkpoint(CheckpointManager(run).save(1, parts, {}, {}))
    read = read_carry(checkpoint, *bounds)
    for key, value in whole.items():
        assert same_bits(read[key], value[slice(*bounds)])


def test_carry_with_a_gap_is_refused(tmp_path: Path) -> None:
    parts = {
        carry_part_name(0, 4): {"s": torch.zeros(4)},
        carry_part_name(6, 8): {"s": torch.zeros(2)},
    }
    checkpoint = read_checkpoint(CheckpointManager(tmp_path).save(1, parts, {}, {}))
    with pytest.raises(CheckpointError, match="slot 4"):
        read_carry(checkpoint, 0, 8)
    with pytest.raises(CheckpointError, match="slot 8"):
        read_carry(checkpoint, 6, 9)


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.SGD])
def test_optimizer_moments_by_parameter_name(kind: type, tmp_path: Path) -> None:
    def build() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
        extra = {"momentum": 0.9} if kind is torch.optim.SGD else {}
        return model, kind(model.parameters(), lr=0.1, **extra)

    def step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
        x = torch.randn(5, 3, generator=torch.Generator().manual_seed(seed))
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()

    model, optimizer = build()
    step(model, optimizer, 1)
    packed = pack_optimizer(model.named_parameters(), optimizer)
    parts = {"model": dict(model.state_dict()), "optimizer": packed}
    checkpoint = read_checkpoint(CheckpointManager(tmp_path).save(1, parts, {}, {}))
    again, optimizer_again = build()
    again.load_state_dict(dict(checkpoint.part("model")))
    unpack_optimizer(checkpoint.part("optimizer"), again.named_parameters(), optimizer_again)
    step(model, optimizer, 2)
    step(again, optimizer_again, 2)
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_optimizer_plain_step_counts_stay_plain() -> None:
    parameter = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    optimizer.state[parameter] = {"step": 7, "exp_avg": torch.ones(2)}
    packed = pack_optimizer([("w", parameter)], optimizer)
    assert set(packed) == {"step/w", "exp_avg/w"}
    optimizer.state.clear()
    unpack_optimizer(packed, [("w", parameter)], optimizer)
    assert optimizer.state[parameter]["step"] == 7
    assert isinstance(optimizer.state[parameter]["step"], int)
    with pytest.raises(CheckpointError, match="no parameter 'w'"):
        unpack_optimizer(packed, [("v", parameter)], optimizer)
    with pytest.raises(CheckpointError, match=re.escape("shape (3,)")):
        unpack_optimizer({"exp_avg/w": torch.ones(3)}, [("w", parameter)], optimizer)


def test_another_model_is_named(tmp_path: Path) -> None:
    path = CheckpointManager(tmp_path).save(1, {"model": {"a": torch.ones(2, 3)}}, {}, {})
    checkpoint = read_checkpoint(path)
    require_fit(checkpoint, "model", {"a": (2, 3)})
    with pytest.raises(CheckpointError, match=r"'a' has shape \(2, 3\), the model needs \(2, 4\)"):
        require_fit(checkpoint, "model", {"a": (2, 4)})
    with pytest.raises(CheckpointError, match="lacks 'b'"):
        require_fit(checkpoint, "model", {"a": (2, 3), "b": (1,)})
    with pytest.raises(CheckpointError, match="'a' and 0 more unknown"):
        require_fit(checkpoint, "model", {})


def test_changed_settings_are_listed_by_dotted_key() -> None:
    saved = {"lr": 1e-4, "arch": {"H_layers": 4, "loss": {"x": 1}}, "seed": 0}
    now = {"lr": 3e-4, "arch": {"H_layers": 4, "loss": {"x": 2}}, "seed": 0, "new": True}
    assert changed_settings(saved, now) == [
        "arch.loss.x: 1 -> 2",
        "lr: 0.0001 -> 0.0003",
        "new: None -> True",
    ]


def test_two_ranks_write_into_one_checkpoint(tmp_path: Path) -> None:
    """Two managers in threads, a real gather between them: what the next release passes in."""
    import threading

    barrier, values = threading.Barrier(2, timeout=20), [None, None]

    def gather_for(rank: int):
        def gather(value):
            values[rank] = value
            barrier.wait()
            result = list(values)
            barrier.wait()
            return result

        return gather

    results: dict[int, Path | str] = {}

    def work(rank: int) -> None:
        ranks = Ranks(rank, 2, gather_for(rank))
        manager = CheckpointManager(tmp_path, 1, ranks)
        parts = {carry_part_name(rank * 2, rank * 2 + 2): {"z": torch.full((2,), float(rank))}}
        if rank == 0:
            parts["model"] = {"w": torch.ones(2)}
        manager.save(1, parts, {"samples": 4}, {})
        results[rank] = manager.save(2, parts, {"samples": 8}, {})
        assert manager.latest_valid()[0] == results[rank]

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results[0] == results[1]
    loaded = read_checkpoint(tmp_path)
    assert loaded.state["samples"] == 8
    assert read_carry(loaded, 0, 4)["z"].tolist() == [0, 0, 1, 1]
    assert [item.name for item in (tmp_path / "checkpoints").iterdir()] == ["step-00000002"]
