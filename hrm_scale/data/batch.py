"""Batches as the trainer takes them: int32 arrays, ignored labels as -100."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hrm_scale.data.buffers import BufferPool
from hrm_scale.data.format import IGNORE_LABEL, DatasetMeta


class Batch(NamedTuple):
    """inputs [b, S], labels [b, S] (ignored ones are -100), puzzle_identifiers [b]; int32."""

    inputs: np.ndarray
    labels: np.ndarray
    puzzle_identifiers: np.ndarray


class EvalBatch(NamedTuple):
    """batch: of the rank's fixed local size, padded at the end of the data.

    rows: real rows in the global batch. index: int64 [b], example number in the split, or -1
    (it hides `tuple.index`, which nobody calls on a batch).
    """

    batch: Batch
    rows: int
    index: np.ndarray  # type: ignore[assignment]


def widen(
    inputs: np.ndarray,
    labels: np.ndarray,
    identifiers: np.ndarray,
    meta: DatasetMeta,
    masked: np.ndarray | None = None,
    pool: BufferPool | None = None,
) -> Batch:
    """uint8 rows as a batch; `masked` rows (bool [b]) become padding that no loss counts."""
    pool = pool or BufferPool()
    wide_inputs, wide_labels = pool.empty((2, *inputs.shape), np.int32)
    np.copyto(wide_inputs, inputs)
    np.copyto(wide_labels, labels)
    ignored = meta.ignore_label_id
    # 0 is the usual one, and a minimum is far cheaper than the comparison it spares.
    if ignored is not None and labels.size and not (ignored == 0 and labels.min() > 0):
        np.copyto(wide_labels, IGNORE_LABEL, where=labels == ignored)
    if masked is not None:
        wide_inputs[masked] = meta.pad_id
        wide_labels[masked] = IGNORE_LABEL
        identifiers[masked] = meta.blank_identifier_id
    return Batch(wide_inputs, wide_labels, identifiers)
