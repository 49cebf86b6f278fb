"""Accuracy against the number of ACT steps, all numbers from one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from hrm_scale.base.statistics import exact_row
from hrm_scale.evaluation.files import OutputFiles
from hrm_scale.evaluation.observers.base import Observer
from hrm_scale.evaluation.plots import plot_steps
from hrm_scale.evaluation.report import rates_table
from hrm_scale.evaluation.rollout import ModelOutputs

if TYPE_CHECKING:
    from hrm_scale.evaluation.session import Session

_COLUMNS = ("count", "exact", "share", "q_right")


class StepCounts(Observer):
    """Sums over rows after each number of steps in `at`, as float64 [len(at), 4] on the device."""

    name = "steps"
    print_order = 3

    def __init__(self, at: Sequence[int], device: torch.device) -> None:
        self._rows = {step: number for number, step in enumerate(at)}
        self._sums = torch.zeros(len(at), len(_COLUMNS), dtype=torch.float64, device=device)

    @classmethod
    def make(cls, session: Session) -> Self | None:
        steps = session.report_steps
        return cls(steps, session.device) if steps else None

    def add(self, outputs: ModelOutputs) -> None:
        """Count rows that have all done the same number of steps, where it is one of `at`."""
        number = self._rows.get(int(outputs.steps[0]))
        if number is None:
            return
        scored, solved = outputs.scored, outputs.solved
        sums = torch.stack(
            (
                scored.sum(),
                solved.sum(),
                outputs.share.double().sum(),
                (scored & ((outputs.q_halt >= 0) == solved)).sum(),
            )
        )
        self._sums[number] += sums

    def sums(self) -> dict[str, Tensor]:
        return {"steps": self._sums}

    def result(self, sums: dict[str, Tensor]) -> list[dict[str, Any]]:
        """A row for each number of steps, with the Wilson interval of exact accuracy."""
        rows = []
        for step, number in self._rows.items():
            count, exact, share, right = sums["steps"][number].tolist()
            rows.append(
                {
                    "steps": step,
                    **exact_row(int(exact), int(count)),
                    "accuracy": share / max(count, 1),
                    "q_halt_accuracy": right / max(count, 1),
                }
            )
        return rows

    def render(self, result: list[dict[str, Any]]) -> str:
        return rates_table("ACT steps", [{**row, "name": row["steps"]} for row in result])

    def write(self, result: list[dict[str, Any]], files: OutputFiles) -> None:
        files.csv("steps.csv", result)
        files.plot("steps.png", plot_steps, result)
