"""Accuracy against the number of ACT steps, all numbers from one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hrm_scale.base.statistics import exact_row
from hrm_scale.evaluation.rollout import Answers

_COLUMNS = ("count", "exact", "share", "q_right")


class StepCounts:
    """Sums over rows after each number of steps in `at`, as float64 [len(at), 4] on the device."""

    def __init__(self, at: Sequence[int], device: torch.device) -> None:
        self._rows = {step: number for number, step in enumerate(at)}
        self._sums = torch.zeros(len(at), len(_COLUMNS), dtype=torch.float64, device=device)

    def add(self, answers: Answers) -> None:
        """Count rows that have all done the same number of steps, where it is one of `at`."""
        number = self._rows.get(int(answers.steps[0]))
        if number is None:
            return
        scored, solved = answers.scored, answers.solved
        sums = torch.stack(
            (
                scored.sum(),
                solved.sum(),
                answers.share.double().sum(),
                (scored & ((answers.q_halt >= 0) == solved)).sum(),
            )
        )
        self._sums[number] += sums

    def sums(self) -> dict[str, Tensor]:
        """The raw sums, for adding over ranks."""
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
