"""The evaluation of a model: every observer sees all outputs, one result comes of all processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, Protocol

import torch
from torch import Tensor

from hrm_scale.data import EvalBatch
from hrm_scale.evaluation.early_exit import early_exit_rollout
from hrm_scale.evaluation.observers.base import EvalResult, Metric, Observer
from hrm_scale.evaluation.rollout import ModelOutputs, Query, make_query
from hrm_scale.evaluation.row_threads import row_threads
from hrm_scale.models import ActModel
from hrm_scale.models.inference import Reasoner
from hrm_scale.optim.puzzle_table import PuzzleTable


class Processes(Protocol):
    """What is needed of an engine to share the work."""

    device: torch.device
    ranks: int

    def sum(self, values: Tensor) -> Tensor: ...

    def gather_objects(self, value: Any) -> list[Any]: ...


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
    questions: Iterable[EvalBatch],
    observers: Sequence[Observer],
    processes: Processes,
    *,
    report_steps: Sequence[int],
    early_exit: bool = False,
    progress: Callable[[int], bool] | None = None,
) -> EvalResult | None:
    """Show the observers the outputs for this process's questions; returns what they found over all
    processes, by name.

    They see the outputs after each number of steps in `report_steps`, or, with `early_exit`, when
    the model is satisfied, at the latest after the largest. Neither the training carry nor random
    generators are touched. `progress` is called with the rows done so far, and ends the evaluation
    by returning True; the result is None then. Without `early_exit` every rank calls it equally
    often.
    """
    compiled, device, done = model.config.compile, processes.device, 0

    def queries() -> Iterator[Query]:
        nonlocal done
        for part in questions:
            query = make_query(part, table, device, padded=compiled and not early_exit)
            done += part.rows
            yield query

    with eval_mode(model), row_threads(device, compiled or early_exit) as threads:
        reasoner = Reasoner(model)
        passes: Iterable[Iterable[ModelOutputs]]
        if early_exit:
            passes = _early_exits(reasoner, queries(), max(report_steps))
        else:
            passes = (threads.rollout(reasoner, query, report_steps) for query in queries())
        for one_pass in passes:
            for outputs in one_pass:
                for observer in observers:
                    observer.add(outputs)
            if progress is not None and progress(done):
                return None
    return collect(observers, processes)


def _early_exits(
    reasoner: Reasoner, queries: Iterator[Query], max_steps: int
) -> Iterator[list[ModelOutputs]]:
    """As many rows at a time as the first query has."""
    first = next(queries, None)
    if first is not None:
        slots, every = max(1, len(first)), chain([first], queries)
        for outputs in early_exit_rollout(reasoner, every, slots, max_steps):
            yield [outputs]


def collect(metrics: Sequence[Metric], processes: Processes) -> EvalResult:
    """The result of each metric over all processes, which call it together."""
    totals = iter(_totals([one.sums() for one in metrics if not one.gathers], processes))
    return {
        one.name: one.result(processes.gather_objects(one.sums()) if one.gathers else next(totals))
        for one in metrics
    }


def _totals(found: Sequence[dict[str, Tensor]], processes: Processes) -> list[dict[str, Tensor]]:
    """The sums of each metric over all processes, in one collective."""
    if processes.ranks == 1 or not found:
        return list(found)
    places = [(number, name) for number, sums in enumerate(found) for name in sorted(sums)]
    shapes = [found[number][name].shape for number, name in places]
    packed = torch.cat([found[number][name].double().flatten() for number, name in places])
    pieces = processes.sum(packed).split([shape.numel() for shape in shapes])
    totals: list[dict[str, Tensor]] = [{} for _ in found]
    for (number, name), shape, piece in zip(places, shapes, pieces, strict=True):
        totals[number][name] = piece.view(shape)
    return totals
