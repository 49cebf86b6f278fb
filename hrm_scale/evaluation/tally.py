"""Counting what a model got right, beside what predicting nothing clever would get right."""

from __future__ import annotations

import torch
from torch import Tensor

from hrm_scale.evaluation.rollout import Answers
from hrm_scale.models import Carry, Outputs, act_loss
from hrm_scale.models.losses import IGNORE_LABEL

_METRICS = ("exact_accuracy", "accuracy", "q_halt_accuracy", "steps", "lm_loss", "q_halt_loss")


class Tally:
    """Sums over the last answers of rows, kept on the device; `result()` turns them into means.

    A row without a label (padding) counts nowhere. Accuracy is the mean over rows of the share of
    labelled cells that are right; exact accuracy is the share of rows with every one right.
    """

    def __init__(self, vocab_size: int, pad_id: int, loss_type: str, device: torch.device) -> None:
        self.vocab_size, self.pad_id, self.loss_type = vocab_size, pad_id, loss_type
        sizes = {**dict.fromkeys(("count", *_METRICS, "copy_share", "copy_exact"), ())}
        each = ("constant_share", "constant_exact", "constant_cells")
        self._sums = {
            name: torch.zeros(size, dtype=torch.float64, device=device)
            for name, size in {**sizes, **dict.fromkeys(each, (vocab_size,))}.items()
        }

    def add(self, answers: Answers) -> None:
        """Count the rows of which these are the last answers."""
        if not answers.last:
            return
        data = answers.asked.data
        inputs, labels = data["inputs"], data["labels"]
        # As the loss of an ACT step: every row has halted here.
        halted = torch.ones_like(answers.steps, dtype=torch.bool)
        outputs = Outputs(answers.logits, answers.q_halt, answers.q_continue, None)
        _, metrics = act_loss(outputs, Carry((), answers.steps, halted, data), self.loss_type)
        labelled = labels != IGNORE_LABEL
        counts = labelled.sum(-1)
        scored = counts > 0
        # One row of shares a token: what predicting that token everywhere would get.
        tokens = torch.arange(self.vocab_size, device=labels.device).view(-1, 1, 1)
        hits = ((labels == tokens) & labelled).sum(-1)
        shares = torch.where(scored, hits / counts.clamp(min=1), 0.0)
        copied = (labelled & (inputs == labels)).sum(-1)
        self._count("constant_share", shares.double().sum(-1))
        self._count("constant_exact", ((hits == counts) & scored).sum(-1))
        self._count("constant_cells", hits.sum(-1))
        self._count("copy_share", (copied / counts.clamp(min=1) * scored).double().sum())
        self._count("copy_exact", ((copied == counts) & scored).sum())
        # In double precision these sums are exact, so they do not depend on the order of rows.
        metrics["accuracy"] = answers.share.double().sum()
        for name in ("count", *_METRICS):
            self._count(name, metrics[name])

    def _count(self, name: str, value: Tensor) -> None:
        self._sums[name] += value

    def sums(self) -> dict[str, Tensor]:
        """The raw sums, for adding over ranks."""
        return self._sums

    def result(self, sums: dict[str, Tensor] | None = None) -> dict[str, float]:
        """Means by name: the metrics, then `baseline/{all_pad,most_frequent,copy_input}/…`."""
        sums = self._sums if sums is None else sums
        count = int(sums["count"])
        if count == 0:
            return {"count": 0.0}
        means = {name: float(sums[name]) / count for name in _METRICS}
        frequent = int(sums["constant_cells"].argmax())
        for baseline, token in (("all_pad", self.pad_id), ("most_frequent", frequent)):
            exact, share = sums["constant_exact"][token], sums["constant_share"][token]
            means[f"baseline/{baseline}/exact_accuracy"] = float(exact) / count
            means[f"baseline/{baseline}/accuracy"] = float(share) / count
        means["baseline/copy_input/exact_accuracy"] = float(sums["copy_exact"]) / count
        means["baseline/copy_input/accuracy"] = float(sums["copy_share"]) / count
        return {"count": float(count), **means}
