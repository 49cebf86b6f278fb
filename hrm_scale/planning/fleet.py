"""Seconds and bytes of a step on 8, 64, 1024 GPUs, worked out from the code's own formulas.

Rates are assumed or quoted, as the constants below say: nothing here is measured on a GPU.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

GPUS_A_NODE = 8
SIZES = ("hrm_v1", "hrm_1b")
TASKS = {"Sudoku": "sudoku_extreme_1k", "ARC": "arc1"}

# Assumed. MFU is `length.ASSUMED_MFU`.
LAUNCH_S = 5e-6  # to start one kernel
KERNELS = 8  # a compiled block's forward pass; twice that backward
HOP_S = 50e-6  # between two processes by gloo over TCP

# Quoted: the vendor's dense bf16 rate and link rates in one direction. One 400 Gb/s adapter carries
# 50 GB/s; a ring leaves a node once for each adapter.
PEAK = 989e12
NVLINK, ADAPTER = 450e9, 50e9

# Quoted: microseconds a hop in NCCL's own cost model (src/graph/tuning.cc of the A100's time), over
# NVLink and network, for a ring and a tree, of its low-latency and its bulk protocol.
HOPS = {
    ("ring", "small"): (0.47, 2.7),
    ("ring", "bulk"): (3.4, 9.6),
    ("tree", "small"): (0.52, 5.0),
    ("tree", "bulk"): (28.0, 50.0),
}
# Numbers in one collective: DeepSpeed's buckets in ds_configs/h100_*.json, and DDP's 128 MiB.
ZERO_BUCKET, DDP_BUCKET = 200_000_000, 128 * 2**20 // 4


@dataclass(frozen=True)
class Case:
    """One model on one task. `block_passes`: forward passes through a block in a training step, a
    backward pass counted as two. Carry in bytes a slot."""

    size: str
    task: str
    parameters: int
    flops: int
    block_passes: int
    total_len: int
    seq_len: int
    width: int
    identifiers: int
    slot: int


@functools.lru_cache(maxsize=1)
def cases() -> tuple[Case, ...]:
    from hrm_scale.config.compose import compose
    from hrm_scale.models.flops import training_flops
    from hrm_scale.planning.hardware import choose_machine
    from hrm_scale.planning.job import make_job
    from hrm_scale.planning.memory import carry_bytes

    found = []
    for size in SIZES:
        for task, experiment in TASKS.items():
            run = compose([f"experiment={experiment}", f"arch={size}"]).run
            job = make_job(run, choose_machine("single_80gb"))
            model = job.model
            step = model.H_cycles * (model.L_cycles * model.L_layers + model.H_layers)
            found.append(
                Case(
                    size=size,
                    task=task,
                    parameters=job.parameters,
                    flops=training_flops(model, 1),
                    block_passes=2 * step + 2 * (model.L_layers + model.H_layers),
                    total_len=model.total_len,
                    seq_len=model.seq_len,
                    width=model.puzzle_emb_ndim,
                    identifiers=job.task.identifiers,
                    slot=carry_bytes(1, model.total_len, model.seq_len, model.hidden_size, 2),
                )
            )
    return tuple(found)


def sent(case: Case, ranks: int, stage: int | None, batch: int, table: str) -> tuple[int, int, int]:
    """Bytes a rank sends in a step without accumulation: gradients, parameters, puzzle table."""
    from hrm_scale.planning.memory import Sharding
    from hrm_scale.planning.wire import wire_bytes

    wire = wire_bytes(
        case.parameters,
        Sharding(ranks, stage, bf16_parameters=bool(stage)),
        accumulation=1,
        global_batch_size=batch,
        table_width=case.width,
        placement=table,
    )
    return wire.gradients, wire.parameters, wire.table


def latency(kind: str, ranks: int, protocol: str) -> float:
    """Seconds that an empty collective takes by NCCL's model; an all-reduce takes ring or tree."""
    nodes = max(1, ranks // GPUS_A_NODE)
    inside, between = HOPS["ring", protocol]
    # The low-latency protocol is slower inside a node when there are several.
    slower = 1.8 if nodes > 1 and protocol == "small" else 1.0
    ring = (ranks - nodes) * inside * slower + (nodes - 1) * between
    if kind == "all-gather":
        return ring / 1e6
    inside, between = HOPS["tree", protocol]
    tree = 2 * ((ranks // nodes - 1) * inside * slower + int(math.log2(nodes)) * between)
    return min(2 * ring, tree) / 1e6


def collectives(case: Case, ranks: int, stage: int | None) -> float:
    """Seconds of latency of all NCCL collectives of a step, the table on each device."""
    gather = functools.partial(latency, "all-gather", ranks)
    reduce = functools.partial(latency, "all-reduce", ranks)
    if stage is None:
        buckets = math.ceil(case.parameters / DDP_BUCKET)
        return buckets * reduce("bulk") + gather("small")
    reduces = math.ceil(case.parameters / ZERO_BUCKET)
    gathers = max(1, case.parameters // ZERO_BUCKET)
    dense = reduces * reduce("bulk") + gathers * gather("bulk")
    return dense + reduce("small") + gather("small")


@dataclass(frozen=True)
class Step:
    """Seconds of one step, nothing overlapped; `slow` with one adapter a node."""

    compute: float
    floor: float
    wire: float
    slow_wire: float
    latency: float

    @property
    def exchange(self) -> float:
        return self.wire + self.latency

    @property
    def total(self) -> float:
        return max(self.compute, self.floor) + self.exchange


def step(case: Case, ranks: int, batch: int) -> Step:
    """`hrm_v1` by DDP, `hrm_1b` by ZeRO stage 1, the table on each device."""
    from hrm_scale.planning.length import ASSUMED_MFU

    stage = None if case.size == "hrm_v1" else 1
    total = sum(sent(case, ranks, stage, batch, "device"))
    alone = ranks <= GPUS_A_NODE
    return Step(
        compute=batch / ranks * case.flops / (ASSUMED_MFU * PEAK),
        floor=case.block_passes * KERNELS * LAUNCH_S,
        wire=total / (NVLINK if alone else GPUS_A_NODE * ADAPTER),
        slow_wire=total / (NVLINK if alone else ADAPTER),
        latency=collectives(case, ranks, stage),
    )
