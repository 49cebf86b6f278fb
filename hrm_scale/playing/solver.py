"""Running the model for a page: one step after the other, and only for the newest question."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from hrm_scale.evaluation.restore import Restored
from hrm_scale.models.act import wants_to_halt


@dataclass(frozen=True)
class Step:
    """The answer after `number` ACT steps: tokens uint8 [S] and how probable each is, float32 [S].

    sure: sigmoid of the halt head. halts: would the model stop here?
    """

    number: int
    tokens: np.ndarray
    probability: np.ndarray
    sure: float
    halts: bool


class Solver:
    """Answers one question at a time; a new one ends the one before. Thread safe."""

    def __init__(self, restored: Restored) -> None:
        self._restored = restored
        self._model, self._turns = threading.Lock(), threading.Lock()
        self._newest = 0

    def solve(self, tokens: np.ndarray, identifier: int, steps: int, path: int) -> Iterator[Step]:
        """The answers to tokens uint8 [S] after 1 ... `steps` steps, each computed when asked for.

        path 0 begins as the model was trained to, others at a random state of that number (EqR,
        arXiv 2605.21488). It ends early when another question comes.
        """
        return self._steps(self._take_turn(), tokens, identifier, steps, path)

    def close(self) -> None:
        """End what is being solved, and wait until nothing computes."""
        self._take_turn()
        with self._model:
            pass

    def _take_turn(self) -> int:
        with self._turns:
            self._newest += 1
            return self._newest

    def _steps(
        self, turn: int, tokens: np.ndarray, identifier: int, steps: int, path: int
    ) -> Iterator[Step]:
        restored, reasoner = self._restored, self._restored.reasoner
        inputs = torch.from_numpy(tokens.astype(np.int32)[None]).to(restored.device)
        asked = torch.tensor([identifier], dtype=torch.int32, device=restored.device)
        z: tuple[torch.Tensor, ...] = ()
        for number in range(1, steps + 1):
            # Held for one step only: a browser that reads slowly must not keep others waiting.
            with self._model:
                if turn != self._newest:
                    return
                if number == 1:
                    vectors = restored.table.lookup(asked) if restored.table else None
                    embedding = reasoner.embed(inputs, vectors)
                    z = reasoner.start(1, restored.device)
                    if path:
                        z = reasoner.random_start(torch.tensor([path], device=restored.device))
                z = reasoner.step(z, embedding)
                step = self._read(number, z)
            yield step

    def _read(self, number: int, z: tuple[torch.Tensor, ...]) -> Step:
        reasoner = self._restored.reasoner
        probability, tokens = reasoner.logits(z)[0].float().softmax(-1).max(-1)
        values = reasoner.q_values(z)
        return Step(
            number,
            tokens.cpu().numpy().astype(np.uint8),
            probability.cpu().numpy(),
            float(values[0].sigmoid()),
            bool(wants_to_halt(reasoner.config, *values)),
        )
