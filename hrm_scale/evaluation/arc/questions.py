"""The rows of ARC tasks that an evaluation computes, and who computes which."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hrm_scale.base.counter import SUBSET, make_key, permutation
from hrm_scale.data import EvalBatch
from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.data.read.batch import make_batch
from hrm_scale.evaluation.arc.rows import ArcRows


def chosen_rows(rows: ArcRows, limit: int | None, seed: int) -> np.ndarray | None:
    """Numbers of a seeded subset of rows, ascending; None for all of them."""
    if limit is None or limit >= len(rows):
        return None
    return np.sort(permutation(make_key(SUBSET, seed), len(rows))[:limit])


def arc_questions(
    rows: ArcRows,
    chosen: np.ndarray | None,
    meta: DatasetMeta,
    batch_size: int,
    rank: int,
    ranks: int,
) -> Iterator[EvalBatch]:
    """This rank's stretch of the rows, in batches of its share of `batch_size`; so all rows of a
    task but those at the border of two ranks come to one rank."""
    total = len(rows) if chosen is None else len(chosen)
    local = -(-batch_size // ranks)
    stretch = -(-total // ranks)
    low, high = min(rank * stretch, total), min((rank + 1) * stretch, total)
    for start in range(0, stretch, local):
        at = np.arange(min(low + start, high), min(low + start + local, high))
        index = np.full(local, -1, np.int64)
        index[: len(at)] = at if chosen is None else chosen[at]
        inputs = np.zeros((local, meta.seq_len), np.uint8)
        labels = np.zeros((local, meta.seq_len), np.uint8)
        identifiers = np.zeros(local, np.int32)
        if len(at):
            inputs[: len(at)], labels[: len(at)], identifiers[: len(at)] = rows.read(
                index[: len(at)]
            )
        batch = make_batch(inputs, labels, identifiers, meta, index < 0)
        yield EvalBatch(batch, min(len(at) * ranks, total), index)
