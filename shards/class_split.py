"""Choose test puzzles from one file so that no equivalent of them is trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hrm_scale.data.counter import permutation
from hrm_scale.errors import ConfigError


def choose_test(keys: np.ndarray, order_key: int, wanted: int, source: Path | None) -> np.ndarray:
    """Which rows are for testing, bool [n]: whole classes of equal keys ([n], any type), in an
    order that depends on `order_key` alone, filled up to `wanted` rows.

    ConfigError when that leaves nothing on one side; `source` is named in it.
    """
    _, member, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    order = permutation(order_key, len(sizes))
    chosen = order[np.cumsum(sizes[order]) <= wanted]
    in_test: np.ndarray = np.isin(member, chosen)
    if not in_test.any() or in_test.all():
        raise ConfigError(
            f"--test-size {wanted} cannot be split off the {len(keys)} puzzles of {source}: choose"
            f" a number between 1 and {len(keys) - 1}"
        )
    return in_test
