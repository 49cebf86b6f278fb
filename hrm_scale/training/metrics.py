"""Metric sums of a step, reduced over ranks and turned into what is logged."""

from __future__ import annotations

import torch
from torch import Tensor

from hrm_scale.engine import Engine


def reduced_metrics(
    engine: Engine, sums: dict[str, Tensor], global_batch_size: int, lr: float
) -> dict[str, float]:
    """What the training loop logs for one step, under the reference's names.

    Losses are means over all rows of the global batch; everything else is a mean over the rows
    that halted, so that `train/count` itself is 1, or 0 when no row did. One packed all-reduce and
    one transfer to the host: call it on logging steps only.
    """
    names = sorted(sums)
    packed = torch.stack([sums[name].to(torch.float64) for name in names])
    values = dict(zip(names, engine.sum(packed).tolist(), strict=True))
    halted = max(values["count"], 1.0)
    logged = {
        f"train/{name}": value / (global_batch_size if name.endswith("loss") else halted)
        for name, value in values.items()
    }
    logged["train/lr"] = lr
    return logged
