"""Adaptive computation time: the carry between steps, halting, and the model that runs one step.

A row of the batch is a *slot*. A slot works on one example for up to `halt_max_steps` optimizer
steps; when it has halted it takes a new example. What it remembers in between is the carry.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hrm_scale.models.config import ModelConfig
from hrm_scale.models.noise import cut_normal
from hrm_scale.models.recursion import Cycles, full_depth


@dataclass(frozen=True)
class Carry:
    """State of B slots between two ACT steps.

    `z`: one latent state [B, T, D] a level, in the forward dtype. `steps` int32 [B]: ACT steps done
    on the present example. `halted` bool [B]: the slot is free. `data`: what the slots work on:
    `inputs`, `labels` int32 [B, S], `puzzle_identifiers` int32 [B].
    """

    z: tuple[Tensor, ...]
    steps: Tensor
    halted: Tensor
    data: dict[str, Tensor]


class Draws(NamedTuple):
    """Random numbers of one training step: `rand` float32 [B] uniform in [0, 1), `randint` int32
    [B] uniform in 2..halt_max_steps, and `keys` int64 [B] of the noise, for models that have any.
    They are arguments so that a step is a pure function."""

    rand: Tensor
    randint: Tensor
    keys: Tensor | None = None


class Outputs(NamedTuple):
    """What one ACT step says: `logits` [B, S, V]; the rest fp32 [B].

    `target_q_continue` exists in training with ACT and q_continue=bootstrap only.
    """

    logits: Tensor
    q_halt_logits: Tensor
    q_continue_logits: Tensor
    target_q_continue: Tensor | None

    def detach(self) -> Outputs:
        """The same numbers without their graph."""
        return Outputs(
            self.logits.detach(),
            self.q_halt_logits.detach(),
            self.q_continue_logits.detach(),
            self.target_q_continue,
        )


@dataclass
class Noise:
    """Where the noise of a training step comes from: keys int64 [B], and how often it was drawn."""

    keys: Tensor
    drawn: int = 0


class Core(nn.Module, ABC):
    """The network under the ACT wrapper: one reasoning step on latent states.

    Its weights are cast once a step (`cast`) and handed to every other method as `w`.
    """

    @abstractmethod
    def initial(self) -> tuple[Tensor, ...]:
        """The state of a fresh slot: [D] for each level, broadcast over positions."""

    @abstractmethod
    def cast(self) -> Any:
        """All weights in the forward dtype."""

    @abstractmethod
    def embed(self, w: Any, inputs: Tensor, puzzle_vectors: Tensor | None) -> Tensor:
        """Input embedding [B, T, D] of inputs [B, S] and puzzle vectors [B, E]."""

    @abstractmethod
    def reason(
        self,
        w: Any,
        z: tuple[Tensor, ...],
        embedding: Tensor,
        cycles: Cycles,
        noise: Noise | None = None,
    ) -> tuple[Tensor, ...]:
        """The states [B, T, D] after one reasoning step of `cycles`."""

    @abstractmethod
    def logits(self, w: Any, z: tuple[Tensor, ...]) -> Tensor:
        """Logits [B, S, V] of the answer."""

    @abstractmethod
    def q_values(self, w: Any, z: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Values of halting and of continuing, fp32 [B] each."""


def refill(carry: Carry, batch: dict[str, Tensor]) -> Carry:
    """Give every free slot its row of `batch`; other slots keep their data. `halted` stays as the
    mark of slots whose latent state the next step resets."""
    free = carry.halted
    data = {
        name: torch.where(free.view(-1, *[1] * (old.ndim - 1)), batch[name], old)
        for name, old in carry.data.items()
    }
    return replace(carry, steps=torch.where(free, 0, carry.steps), data=data)


def wants_to_halt(config: ModelConfig, q_halt: Tensor, q_continue: Tensor) -> Tensor:
    """Rows bool [B] that would halt by their values. Without the value of going on, a value above 0
    (more likely right than wrong) is enough (TRM, arXiv 2510.04871)."""
    return q_halt > (0 if config.q_continue == "none" else q_continue)


