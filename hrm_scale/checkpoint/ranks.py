"""Who saves together. One process needs nothing; a launcher of several passes its own gather.

Checkpoints know nothing of any communication library: the one collective they need is handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def _alone(value: Any) -> list[Any]:
    return [value]


@dataclass(frozen=True)
class Ranks:
    """This process's place among those that share a run folder.

    rank, ranks: 0 <= rank < ranks.
    all_gather: called by every rank in the same order with a small picklable value; returns the
        values of all ranks by rank, so it is a barrier and a broadcast too.
    """

    rank: int = 0
    ranks: int = 1
    all_gather: Callable[[Any], list[Any]] = _alone

    @property
    def is_first(self) -> bool:
        """True on the rank that writes what exists once."""
        return self.rank == 0

    def from_first(self, value: Any) -> Any:
        """Rank 0's value, on every rank."""
        return self.all_gather(value)[0]


SINGLE = Ranks()
