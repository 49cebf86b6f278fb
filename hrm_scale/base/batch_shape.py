"""How a global batch is divided among micro-batches and processes: the one rule and its message."""

from __future__ import annotations

from dataclasses import dataclass

from hrm_scale.base.errors import ConfigError


def uneven(size: int, accumulation: int, world_size: int, shown: tuple[str, str]) -> str | None:
    """Why a batch cannot be divided equally, and what to type; None where it can.

    shown: the batch size and the accumulation as the user sees them, such as
    `global_batch_size=768` and `engine.accumulation=2`.
    """
    parts = accumulation * world_size
    if size > 0 and size % parts == 0:
        return None
    processes = f"{world_size} process" + ("es" if world_size > 1 else "")
    micro = f" with {shown[1]}" if accumulation > 1 else ""
    remedy = f"make it a multiple of {parts}"
    if size > 0 and size % world_size:
        remedy += ", or start another number of processes"
    elif size > 0:
        remedy += f", or the accumulation a divisor of {size // world_size}"
    return f"{shown[0]} cannot be divided equally among {processes}{micro}: {remedy}"


@dataclass(frozen=True)
class BatchShape:
    """A global batch in `accumulation` micro-batches, each in equal slices of `world_size` ranks.

    ConfigError for a batch that cannot be divided so. keys: the settings that give the size and
    the accumulation.
    """

    global_batch_size: int
    accumulation: int = 1
    world_size: int = 1
    keys: tuple[str, str] = ("global_batch_size", "engine.accumulation")

    def __post_init__(self) -> None:
        values = zip(self.keys, (self.global_batch_size, self.accumulation), strict=True)
        size, accumulation = (f"{key}={value}" for key, value in values)
        problem = uneven(
            self.global_batch_size, self.accumulation, self.world_size, (size, accumulation)
        )
        if problem is not None:
            raise ConfigError(problem)

    @property
    def micro_batch_size(self) -> int:
        """Rows of one micro-batch, of all ranks."""
        return self.global_batch_size // self.accumulation

    @property
    def rows(self) -> int:
        """Rows of one rank in one micro-batch."""
        return self.micro_batch_size // self.world_size

    def slots(self, micro: int, rank: int) -> tuple[int, int]:
        """Slots [start, stop) of the global batch that belong to one rank and micro-batch."""
        start = micro * self.micro_batch_size + rank * self.rows
        return start, start + self.rows
