"""Failure of another rank: its user error is raised on every rank, its death is one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch.distributed as dist

from hrm_scale.base.errors import HrmError, PeerLost


@dataclass(frozen=True)
class _Failure:
    """Sent in place of the value that a rank cannot give any more."""

    exit_code: int


class _ElsewhereError(HrmError):
    """Another rank failed, and reports why."""

    already_reported = True

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
        error.already_reported = first != rank
        raise


def lost_peer(error: Exception) -> PeerLost | None:
    """The error for the user where torch says that it cannot reach another process; else None."""
    # gloo's errors have no class of their own.
    if not isinstance(error, dist.DistError) and "gloo/transport" not in str(error):
        return None
    first = (str(error).splitlines() or [""])[0]
    reason = re.sub(r"^\[[^]]*\] ", "", first).split(". ")[0][:200]
    return PeerLost(
        f"another process of this run is gone or does not answer ({reason}): the output of the one"
        " that ended first says why; started again, the run resumes from its newest checkpoint"
    )


@contextmanager
def lost_peers() -> Iterator[None]:
    """Inside, torch's errors about a process that is gone are `PeerLost`."""
    try:
        yield
    except RuntimeError as error:
        if (lost := lost_peer(error)) is not None:
            raise lost from error
        raise
