"""Token losses, and the loss and metrics of one ACT step, all as sums over rows."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from hrm_scale.models.act import Carry, Outputs

IGNORE_LABEL = -100


def log_stablemax(logits: Tensor) -> Tensor:
    """log(s(x) / sum s(x)) over the last axis, in float64; s(x) = x + 1 or, below 0, 1 / (1 - x).

    Source: stablemax (arXiv 2501.04697). Each branch sees only its own side of zero, so that the
    branch not taken cannot put a NaN into the gradient (1 / (1 - x) has a pole at x = 1).
    """
    x = logits.to(torch.float64)
    scores = torch.where(x < 0, 1 / (1 - x.clamp(max=0)), x.clamp(min=0) + 1)
    return torch.log(scores) - torch.log(scores.sum(-1, keepdim=True))


def stablemax_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Token losses [B, S] in float64 of logits [B, S, V]; 0 where the label is ignored."""
    keep = labels != IGNORE_LABEL
    chosen = torch.where(keep, labels, 0).long().unsqueeze(-1)
    return torch.where(keep, -log_stablemax(logits).gather(-1, chosen).squeeze(-1), 0.0)


def softmax_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Token losses [B, S] in float32 of logits [B, S, V]; 0 where the label is ignored."""
    flat = F.cross_entropy(
        logits.float().flatten(0, -2),
        labels.long().flatten(),
        ignore_index=IGNORE_LABEL,
        reduction="none",
    )
    return flat.view(labels.shape)


TOKEN_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "stablemax_cross_entropy": stablemax_cross_entropy,
    "softmax_cross_entropy": softmax_cross_entropy,
}


def act_loss(outputs: Outputs, carry: Carry, loss_type: str) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and metrics of one ACT step (HRM, arXiv 2506.21734, "Adaptive computational time").

    Returns the loss summed over all rows, halted or not, and the metrics as sums: `count`,
    `accuracy`, `exact_accuracy`, `q_halt_accuracy` and `steps` over the rows that halted after
    this step and have a label; `lm_loss`, `q_halt_loss` and `q_continue_loss` over all rows.
    """
    labels = carry.data["labels"]
    labelled = labels != IGNORE_LABEL
    counts = labelled.sum(-1)
    per_token = TOKEN_LOSSES[loss_type](outputs.logits, labels)
    lm_loss = (per_token.sum(-1) / counts.clamp(min=1)).sum()

    with torch.no_grad():
        right = labelled & (outputs.logits.argmax(-1) == labels)
        solved = right.sum(-1) == counts
        scored = carry.halted & (counts > 0)
        share = right.sum(-1).float() / counts.clamp(min=1)
        metrics = {
            "count": scored.sum(),
            "accuracy": torch.where(scored, share, 0.0).sum(),
            "exact_accuracy": (scored & solved).sum(),
            "q_halt_accuracy": (scored & ((outputs.q_halt_logits >= 0) == solved)).sum(),
            "steps": torch.where(scored, carry.steps, 0).sum(),
        }

    q_halt_loss = F.binary_cross_entropy_with_logits(
        outputs.q_halt_logits, solved.to(outputs.q_halt_logits.dtype), reduction="sum"
    )
    metrics["lm_loss"] = lm_loss.detach()
    metrics["q_halt_loss"] = q_halt_loss.detach()
    q_loss = q_halt_loss
    if outputs.target_q_continue is not None:
        q_continue_loss = F.binary_cross_entropy_with_logits(
            outputs.q_continue_logits, outputs.target_q_continue, reduction="sum"
        )
        metrics["q_continue_loss"] = q_continue_loss.detach()
        q_loss = q_loss + q_continue_loss
    return lm_loss + 0.5 * q_loss, metrics
