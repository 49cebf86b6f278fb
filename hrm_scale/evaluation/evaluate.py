"""Evaluating a model on a split: exact accuracy beside the baselines of the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Protocol

import torch
from torch import Tensor

from hrm_scale.data import Dataset, EvalBatch
from hrm_scale.evaluation.early_exit import early_exit_rollout
from hrm_scale.evaluation.rollout import Answers, Asked, ask
from hrm_scale.evaluation.row_threads import row_threads
from hrm_scale.evaluation.tally import Tally
from hrm_scale.models import ActModel
from hrm_scale.models.inference import Reasoner
from hrm_scale.optim.puzzle_table import PuzzleTable


class Processes(Protocol):
    """What is needed of an engine to share the work."""

    rank: int
    ranks: int

    def sum(self, values: Tensor) -> Tensor: ...


class Observer(Protocol):
    """What looks at every answer."""

    def add(self, answers: Answers) -> None: ...


class Summed(Protocol):
    """What has counted; `sums` has the same names and shapes on every rank."""

    def sums(self) -> dict[str, Tensor]: ...


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
    tally = Tally(model.config.vocab_size, dataset.meta.pad_id, loss_type, device)
    questions = dataset.eval_batches(
        split, batch_size, rank=rank, ranks=ranks, limit=limit, seed=seed
    )
    at = [model.config.halt_max_steps]
    if not observe(model, table, questions, [tally], device=device, at=at, progress=progress):
        return None
    (sums,) = over_all([tally], processes)
    return tally.result(sums)


def observe(
    model: ActModel,
    table: PuzzleTable | None,
    questions: Iterable[EvalBatch],
    observers: Sequence[Observer],
    *,
    device: torch.device,
    at: Sequence[int],
    early_exit: bool = False,
    progress: Callable[[int], bool] | None = None,
) -> bool:
    """Show the observers' `add` the answers to all questions after each number of steps in `at`,
    or, with `early_exit`, when the model is satisfied, at the latest after the largest.

    False when `progress`, called with the rows that have been asked so far, has ended it by
    returning True. Without `early_exit` every rank calls it equally often.
    """
    asked_so_far = 0

    def asked() -> Iterator[Asked]:
        nonlocal asked_so_far
        for part in questions:
            rows = ask(part, table, device, padded=model.config.compile and not early_exit)
            asked_so_far += part.rows
            yield rows

    with eval_mode(model):
        reasoner = Reasoner(model)
        if early_exit:
            parts = iter(asked())
            first = next(parts, None)
            if first is None:
                return True
            slots = max(1, len(first))
            every = chain([first], parts)
            for answers in early_exit_rollout(reasoner, every, slots, max(at)):
                _show(answers, observers)
                if progress is not None and progress(asked_so_far):
                    return False
            return True
        with row_threads(device, model.config.compile) as threads:
            for rows in asked():
                for answers in threads.rollout(reasoner, rows, at):
                    _show(answers, observers)
                if progress is not None and progress(asked_so_far):
                    return False
    return True


def _show(answers: Answers, observers: Sequence[Observer]) -> None:
    for observer in observers:
        observer.add(answers)


def over_all(counted: Sequence[Summed], processes: Processes | None) -> list[dict[str, Tensor]]:
    """The sums of each over all processes, in one collective."""
    found = [one.sums() for one in counted]
    if processes is None or processes.ranks == 1:
        return found
    places = [(number, name) for number, sums in enumerate(found) for name in sorted(sums)]
    shapes = [found[number][name].shape for number, name in places]
    packed = torch.cat([found[number][name].double().flatten() for number, name in places])
    pieces = processes.sum(packed).split([shape.numel() for shape in shapes])
    totals: list[dict[str, Tensor]] = [{} for _ in found]
    for (number, name), shape, piece in zip(places, shapes, pieces, strict=True):
        totals[number][name] = piece.view(shape)
    return totals
