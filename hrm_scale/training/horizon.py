"""When a run ends, and when it evaluates and saves: numbers of steps, worked out once."""

from __future__ import annotations

from dataclasses import dataclass

from hrm_scale.base.errors import ConfigError
from hrm_scale.config.schema import RunConfig
from hrm_scale.models.config import ModelConfig
from hrm_scale.models.flops import mean_training_flops


@dataclass(frozen=True)
class Horizon:
    """`total_steps` is also the horizon of the learning-rate schedule. `limit` says what set it."""

    total_steps: int
    limit: str
    steps_per_epoch: float
    eval_every: int | None
    checkpoint_every: int | None

    def evaluates_at(self, step: int) -> bool:
        return self.eval_every is not None and step % self.eval_every == 0

    def saves_at(self, step: int) -> bool:
        return self.checkpoint_every is not None and step % self.checkpoint_every == 0


def plan_horizon(
    run: RunConfig, examples_per_epoch: float, model: ModelConfig | None = None
) -> Horizon:
    """Steps of a run on data of `examples_per_epoch` examples an epoch.

    The smallest of `epochs`, `max_steps`, `max_samples` and `max_flops` that are given; an epoch
    counts ``examples / global_batch_size`` steps, as in the published trainer. Only `max_flops`
    asks for the `model`. Raises ConfigError when nothing is left to do.
    """
    batch = run.global_batch_size
    limits = {}
    if run.epochs is not None:
        limits["epochs"] = int(run.epochs * examples_per_epoch / batch)
    if run.max_steps is not None:
        limits["max_steps"] = run.max_steps
    if run.max_samples is not None:
        limits["max_samples"] = run.max_samples // batch
    if run.max_flops is not None:
        assert model is not None
        curriculum = run.arch.depth_curriculum != "off"
        limits["max_flops"] = int(run.max_flops // mean_training_flops(model, batch, curriculum))
    if not limits:
        # Only max_time ends this run; the schedule then needs a horizon that is never reached.
        limits["max_time"] = 1 << 40
    limit = min(limits, key=lambda name: limits[name])
    total = limits[limit]
    if total < 1:
        raise ConfigError(
            f"{limit}={getattr(run, limit)} is less than one step of global_batch_size={batch} on"
            f" {examples_per_epoch:g} examples an epoch: raise {limit} or lower global_batch_size"
        )
    every = run.evaluation.every_steps
    if every is None and run.eval_interval is not None:
        every = max(1, int(run.eval_interval * examples_per_epoch / batch))
    return Horizon(
        total_steps=total,
        limit=limit,
        steps_per_epoch=examples_per_epoch / batch,
        eval_every=every,
        checkpoint_every=run.checkpoint.every_steps,
    )
