"""Evaluating a model on a split: exact accuracy beside the baselines of the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

from hrm_scale.data import Dataset
from hrm_scale.evaluation.rollout import rollout
from hrm_scale.evaluation.tally import Tally
from hrm_scale.models import ActModel
from hrm_scale.optim.puzzle_table import PuzzleTable
from hrm_scale.transfer import to_tensors


class Processes(Protocol):
    """What is needed of an engine to share the work."""

    rank: int
    ranks: int

    def sum(self, values: Tensor) -> Tensor: ...


@contextmanager
def eval_mode(model: ActModel) -> Iterator[None]:
    """Eval mode inside, the mode before afterwards."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def evaluate(
    model: ActModel,
    table: PuzzleTable | None,
    dataset: Dataset,
    *,
    split: str = "test",
    batch_size: int,
    limit: int | None,
    seed: int,
    loss_type: str,
    device: torch.device,
    progress: Callable[[int], bool] | None = None,
    processes: Processes | None = None,
) -> dict[str, float] | None:
    """Means over the split, or over a seeded subset of `limit` rows of it, by metric name.

    Every row runs all `halt_max_steps`. The training carry, random generators and the loader are
    not touched. `progress` is called after each batch with the rows done, and ends the evaluation
    by returning True; the result is None then. `processes` share the rows of each batch.
    """
    rank, ranks = (processes.rank, processes.ranks) if processes else (0, 1)
    tally = Tally(model.config.vocab_size, dataset.meta.pad_id, loss_type)
    done = 0
    with eval_mode(model):
        for part in dataset.eval_batches(
            split, batch_size, rank=rank, ranks=ranks, limit=limit, seed=seed
        ):
            batch = to_tensors(part.batch, device)
            *_, last = rollout(model, table, batch)
            tally.add(*last)
            done += part.rows
            if progress is not None and progress(done):
                return None
    return tally.result(_over_all(tally.sums(), processes) if processes else None)


def _over_all(sums: dict[str, Tensor], processes: Processes) -> dict[str, Tensor]:
    """The sums of all processes, in one collective."""
    if not sums:
        return sums
    names = sorted(sums)
    packed = processes.sum(torch.cat([sums[name].double().flatten() for name in names]))
    pieces = packed.split([sums[name].numel() for name in names])
    return {name: piece.view(sums[name].shape) for name, piece in zip(names, pieces, strict=True)}
