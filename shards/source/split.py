"""Which boards are for testing: of one file, and of those just generated."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, Self, TypeVar

import numpy as np

from hrm_scale.base.counter import permutation
from hrm_scale.base.errors import ConfigError


class Boards(Protocol):
    """Rows that can be chosen from."""

    def take(self, rows: np.ndarray) -> Self: ...


Kind = TypeVar("Kind", bound=Boards)


def generated_test_size(count: int, test_size: int | None) -> int:
    """Boards to generate for testing beside `count` for training: a quarter, unless it is given."""
    return min(1000, max(1, count // 4)) if test_size is None else test_size


def split_generated(boards: Kind, count: int, test_size: int) -> dict[str, Kind]:
    """The first `count` for training, the others for testing."""
    splits = {"train": boards.take(np.arange(count))}
    if test_size:
        splits["test"] = boards.take(np.arange(count, count + test_size))
    return splits


def choose_test(keys: np.ndarray, order_key: int, wanted: int, source: Path | None) -> np.ndarray:
    """Which rows are for testing, bool [n], so that no equivalent of them is trained on: whole
    classes of equal keys ([n], any type), in an order that depends on `order_key` alone, filled up
    to `wanted` rows.

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
