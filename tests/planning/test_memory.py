"""Formulas of the planner: static bytes, table, carry, wire, machines and tasks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.models import random_batch, tiny_config, tiny_model
from hrm_scale.base.errors import ConfigError
from hrm_scale.planning import hardware
from hrm_scale.planning.hardware import GIB, MACHINES, choose_machine
from hrm_scale.planning.memory import (
    Load,
    Sharding,
    carry_bytes,
    keeps_gradients,
    memory_of,
    static_bytes,
    table_bytes,
)
from hrm_scale.planning.probe import Reading
from hrm_scale.planning.tasks import task_of
from hrm_scale.planning.wire import wire_bytes

P = 1000


@pytest.mark.parametrize(
    ("sharding", "per_parameter"),
    [
        (Sharding(1), 16),  # 4 + 4 + 8
        (Sharding(4), 20),  # DDP's buckets
        (Sharding(4, 0), 20),
        (Sharding(4, 1), 4 + 4 + 8 / 4 + 4 / 4 + 4),
        (Sharding(4, 2), 4 + 4 / 4 + 8 / 4 + 4 / 4 + 4),
        (Sharding(4, 3), 4 + 4 / 4 + 4 / 4 + 8 / 4 + 4 / 4 + 4),
        (Sharding(4, 1, bf16_parameters=True), 2 + 4 + 8 / 4 + 4 / 4 + 4),
        (Sharding(4, 2, offload_optimizer=True), 4 + 4 / 4 + 4),
        (Sharding(4, 3, offload_optimizer=True, offload_parameters=True), 4 + 4 / 4 + 4),
    ],
    ids=str,
)
def test_bytes_a_parameter(sharding: Sharding, per_parameter: float) -> None:
    assert static_bytes(P, sharding).total == per_parameter * P


def test_what_is_offloaded_is_in_the_hosts_memory() -> None:
    here = static_bytes(P, Sharding(4, 3))
    there = static_bytes(P, Sharding(4, 3, offload_optimizer=True, offload_parameters=True))
    assert there.host == here.total - there.total == (8 + 4 + 4) * P / 4


def test_table_of_arc_is_the_published_one() -> None:
    whole = 1_045_829 * 512 * 4
    assert table_bytes(1_045_829, 512, "device", 2) == (whole, 0)
    assert whole / 1e9 == pytest.approx(2.14, abs=0.005)
    assert table_bytes(1_045_829, 512, "host", 2) == (0, whole)
    assert table_bytes(1_045_829, 512, "sharded", 2) == (522_915 * 512 * 4, 0)


def test_carry_is_what_a_model_carries() -> None:
    config = tiny_config(forward_dtype=torch.bfloat16)
    carry = tiny_model(forward_dtype=torch.bfloat16).initial_carry(random_batch(config, 7))
    tensors = (*carry.z, *carry.data.values(), carry.steps, carry.halted)
    counted = carry_bytes(7, config.total_len, config.seq_len, config.hidden_size, 2)
    assert counted == sum(tensor.nbytes for tensor in tensors)


LOAD = Load(4, 1, 17, 16, 6, 32, 2, P, 400, 8 * P, 10, 32)
READING = Reading(blocks=100_000, loss=5_000, casts=2_000, forward=120_000, backward=110_000)


def test_all_parts_make_up_the_peak() -> None:
    memory = memory_of(LOAD, READING, Sharding(), "device", 7)
    assert memory.moment == "the forward pass"
    # Weights and moments, the table, the probe's peak; no gradients yet.
    parts = 12 * P + 10 * 32 * 4 + READING.forward + memory.workspace
    assert memory.allocated == parts
    assert memory.needed == parts + 7
    assert memory.activations + memory.loss + memory.casts + memory.passing == READING.forward


def test_gradients_stay_between_micro_steps_and_other_carries_count() -> None:
    two = Load(**{**vars(LOAD), "accumulation": 2})
    one, several = (memory_of(load, READING, Sharding(), "device", 0) for load in (LOAD, two))
    others = 2 * carry_bytes(4, 17, 16, 32, 2) + 4 * 16 * (8 + 6 * 2)
    assert several.allocated - one.allocated == 4 * P + others
    assert not keeps_gradients(1, Sharding(2))
    assert keeps_gradients(1, Sharding(2, 1))


def test_a_backward_pass_above_the_forward_pass_counts_its_gradients_once() -> None:
    late = Reading(blocks=1_000, loss=500, casts=200, forward=2_000, backward=9_000)
    memory = memory_of(LOAD, late, Sharding(), "device", 0)
    assert memory.moment == "the update"  # 3 x 400 x 4 bytes, carries and gradients
    assert memory.allocated >= 16 * P + 3 * 400 * 4
    big = Reading(blocks=1_000, loss=500, casts=200, forward=2_000, backward=90_000)
    memory = memory_of(LOAD, big, Sharding(), "device", 0)
    assert memory.moment == "the backward pass"
    assert memory.allocated == 12 * P + 10 * 32 * 4 + 90_000 + memory.workspace


def wire(sharding: Sharding, accumulation: int = 1, placement: str = "device") -> tuple[int, ...]:
    sent = wire_bytes(
        P,
        sharding,
        accumulation=accumulation,
        global_batch_size=8,
        table_width=32,
        placement=placement,
    )
    return sent.gradients, sent.parameters, sent.table


def test_bytes_on_the_wire() -> None:
    table = 8 * 33 * 4 * 3 // 4
    assert wire(Sharding(4)) == wire(Sharding(4, 0), 5) == (6 * P, 0, table)
    assert wire(Sharding(4, 1), 5) == (6 * P, 3 * P, table)
    assert wire(Sharding(4, 2), 5) == (30 * P, 3 * P, table)
    assert wire(Sharding(4, 3), 5) == (15 * P, 3 * P, table)
    assert wire(Sharding(4, 1, bf16_parameters=True)) == (6 * P, 1.5 * P, table)
    assert wire(Sharding(4), placement="sharded") == (6 * P, 0, 2 * table)
    assert wire(Sharding(1)) == (0, 0, 0)


def test_machines() -> None:
    assert choose_machine(None).name == "laptop_16gb"
    assert choose_machine("h100_multinode").ranks == 16
    given = choose_machine("laptop_16gb", vram=12, gpus=2, bandwidth=10)
    assert (given.memory, given.ranks, given.bandwidth) == (12 * GIB, 2, 10e9)
    assert choose_machine("laptop_16gb", gpus=2).bandwidth == 31.5e9
    # A ring over nodes is as fast as the link between them.
    assert (
        choose_machine("h100_8x", nodes=2).bandwidth == choose_machine("h100_multinode").bandwidth
    )
    # Several GPUs without a name are a cluster's, not laptops.
    cluster = choose_machine(None, gpus=8, nodes=4)
    assert (cluster.name, cluster.ranks) == ("h100_8x", 32)
    assert cluster.memory == MACHINES["h100_8x"].memory
    assert choose_machine(None, vram=24, nodes=2).memory == 24 * GIB
    for machine in MACHINES.values():
        assert 0 < machine.reserve < machine.usable < machine.memory


def test_the_cpu_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "memory_bytes", lambda: (8 * GIB, 3 * GIB))
    machine = choose_machine("cpu")
    assert machine.is_cpu
    assert (machine.memory, machine.ranks) == (3 * GIB, 1)
    # Where the system does not tell what is free, all of it.
    monkeypatch.setattr(hardware, "memory_bytes", lambda: (8 * GIB, 0))
    assert choose_machine("cpu").memory == 8 * GIB


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("laptop_61gb", {}, "Did you mean 'laptop_16gb'"),
        (None, {"vram": -1.0}, "--vram -1 is not above 0"),
        (None, {"vram": 1.0}, "leaves nothing"),
        (None, {"gpus": 0}, "--gpus 0"),
        ("cpu", {"gpus": 2, "vram": 8}, "leave out --vram, --gpus"),
        (None, {"bandwidth": float("nan")}, "--bandwidth nan"),
    ],
)
def test_wrong_machines_are_refused(name: str | None, options: dict[str, float], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        choose_machine(name, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("data/sudoku-extreme-1k-aug-1000", "Sudoku"),
        ("data/sudoku-4x4-demo", "Sudoku 4x4"),
        ("data/maze-30x30-hard-1k", "Maze 30x30"),
        ("data/arc-aug-1000", "ARC-1"),
        ("data/arc-2-aug-1000", "ARC-2"),
    ],
)
def test_known_tasks_by_name(path: str, name: str, tmp_path: Path) -> None:
    task = task_of(str(tmp_path / path))
    assert task.name == name
    assert not task.given


def test_a_data_set_that_exists_is_asked(tmp_path: Path) -> None:
    dataset = write_online(tmp_path / "arc", examples=20)
    task = task_of(str(tmp_path / "arc"))
    assert task.given
    assert task.seq_len != 900
    assert str(tmp_path / "arc") in task.source
    assert dataset is not None


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="sudoku, maze or arc"):
        task_of("data/chess")
