"""Properties of answers that a kind of puzzle measures beside right and wrong.

Mazes: an optimal path is rarely the only one, so valid and shortest paths are counted."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hrm_scale.base.statistics import wilson
from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.evaluation.rollout import Answers


class PathCounts:
    """Rows, and rows whose answer has each of the properties that the puzzle measures."""

    def __init__(self, meta: DatasetMeta, device: torch.device) -> None:
        self._puzzle, self._device = meta.puzzle, device
        self._sums = [0] * (1 + len(self._puzzle.measured))

    def add(self, answers: Answers) -> None:
        """Count the rows of which these are the last answers."""
        if not answers.last:
            return
        scored = answers.scored.cpu().numpy()
        inputs = answers.asked.data["inputs"].cpu().numpy()[scored]
        predictions = answers.predictions.cpu().numpy()[scored]
        found = self._puzzle.measures(inputs, predictions)
        self._sums[0] += int(scored.sum())
        for at, name in enumerate(self._puzzle.measured, start=1):
            self._sums[at] += int(found[name].sum())

    def sums(self) -> dict[str, Tensor]:
        """The raw sums, for adding over ranks."""
        return {"paths": torch.tensor(self._sums, dtype=torch.float64, device=self._device)}

    def result(self, sums: dict[str, Tensor]) -> dict[str, Any]:
        """`count`, and of each property the number, the rate and its Wilson interval."""
        count, *numbers = (int(value) for value in sums["paths"])
        rates = (_rate(number, count) for number in numbers)
        return {"count": count, **dict(zip(self._puzzle.measured, rates, strict=True))}


def _rate(successes: int, count: int) -> dict[str, float]:
    low, high = wilson(successes, count)
    return {"number": successes, "rate": successes / max(count, 1), "low": low, "high": high}
