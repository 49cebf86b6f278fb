"""Mazes solved by another path than the labelled one: an optimal path is rarely the only one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.evaluation.interval import wilson
from hrm_scale.evaluation.rollout import Answers
from hrm_scale.evaluation.rules import is_path, is_shortest_path

_NAMES = ("count", "paths", "shortest")


class PathCounts:
    """Rows, rows whose answer is a path from start to goal, and a shortest one."""

    def __init__(self, meta: DatasetMeta, device: torch.device) -> None:
        self._meta, self._device = meta, device
        self._sums = [0, 0, 0]

    def add(self, answers: Answers) -> None:
        """Count the rows of which these are the last answers."""
        if not answers.last:
            return
        scored = answers.scored.cpu().numpy()
        inputs = answers.asked.data["inputs"].cpu().numpy()[scored]
        predictions = answers.predictions.cpu().numpy()[scored]
        self._sums[0] += int(scored.sum())
        self._sums[1] += int(is_path(self._meta, inputs, predictions).sum())
        self._sums[2] += int(is_shortest_path(self._meta, inputs, predictions).sum())

    def sums(self) -> dict[str, Tensor]:
        """The raw sums, for adding over ranks."""
        return {"paths": torch.tensor(self._sums, dtype=torch.float64, device=self._device)}

    def result(self, sums: dict[str, Tensor]) -> dict[str, Any]:
        """`count`, and of `paths` and `shortest` the number, the rate and its Wilson interval."""
        count, paths, shortest = (int(value) for value in sums["paths"])
        return {"count": count, "paths": _rate(paths, count), "shortest": _rate(shortest, count)}


def _rate(successes: int, count: int) -> dict[str, float]:
    low, high = wilson(successes, count)
    return {"number": successes, "rate": successes / max(count, 1), "low": low, "high": high}
