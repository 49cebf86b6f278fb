"""Batches as the trainer takes them: int32 arrays, ignored labels as -100."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from hrm_scale.data.format.meta import IGNORE_LABEL, DatasetMeta
from hrm_scale.data.read.buffers import BufferPool

MOST_NARROW = 128
"""Vocabularies up to this size can travel as narrow batches: a label is then one signed byte."""


class Batch(NamedTuple):
    """inputs [b, S], labels [b, S] (ignored ones are -100), puzzle_identifiers [b].

    int32; narrow batches have inputs uint8 and labels int8, a quarter of the bytes to move.
    """

    inputs: np.ndarray
    labels: np.ndarray
    puzzle_identifiers: np.ndarray


class EvalBatch(NamedTuple):
    """batch: of the rank's fixed local size, padded at the end of the data.

    rows: real rows in the global batch. index: int64 [b], example number in the split, or -1
    (it hides `tuple.index`, which nobody calls on a batch). extras: other columns, [b, ...] each.
    """

    batch: Batch
    rows: int
    index: np.ndarray  # type: ignore[assignment]
    extras: Mapping[str, np.ndarray] = MappingProxyType({})


def make_batch(
    inputs: np.ndarray,
    labels: np.ndarray,
    identifiers: np.ndarray,
    meta: DatasetMeta,
    masked: np.ndarray | None = None,
    pool: BufferPool | None = None,
    narrow: bool = False,
) -> Batch:
    """Fresh uint8 rows as a batch; `masked` rows (bool [b]) become padding that no loss counts.

    The rows are changed in place. ValueError for `narrow` where labels need more than 7 bits.
    """
    if masked is not None:
        inputs[masked] = meta.pad_id
        identifiers[masked] = meta.blank_identifier_id
    ignored = meta.ignore_label_id
    fits = meta.vocab_size <= MOST_NARROW and (ignored is None or ignored < MOST_NARROW)
    if narrow and not fits:
        raise ValueError(f"a vocabulary of {meta.vocab_size} does not fit into narrow batches")
    if fits:
        # -100 in eight bits: passes over bytes cost a fraction of a masked copy of int32.
        # 0 is the usual one, and a minimum is cheaper still.
        if ignored is not None and labels.size and not (ignored == 0 and labels.min() > 0):
            shift = np.equal(labels, ignored).view(np.uint8)
            shift *= np.uint8((IGNORE_LABEL - ignored) % 256)
            labels += shift
        signed = labels.view(np.int8)
        if masked is not None:
            signed[masked] = IGNORE_LABEL
        if narrow:
            return Batch(inputs, signed, identifiers)
        wide_inputs, wide_labels = (pool or BufferPool()).empty((2, *inputs.shape), np.int32)
        np.copyto(wide_labels, signed)
    else:
        wide_inputs, wide_labels = (pool or BufferPool()).empty((2, *inputs.shape), np.int32)
        np.copyto(wide_labels, labels)
        if ignored is not None:
            np.copyto(wide_labels, IGNORE_LABEL, where=labels == ignored)
        if masked is not None:
            wide_labels[masked] = IGNORE_LABEL
    np.copyto(wide_inputs, inputs)
    return Batch(wide_inputs, wide_labels, identifiers)
