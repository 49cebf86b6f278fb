"""Dense storage: a train split in stripes, each of which holds every group once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from hrm_scale.base.counter import below, fold_array, make_key
from hrm_scale.data.format.writer import DatasetWriter

_STRIPE = 106
"""Stream of the counter generator; those from 100 on belong to builders."""

Augment = Callable[
    [np.ndarray, np.ndarray, np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]
]
"""`BoardSymmetry.augment`: (inputs, labels, groups, index, seed) to new inputs and labels."""


def write_stripes(
    writer: DatasetWriter,
    stripes: Iterable[Mapping[str, np.ndarray]],
    progress: Callable[[int], None] = lambda stripes: None,
) -> None:
    """Write the train split from the columns of one stripe after another. progress: called with 1
    per stripe."""
    with writer.split("train") as split:
        for columns in stripes:
            split.write(columns)
            split.end_stripe()
            progress(1)


def write_dense(
    writer: DatasetWriter,
    columns: Mapping[str, np.ndarray],
    augment: Augment,
    count: int,
    seed: int,
    progress: Callable[[int], None] = lambda stripes: None,
) -> None:
    """Write the train split of single boards: every row under all its symmetries.

    columns: the originals, one row per group. Group g is under symmetry (k + start_g) modulo
    count + 1 in stripe k, from a start that depends on seed and g. Symmetries of one group are
    independent draws (only number 0, the original, is special), so a rotation mixes them as well as
    any permutation would, and memory holds one stripe only.
    """
    groups, copies = columns["groups"], count + 1
    start = below(fold_array(make_key(_STRIPE, seed), groups), copies)

    def stripes() -> Iterator[Mapping[str, np.ndarray]]:
        for stripe in range(copies):
            index = (start + stripe) % copies
            inputs, labels = augment(columns["inputs"], columns["labels"], groups, index, seed)
            yield {**columns, "inputs": inputs, "labels": labels}

    write_stripes(writer, stripes(), progress)
