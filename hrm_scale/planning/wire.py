"""Bytes that each rank sends in an optimizer step, by ZeRO stage.

Ring collectives over n ranks: an all-reduce sends 2 (n-1)/n of the data, a reduce-scatter or an
all-gather (n-1)/n (ZeRO, arXiv 1910.02054, section 7). Gradients travel in fp32.
"""

from __future__ import annotations

from dataclasses import dataclass

from hrm_scale.planning.memory import BF16, FP32, Sharding


@dataclass(frozen=True)
class Wire:
    """Bytes a rank sends in one optimizer step: for gradients, parameters and the puzzle table."""

    gradients: int
    parameters: int
    table: int

    @property
    def total(self) -> int:
        return self.gradients + self.parameters + self.table

    def milliseconds(self, bandwidth: float) -> float:
        """At `bandwidth` bytes/s and no latency, nothing overlapped."""
        return 1000 * self.total / bandwidth


def wire_bytes(
    parameters: int,
    sharding: Sharding,
    *,
    accumulation: int,
    global_batch_size: int,
    table_width: int,
    placement: str,
) -> Wire:
    """What a step of one rank sends.

    DDP and stage 0: one all-reduce of the gradients a step. Stages 1 and 2: the same, of which each
    rank keeps its part (so DeepSpeed does it, as a profile shows; the paper has a reduce-scatter),
    and an all-gather of the weights. Stage 3: a reduce-scatter of the gradients, and the weights
    gathered once a step, not once a pass. Stages 2 and 3 hold a part of the gradients only and so
    reduce them in every micro-step.
    The table: identifiers and gradients of all slots to all ranks; when it is sharded, the rows
    as well (a reduce-scatter of the rows of all slots).
    """
    stage = sharding.stage
    share = (sharding.ranks - 1) / sharding.ranks
    gradients = (1 if stage == 3 else 2) * FP32 * parameters * share
    weights = 0.0
    if stage in (1, 2, 3):
        weights = (BF16 if sharding.bf16_parameters else FP32) * parameters * share
    if stage in (2, 3):
        gradients *= accumulation
    rows = global_batch_size * FP32 * share
    table = rows * (table_width + 1) if table_width else 0.0
    if table_width and placement == "sharded":
        table += rows * (table_width + 1)
    return Wire(round(gradients), round(weights), round(table))
