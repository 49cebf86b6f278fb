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
class Speed:
    """Examples/s over all devices, how it is known (a mark of `plan.MARKS`), and a remark."""

    rate: float
    source: str
    note: str


@dataclass(frozen=True)
class Length:
    """`steps` and `samples` of the run; mean `flops` of one example and step; `seconds` of
    training, evaluation and saving left out."""

    steps: int
    samples: int
    limit: str
    flops: float
    speed: Speed

    @property
    def seconds(self) -> float:
        return self.samples / self.speed.rate


def mean_flops(job: Job) -> float:
    """Work of one example and step, the mean over the run."""
    return mean_training_flops(job.model, 1, job.run.arch.depth_curriculum != "off")


def length_of(job: Job, steps: int, limit: str, speed: Speed) -> Length:
    """What a run of `steps` steps at `speed` is."""
    return Length(steps, steps * job.run.global_batch_size, limit, mean_flops(job), speed)


def assumed_speed(job: Job, recompute: float) -> Speed:
    """A share of the vendor's rate. `recompute`: work added by checkpointing, as a share of a
    step's."""
    machine = job.machine
    reached = ASSUMED_MFU * machine.peak_flops * machine.ranks
    peak = f"{machine.peak_flops / 1e12:.0f} TFLOP/s"
    return Speed(
        reached / (mean_flops(job) * (1 + recompute)),
        "assumed",
        f"{100 * ASSUMED_MFU:.0f} % of {peak} a GPU; nothing was measured",
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
