"""Muon for the matrices of the blocks, AdamATan2 for everything else, as one optimizer.

Muon (Jordan 2024) replaces the momentum of a matrix by the nearest matrix whose singular values are
all about one, found by five Newton-Schulz iterations. Its update is scaled by 0.2 sqrt(max(A, B))
for a matrix [A, B] (Liu et al., arXiv 2502.16982, sec. 2.2): the root mean square is then that of
Adam's updates, and one learning rate and weight decay serve both parts.

The fused matrices (q, k and v; gate and up) are each orthogonalised as one. Cut into parts, the
momentum would belong to slices and no longer to parameters, which is how it is saved and resumed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from hrm_scale.base.errors import ConfigError, EnvironmentProblem
from hrm_scale.optim.adam_atan2 import make_adam_atan2

_MATRIX = re.compile(r"(^|\.)(qkv|o|gate_up|down)_proj\.weight$")


def is_matrix(name: str, parameter: Tensor) -> bool:
    """Whether Muon updates this parameter: a 2-D weight inside a block, of any level.

    Embeddings and heads are 2-D too, but theirs are rows of a table, which are not mixed.
    """
    return parameter.ndim == 2 and _MATRIX.search(name) is not None


class MuonAndAdamATan2(Optimizer):
    """`torch.optim.Muon` for what `is_matrix` names, AdamATan2 for the rest.

    `param_groups` are first Muon's, then AdamATan2's; every group's `lr` is the same base rate.
    State per parameter: Muon's `momentum_buffer`, or AdamATan2's `step`, `exp_avg`, `exp_avg_sq`.

    Raises EnvironmentProblem where torch has no Muon, and ConfigError for a model without matrices.
    """

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, Tensor]],
        device: torch.device,
        *,
        betas: tuple[float, float],
        weight_decay: float,
    ) -> None:
        require_muon()
        matrices: list[Tensor] = []
        others: list[Tensor] = []
        for name, parameter in named_parameters:
            (matrices if is_matrix(name, parameter) else others).append(parameter)
        if not matrices or not others:
            raise ConfigError(
                f"optimizer=muon: the model has {len(matrices)} matrices in blocks and"
                f" {len(others)} other parameters, it needs both; type optimizer=adam_atan2"
            )
        self._muon: Optimizer = torch.optim.Muon(
            matrices, lr=0.0, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
        )
        self._rest = make_adam_atan2(others, device, betas, weight_decay)
        # A group that the parts have filled in: adding it here changes nothing in it.
        super().__init__([*self._muon.param_groups, *self._rest.param_groups], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        # Shared anew at each step: whoever loads a state may have put other containers here.
        first: list[dict[str, Any]] = [g for g in self.param_groups if "ns_steps" in g]
        rest: list[dict[str, Any]] = [g for g in self.param_groups if "ns_steps" not in g]
        for part, groups in ((self._muon, first), (self._rest, rest)):
            part.state, part.param_groups = self.state, groups
            part.step()
        return loss


def require_muon() -> None:
    """Raise EnvironmentProblem where this torch has no Muon."""
    if not hasattr(torch.optim, "Muon"):
        raise EnvironmentProblem(
            f"optimizer=muon: torch {torch.__version__} has no torch.optim.Muon; install torch 2.9"
            " or later, or type optimizer=adam_atan2"
        )