def random_states(config: ModelConfig, keys: Tensor, levels: int) -> tuple[Tensor, ...]:
    """A random start state [B, T, D] of each level, in the forward dtype, for keys int64 [B]."""
    shape = (config.total_len, config.hidden_size)
    return tuple(
        cut_normal(keys, -1 - level, shape).to(config.forward_dtype) for level in range(levels)
    )


class ActModel(nn.Module):
    """One ACT step of a recursive reasoning model, in training or evaluation."""

    def __init__(self, config: ModelConfig, inner: Core) -> None:
        super().__init__()
        self.config = config
        self.inner = inner

    def initial_carry(self, batch: dict[str, Tensor]) -> Carry:
        """A carry of free slots, as many as `batch` has rows, on the batch's device."""
        rows, device = batch["inputs"].shape[0], batch["inputs"].device
        shape = (rows, self.config.total_len, self.config.hidden_size)
        levels = len(self.inner.initial())
        return Carry(
            z=tuple(
                torch.zeros(shape, dtype=self.config.forward_dtype, device=device)
                for _ in range(levels)
            ),
            steps=torch.zeros(rows, dtype=torch.int32, device=device),
            halted=torch.ones(rows, dtype=torch.bool, device=device),
            data={name: torch.zeros_like(value) for name, value in batch.items()},
        )

    def forward(
        self,
        carry: Carry,
        puzzle_vectors: Tensor | None,
        draws: Draws | None = None,
        cycles: Cycles | None = None,
    ) -> tuple[Carry, Outputs]:
        """Run one ACT step on a refilled carry.

        `puzzle_vectors` [B, E] are the embeddings of the slots' puzzles (None when E is 0).
        `draws` is needed in training with ACT or noise. `cycles` is the depth, the full one by
        default. Returns the detached new carry and the outputs.
        """
        config, core = self.config, self.inner
        cycles = cycles or full_depth(config)
        noise = self._noise(draws)
        w = core.cast()
        reset = carry.halted.view(-1, 1, 1)
        z = tuple(
            torch.where(reset, start, state)
            for start, state in zip(self._starts(carry, noise), carry.z, strict=True)
        )
        embedding = core.embed(w, carry.data["inputs"], puzzle_vectors)
        z = core.reason(w, z, embedding, cycles, noise)
        logits = core.logits(w, z)
        q_halt, q_continue = core.q_values(w, z)
        z = tuple(state.detach() for state in z)

        with torch.no_grad():
            steps = carry.steps + 1
            last = steps >= config.halt_max_steps
            halted, target = last, None
            if self.training and config.halt_max_steps > 1 and config.act_enabled:
                if draws is None:
                    raise ValueError("training with ACT needs the exploration draws of the step")
                halted = last | wants_to_halt(config, q_halt, q_continue)
                explore = draws.rand < config.halt_exploration_prob
                halted = halted & (steps >= torch.where(explore, draws.randint, 0))
                if config.bootstraps:
                    # Target of Q-learning: the value of one more step from the new state.
                    ahead = core.reason(w, z, embedding, cycles, noise)
                    next_halt, next_continue = core.q_values(w, ahead)
                    best = torch.where(last, next_halt, torch.maximum(next_halt, next_continue))
                    target = torch.sigmoid(best)
        new_carry = Carry(z=z, steps=steps, halted=halted, data=carry.data)
        return new_carry, Outputs(logits, q_halt, q_continue, target)

    def _noise(self, draws: Draws | None) -> Noise | None:
        """The step's noise; none in evaluation, whose answers must not depend on chance."""
        config = self.config
        if not self.training or not (config.random_init or config.noise_scale):
            return None
        if draws is None or draws.keys is None:
            raise ValueError("training with noise needs the keys of the step's draws")
        return Noise(draws.keys)

    def _starts(self, carry: Carry, noise: Noise | None) -> tuple[Tensor, ...]:
        """The state of a fresh slot at each level, to be broadcast over slots and positions."""
        config, starts = self.config, self.inner.initial()
        if not config.random_init:
            return starts
        # In evaluation every slot starts from the same draw.
        keys = noise.keys if noise else carry.steps.new_zeros(1, dtype=torch.int64)
        return random_states(config, keys, len(starts))
