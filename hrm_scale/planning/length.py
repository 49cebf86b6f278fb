"""How long a run is, what it computes, and what its checkpoints take on disk."""

from __future__ import annotations

from dataclasses import dataclass

from hrm_scale.models.flops import mean_training_flops
from hrm_scale.models.recursion import latent_states
from hrm_scale.planning.job import Job
from hrm_scale.planning.memory import FP32, carry_bytes

# Share of the peak rate that a run is taken to reach when no speed is given. Published runs of this
# model, evaluation left out, imply 15 to 69 %.
ASSUMED_MFU = 0.3


@dataclass(frozen=True)
class Length:
    """`steps` and `samples` of the run; mean `flops` of one example and step; `rate` examples/s of
    all devices, and whether it was given; `seconds` of training, evaluation and saving left out."""

    steps: int
    samples: int
    limit: str
    flops: float
    rate: float
    rate_given: bool

    @property
    def seconds(self) -> float:
        return self.samples / self.rate


def length_of(job: Job, steps: int, limit: str, recompute: float, rate: float | None) -> Length:
    """`recompute`: work added by checkpointing as a share of a step's; `rate` if it is known."""
    flops = mean_training_flops(job.model, 1, job.run.arch.depth_curriculum != "off")
    if rate is None:
        machine = job.machine
        assumed = ASSUMED_MFU * machine.peak_flops * machine.ranks / (flops * (1 + recompute))
    return Length(
        steps,
        steps * job.run.global_batch_size,
        limit,
        flops,
        assumed if rate is None else rate,
        rate is not None,
    )


def checkpoint_bytes(job: Job) -> int:
    """One checkpoint: weights, moments and averages in fp32, the whole table, and the carry of all
    slots."""
    model = job.model
    carry = carry_bytes(
        job.run.global_batch_size,
        model.total_len,
        model.seq_len,
        model.hidden_size,
        model.forward_dtype.itemsize,
        latent_states(model),
    )
    table = job.task.identifiers * model.puzzle_emb_ndim
    return FP32 * (job.parameters + table) + job.optimizer_state + carry
