"""One rank's user error, told to all, so that none waits for a rank that has given up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch.distributed as dist

from hrm_scale.errors import HrmError


@dataclass(frozen=True)
class _Failure:
    """Sent in place of the value that a rank cannot give any more."""

    exit_code: int


class _ElsewhereError(HrmError):
    """Another rank failed, and tells why."""

    told = True

    def __init__(self, exit_code: int) -> None:
        super().__init__("another process failed")
        self.exit_code = exit_code


def gather_objects(value: Any, ranks: int, group: dist.ProcessGroup | None) -> list[Any]:
    """Values of all ranks by rank. Raises when one of them has failed instead of sending its."""
    if ranks == 1:
        return [value]
    values: list[Any] = [None] * ranks
    dist.all_gather_object(values, value, group=group)
    if not isinstance(value, _Failure):
        for other in values:
            if isinstance(other, _Failure):
                raise _ElsewhereError(other.exit_code)
    return values


@contextmanager
def shared_fate(rank: int, ranks: int, group: dist.ProcessGroup | None) -> Iterator[None]:
    """Inside, every collective is `gather_objects`: a rank that fails answers the next one with its
    failure, and all ranks leave. The lowest rank that failed tells why; the others are silent."""
    try:
        yield
        gather_objects(None, ranks, group)
    except _ElsewhereError:
        raise
    except HrmError as error:
        outcome = gather_objects(_Failure(error.exit_code), ranks, group)
        first = next(r for r, value in enumerate(outcome) if isinstance(value, _Failure))
        error.told = first != rank
        raise
