"""Bytes on each device, and what of them each thing takes.

Sources: Adam's fp32 state, 16 bytes a parameter, and how ZeRO shares it: ZeRO (arXiv 1910.02054,
section 3 and table 1). What DeepSpeed and DDP add to it (flat buckets, a separate fp32 copy of each
rank's part) is read from their sources. Activations: `probe`.
"""

from __future__ import annotations

from dataclasses import dataclass

from hrm_scale.planning.probe import Reading

FP32, BF16 = 4, 2
# Matrix libraries keep a workspace of this size on recent GPUs (torch's default, CUBLAS_WORKSPACE_
# CONFIG of :4096:8); it comes out of torch's own allocator and so counts as allocated.
KERNEL_WORKSPACE = 32 << 20


@dataclass(frozen=True)
class Sharding:
    """Who holds what. `stage` is None without DeepSpeed (one process, or DDP)."""

    ranks: int = 1
    stage: int | None = None
    bf16_parameters: bool = False
    offload_optimizer: bool = False
    offload_parameters: bool = False

    def __str__(self) -> str:
        if self.stage is None:
            return "one process" if self.ranks == 1 else "DDP"
        parts = [f"ZeRO stage {self.stage}"]
        parts += ["bf16 parameters"] * self.bf16_parameters
        if self.offload_optimizer:
            parts.append("all offload" if self.offload_parameters else "optimizer offload")
        return ", ".join(parts)


@dataclass(frozen=True)
class Static:
    """Bytes on one device that do not depend on the batch; `host` bytes in its node's memory."""

    weights: int
    gradients: int
    moments: int
    master: int
    buckets: int
    host: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.moments + self.master + self.buckets


def static_bytes(parameters: int, sharding: Sharding, state: int | None = None) -> Static:
    """Weights, gradients, moments and copies of `parameters` numbers on each rank.

    `state` are the bytes that the optimizer keeps of all of them, averages included; 8 a parameter
    by default. Plain and DDP: 4 + 4 + 8 bytes a parameter; DDP keeps flat buckets of all gradients
    (4 more). Stage 1 shares the moments, 2 also the gradients, 3 also the weights, which are all
    gathered once a step and present at its peak. DeepSpeed keeps each rank's part of the weights a
    second time in fp32, stage 0 excepted, and flattens gradients for the wire.
    """
    p, n = parameters, sharding.ranks
    state = 2 * FP32 * p if state is None else state
    stage = sharding.stage
    if stage is None or stage == 0:
        return Static(FP32 * p, FP32 * p, state, 0, FP32 * p if n > 1 else 0, 0)
    part = -(-p // n)
    weights = (BF16 if sharding.bf16_parameters else FP32) * p
    gathered = (BF16 if sharding.bf16_parameters else FP32) * part if stage == 3 else 0
    gradients = FP32 * (part if stage >= 2 else p)
    moments, master = -(-state // n), FP32 * part
    buckets = FP32 * p
    host = 0
    if sharding.offload_optimizer:
        host += moments + master
        moments = master = 0
    if sharding.offload_parameters:
        host += gathered
        gathered = 0
    return Static(weights + gathered, gradients, moments, master, buckets, host)


def table_bytes(identifiers: int, width: int, placement: str, ranks: int) -> tuple[int, int]:
    """(device, host) bytes of the puzzle table, fp32 [N, E], sign-SGD without state."""
    whole = FP32 * identifiers * width
    if placement == "device":
        return whole, 0
    if placement == "host":
        return 0, whole
    return FP32 * width * -(-identifiers // ranks), 0


def carry_bytes(
    rows: int, total_len: int, seq_len: int, width: int, item: int, states: int = 2
) -> int:
    """Latent states [B, T, D], inputs and labels int32 [B, S], and three numbers a slot."""
    return rows * (states * total_len * width * item + 2 * 4 * seq_len + 9)


@dataclass(frozen=True)
class Memory:
    """Bytes of one rank at the worst moment of a step, by what they are for."""

    static: Static
    table: int
    carry: int
    casts: int
    activations: int
    loss: int
    passing: int
    workspace: int
    reserve: int
    gradients_at_peak: bool
    moment: str
    host: int

    @property
    def allocated(self) -> int:
        """What torch's allocator should report as its peak (without the reserve)."""
        absent = 0 if self.gradients_at_peak else self.static.gradients
        return (
            self.static.total
            - absent
            + self.table
            + self.carry
            + self.casts
            + self.activations
            + self.loss
            + self.passing
            + self.workspace
        )

    @property
    def needed(self) -> int:
        return self.allocated + self.reserve


@dataclass(frozen=True)
class Load:
    """What one rank works on: `rows` a micro-step, `accumulation` micro-steps, the shape."""

    rows: int
    accumulation: int
    total_len: int
    seq_len: int
    vocab_size: int
    width: int
    item: int
    parameters: int
    largest_parameter: int
    optimizer_state: int
    identifiers: int
    table_width: int
    states: int = 2


def memory_of(
    load: Load, reading: Reading, sharding: Sharding, placement: str, reserve: int
) -> Memory:
    """All of it. `reading` is the probe's for `load.rows`, counted as `keeps_gradients` says.

    The worst moment is one of: the end of the forward pass (with the bootstrap target's), the
    backward pass, the update (three fp32 temporaries of the largest parameter).
    """
    static = static_bytes(load.parameters, sharding, load.optimizer_state)
    # A cast to the type that the weights have already is no copy.
    casts = 0 if sharding.bf16_parameters else reading.casts
    no_copy = reading.casts - casts
    carry = carry_bytes(load.rows, load.total_len, load.seq_len, load.width, load.item, load.states)
    kept = keeps_gradients(load.accumulation, sharding)
    moments = {
        "the forward pass": reading.forward - no_copy,
        "the backward pass": reading.backward - no_copy,
        "the update": 3 * FP32 * load.largest_parameter
        + 2 * carry
        + (0 if kept else static.gradients),
    }
    moment = max(moments, key=lambda name: moments[name])
    passing = moments[moment]
    activations, loss = reading.blocks, reading.loss
    if moment == "the update":
        activations = loss = casts = 0
    there = kept or moment != "the forward pass"
    passing -= activations + loss + casts + (static.gradients if there and not kept else 0)
    if passing < 0:
        # The backward pass has let go of activations before the last gradient is made.
        activations, passing = activations + passing, 0
    # The old and the new carry, the batches and the logits of the other micro-steps.
    others = (load.accumulation - 1) * (
        2 * carry + load.rows * load.seq_len * (8 + load.vocab_size * load.item)
    )
    device_table, host_table = table_bytes(
        load.identifiers, load.table_width, placement, sharding.ranks
    )
    return Memory(
        static=static,
        table=device_table,
        carry=others,
        casts=casts,
        activations=activations,
        loss=loss,
        passing=passing,
        workspace=KERNEL_WORKSPACE,
        reserve=reserve,
        gradients_at_peak=there,
        moment=moment,
        host=static.host + host_table,
    )


def keeps_gradients(accumulation: int, sharding: Sharding) -> bool:
    """Whether gradients outlive a micro-step: of an earlier one, or in DeepSpeed's buffers.

    Otherwise they are made while the backward pass lets go of activations.
    """
    return accumulation > 1 or (sharding.stage or 0) > 0
