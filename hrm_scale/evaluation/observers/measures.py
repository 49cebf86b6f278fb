"""Properties of answers that a kind of puzzle measures beside right and wrong.

Mazes: an optimal path is rarely the only one, so valid and shortest paths are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from hrm_scale.base.statistics import wilson
from hrm_scale.evaluation.observers.base import Observer
from hrm_scale.evaluation.report import interval
from hrm_scale.evaluation.rollout import ModelOutputs
from hrm_scale.puzzles import Puzzle

if TYPE_CHECKING:
    from hrm_scale.evaluation.session import Session


class Measures(Observer):
    """Rows, and rows whose answer has each of the properties that the puzzle measures."""

    name = "paths"

    def __init__(self, puzzle: Puzzle, device: torch.device) -> None:
        self._puzzle, self._device = puzzle, device
        self._sums = [0] * (1 + len(puzzle.measured))

    @classmethod
    def make(cls, session: Session) -> Self | None:
        puzzle = session.meta.puzzle
        return cls(puzzle, session.device) if puzzle.measured else None

    def add(self, outputs: ModelOutputs) -> None:
        if not outputs.last:
            return
        scored = outputs.scored.cpu().numpy()
        inputs = outputs.query.data["inputs"].cpu().numpy()[scored]
        predictions = outputs.predictions.cpu().numpy()[scored]
        found = self._puzzle.measures(inputs, predictions)
        self._sums[0] += int(scored.sum())
        for number, name in enumerate(self._puzzle.measured, start=1):
            self._sums[number] += int(found[name].sum())

    def sums(self) -> dict[str, Tensor]:
        return {"paths": torch.tensor(self._sums, dtype=torch.float64, device=self._device)}

    def result(self, sums: dict[str, Tensor]) -> dict[str, Any]:
        """`count`, and of each property the number, the rate and its Wilson interval."""
        count, *numbers = (int(value) for value in sums["paths"])
        rates = (_rate(number, count) for number in numbers)
        return {"count": count, **dict(zip(self._puzzle.measured, rates, strict=True))}

    def render(self, result: dict[str, Any]) -> str:
        lines = [f"{self._puzzle.noun:31} {'rate':>15} {'95 % interval':>16}"]
        for name, label in reversed(list(self._puzzle.measured.items())):
            rate = result[name]
            between = interval(rate["low"], rate["high"])
            lines.append(f"{label:31} {rate['rate']:15.4f} {between:>16}")
        return "\n".join(lines)


def _rate(successes: int, count: int) -> dict[str, float]:
    low, high = wilson(successes, count)
    return {"number": successes, "rate": successes / max(count, 1), "low": low, "high": high}
