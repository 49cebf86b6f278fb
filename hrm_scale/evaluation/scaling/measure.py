"""Exact accuracy against ACT steps and trajectories, all cells from one pass over the puzzles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hrm_scale.base.statistics import exact_row
from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.evaluation.files import OutputFiles
from hrm_scale.evaluation.observers.base import Metric
from hrm_scale.evaluation.plots import plot_scaling
from hrm_scale.evaluation.rollout import Query
from hrm_scale.evaluation.scaling.selection import METHODS, right_by_method, same_answers
from hrm_scale.evaluation.scaling.table import render_scaling
from hrm_scale.evaluation.scaling.trajectories import Variety, follow
from hrm_scale.models.flops import head_flops, reasoning_flops
from hrm_scale.models.inference import Reasoner
from hrm_scale.models.losses import IGNORE_LABEL


class Scaling(Metric):
    """Counts puzzles solved after each number of `steps`, with the first of each number of
    `trajectories`, by each way to choose an answer.

    The counts do not depend on batches and ranks (but for rounding inside the model, which may
    depend on the shape of a batch). No more than `rows_at_once` rows are computed at a time.
    """

    name = "scaling"

    def __init__(
        self,
        meta: DatasetMeta,
        reasoner: Reasoner,
        steps: Sequence[int],
        trajectories: Sequence[int],
        *,
        noise: float,
        random_start: bool,
        seed: int,
        rows_at_once: int,
    ) -> None:
        self.steps, self.trajectories = sorted(set(steps)), sorted(set(trajectories))
        self._meta, self._reasoner = meta, reasoner
        self._variety = Variety(noise, random_start, seed)
        self._most_rows = rows_at_once
        self._device = torch.device("cpu")
        self._puzzles = 0
        shape = (len(self.steps), len(self.trajectories), len(METHODS))
        self._right = np.zeros(shape, np.int64)

    def run(self, query: Query) -> None:
        """Reason about the puzzles, and count them; rows without a label count nowhere."""
        each = max(1, self._most_rows // self.trajectories[-1])
        self._device = query.data["inputs"].device
        labelled = (query.data["labels"] != IGNORE_LABEL).any(dim=1)
        for start in range(0, len(query), each):
            part = slice(start, start + each)
            if labelled[part].any():
                self._run(query, part)

    def sums(self) -> dict[str, Tensor]:
        sums = {
            "scaling_puzzles": torch.tensor(self._puzzles),
            "scaling_right": torch.from_numpy(self._right),
        }
        return {name: value.double().to(self._device) for name, value in sums.items()}

    def result(self, sums: dict[str, Tensor]) -> list[dict[str, Any]]:
        """A row for each number of steps and trajectories and each method, in this order.

        `method`, `trajectories`, `steps`, `count`, `exact`, `exact_accuracy` and its Wilson
        interval `low`, `high`; what it cost for a puzzle: `act_steps` and `flops`. With one
        trajectory there is nothing to choose: it has the method `first` alone.
        """
        count = int(sums["scaling_puzzles"])
        right = sums["scaling_right"].long().tolist()
        rows = []
        for steps, by_trajectories in zip(self.steps, right, strict=True):
            # The first trajectory is the same, however many there are.
            rows.append(self._row("first", 1, steps, count, by_trajectories[0][0]))
            for k, by_method in zip(self.trajectories, by_trajectories, strict=True):
                rows += [
                    self._row(method, k, steps, count, exact)
                    for method, exact in zip(METHODS[1:], by_method[1:], strict=True)
                    if k > 1 and (method != "rules" or self._meta.puzzle.has_rules)
                ]
        return rows

    def render(self, result: list[dict[str, Any]]) -> str:
        return render_scaling(result)

    def write(self, result: list[dict[str, Any]], files: OutputFiles) -> None:
        files.csv("scaling.csv", result)
        files.plot("scaling.png", plot_scaling, result)

    def _run(self, query: Query, part: slice) -> None:
        inputs = query.data["inputs"][part]
        vectors = None if query.vectors is None else query.vectors[part]
        embedding = self._reasoner.embed(inputs, vectors)
        most = self.trajectories[-1]
        keys = torch.from_numpy(self._variety.keys(query.numbers[part], most)).to(inputs.device)
        puzzle, trajectory = torch.meshgrid(
            *(torch.arange(size, device=inputs.device) for size in keys.shape), indexing="ij"
        )
        puzzle, plain = puzzle.flatten(), trajectory.flatten() == 0
        answers: list[list[Tensor]] = [[] for _ in self.steps]
        halting: list[list[Tensor]] = [[] for _ in self.steps]
        # More than one piece only when there are more trajectories than rows at once.
        for start in range(0, keys.numel(), self._most_rows):
            rows = slice(start, start + self._most_rows)
            path = follow(
                self._reasoner,
                embedding[puzzle[rows]],
                keys.flatten()[rows],
                plain[rows],
                self._variety,
                self.steps,
            )
            for number, (answer, q_halt) in enumerate(path):
                answers[number].append(answer)
                halting[number].append(q_halt)
        labels = query.data["labels"][part].cpu().numpy()
        scored = (labels != IGNORE_LABEL).any(axis=1)
        self._puzzles += int(scored.sum())
        questions = inputs.cpu().numpy().astype(np.uint8)[scored]
        for number in range(len(self.steps)):
            said = torch.cat(answers[number]).view(*keys.shape, -1).cpu().numpy()
            # A trajectory that has diverged is the least sure.
            q_halt = np.nan_to_num(torch.cat(halting[number]).double().cpu().numpy(), nan=-1e30)
            self._right[number] += self._count(
                questions, labels[scored], said[scored], q_halt.reshape(keys.shape)[scored]
            )

    def _count(
        self, inputs: np.ndarray, labels: np.ndarray, answers: np.ndarray, q_halt: np.ndarray
    ) -> np.ndarray:
        """Puzzles solved, int64 [trajectories, METHODS], of inputs, labels [n, S], answers
        [n, k, S] and values of halting [n, k]."""
        right = ((answers == labels[:, None]) | (labels == IGNORE_LABEL)[:, None]).all(axis=2)
        same = same_answers(answers)
        flat = answers.reshape(-1, answers.shape[2])
        puzzle = self._meta.puzzle
        obeying = None
        if puzzle.has_rules:
            obeying = puzzle.solved(np.repeat(inputs, answers.shape[1], axis=0), flat)
        if obeying is not None:
            obeying = obeying.reshape(right.shape)
        counts = np.zeros((len(self.trajectories), len(METHODS)), np.int64)
        for number, k in enumerate(self.trajectories):
            first = None if obeying is None else obeying[:, :k]
            by_method = right_by_method(right[:, :k], same[:, :k, :k], q_halt[:, :k], first)
            counts[number] = [solved.sum() for solved in by_method]
        return counts

    def _row(self, method: str, k: int, steps: int, count: int, exact: int) -> dict[str, Any]:
        config = self._reasoner.config
        return {
            "method": method,
            "trajectories": k,
            "steps": steps,
            **exact_row(exact, count),
            "act_steps": k * steps,
            "flops": k * (steps * reasoning_flops(config, 1) + head_flops(config, 1)),
        }
