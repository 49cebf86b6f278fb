"""How often a reasoning step applies what: the schedule of each architecture, in numbers."""

from __future__ import annotations

from typing import NamedTuple

from hrm_scale.models.config import ModelConfig


class Cycles(NamedTuple):
    """High-level cycles of a reasoning step, and low-level steps in each."""

    H: int
    L: int


class Passes(NamedTuple):
    """Applications of a stack of `blocks` blocks in one reasoning step: `free` of them without a
    gradient, `with_grad` with one."""

    blocks: int
    free: int
    with_grad: int


def full_depth(config: ModelConfig) -> Cycles:
    """The cycles of every step but those of a depth curriculum."""
    return Cycles(config.H_cycles, config.L_cycles)


def grad_steps(config: ModelConfig, cycles: Cycles) -> int:
    """Low-level steps of the last high-level cycle that keep a gradient."""
    return cycles.L if config.grad_cycles is None else min(config.grad_cycles, cycles.L)


def latent_states(config: ModelConfig) -> int:
    """Latent states [B, T, D] that a slot carries."""
    return 2 if config.name in ("hrm_v1", "trm") else 1


def passes(config: ModelConfig, cycles: Cycles | None = None) -> tuple[Passes, ...]:
    """What one reasoning step applies, at full depth or with other `cycles`."""
    cycles = cycles or full_depth(config)
    steps_with_grad = grad_steps(config, cycles)
    low = cycles.H * cycles.L
    if config.name == "hrm_v2":
        return (Passes(config.H_layers, 0, 1),)
    if config.name == "urm":
        return (Passes(config.L_layers, low - steps_with_grad, steps_with_grad),)
    if config.name == "trm":
        return (Passes(config.L_layers, low - steps_with_grad + cycles.H - 1, steps_with_grad + 1),)
    return (
        Passes(config.L_layers, low - steps_with_grad, steps_with_grad),
        Passes(config.H_layers, cycles.H - 1, 1),
    )


# From which share of a run on so many thirds of the cycles are used, and for what share.
STAGES = ((0.0, 1, 0.3), (0.3, 2, 0.3), (0.6, 3, 0.4))


def curriculum_cycles(config: ModelConfig, progress: float) -> Cycles:
    """Cycles at `progress` (0 to 1) of a run: a third of them, then two thirds, then all.

    The stages of CGAR (arXiv 2511.08653, "progressive depth curriculum"): (2, 1), (4, 2) and (6, 3)
    low-level steps and high-level cycles for a full depth of (6, 3), from 0, 30 and 60 %.
    """
    thirds = max(thirds for start, thirds, _ in STAGES if start <= progress)
    return Cycles(-(-config.H_cycles * thirds // 3), -(-config.L_cycles * thirds // 3))
