"""Counting what a model got right, beside what predicting nothing clever would get right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from hrm_scale.base.statistics import wilson
from hrm_scale.evaluation.observers.base import Observer
from hrm_scale.evaluation.report import interval
from hrm_scale.evaluation.rollout import ModelOutputs
from hrm_scale.models import Carry, Outputs, act_loss
from hrm_scale.models.losses import IGNORE_LABEL

if TYPE_CHECKING:
    from hrm_scale.evaluation.session import Session

BASELINES = {
    "all_pad": "all PAD",
    "most_frequent": "most frequent token",
    "copy_input": "copy of the input",
}
_METRICS = ("exact_accuracy", "accuracy", "q_halt_accuracy", "steps", "lm_loss", "q_halt_loss")


class Tally(Observer):
    """Sums over the last answers of rows, kept on the device; `result()` turns them into means.

    A row without a label (padding) counts nowhere. Accuracy is the mean over rows of the share of
    labelled cells that are right; exact accuracy is the share of rows with every one right.
    """

    name = "results"
    print_order = 0

    def __init__(self, vocab_size: int, pad_id: int, loss_type: str, device: torch.device) -> None:
        self.vocab_size, self.pad_id, self.loss_type = vocab_size, pad_id, loss_type
        sizes = {**dict.fromkeys(("count", *_METRICS, "copy_share", "copy_exact"), ())}
        each = ("constant_share", "constant_exact", "constant_cells")
        self._sums = {
            name: torch.zeros(size, dtype=torch.float64, device=device)
            for name, size in {**sizes, **dict.fromkeys(each, (vocab_size,))}.items()
        }

    @classmethod
    def make(cls, session: Session) -> Self:
        vocab_size, loss_type = session.meta.vocab_size, session.restored.run.arch.loss.loss_type
        return cls(vocab_size, session.meta.pad_id, loss_type, session.device)

    def add(self, outputs: ModelOutputs) -> None:
        if not outputs.last:
            return
        data = outputs.query.data
        inputs, labels = data["inputs"], data["labels"]
        # As the loss of an ACT step: every row has halted here.
        halted = torch.ones_like(outputs.steps, dtype=torch.bool)
        final = Outputs(outputs.logits, outputs.q_halt, outputs.q_continue, None)
        _, metrics = act_loss(final, Carry((), outputs.steps, halted, data), self.loss_type)
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
        metrics["accuracy"] = outputs.share.double().sum()
        for name in ("count", *_METRICS):
            self._count(name, metrics[name])

    def _count(self, name: str, value: Tensor) -> None:
        self._sums[name] += value

    def sums(self) -> dict[str, Tensor]:
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

    def render(self, result: Mapping[str, float]) -> str:
        """Exact accuracy first, the baselines of the same rows below it."""
        if not result["count"]:
            return "no example has a label: nothing to evaluate"
        lines = [f"{'':31} {'exact accuracy':>15} {'95 % interval':>16} {'cell accuracy':>15}"]
        between = interval(*_exact_interval(result))
        exact, cells = result["exact_accuracy"], result["accuracy"]
        lines.append(f"{'model':31} {exact:15.4f} {between:>16} {cells:15.4f}")
        for key, name in BASELINES.items():
            exact = result[f"baseline/{key}/exact_accuracy"]
            cells = result[f"baseline/{key}/accuracy"]
            lines.append(f"{'baseline: ' + name:31} {exact:15.4f} {'':16} {cells:15.4f}")
        lines += [
            "",
            f"q-halt accuracy  {result['q_halt_accuracy']:.4f}",
            f"mean steps       {result['steps']:.2f}",
            f"lm loss          {result['lm_loss']:.4f}",
        ]
        return "\n".join(lines)

    def document(self, result: Mapping[str, float]) -> dict[str, Any]:
        entries: dict[str, Any] = {"results": result}
        return entries | ({"exact_interval": _exact_interval(result)} if result["count"] else {})


def _exact_interval(result: Mapping[str, float]) -> tuple[float, float]:
    count = int(result["count"])
    return wilson(round(result["exact_accuracy"] * count), count)


def best_baseline(results: Mapping[str, float]) -> float:
    """Exact accuracy of the best of the trivial baselines."""
    return max(results[f"baseline/{key}/exact_accuracy"] for key in BASELINES)
