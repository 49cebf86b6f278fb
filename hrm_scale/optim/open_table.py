"""Choosing where the puzzle table lives."""

from __future__ import annotations

import torch

from hrm_scale.base.machine import require_memory
from hrm_scale.optim.host_table import HostTable
from hrm_scale.optim.puzzle_table import DeviceTable, PuzzleTable
from hrm_scale.optim.sharded_table import RowExchange, ShardedTable

PLACEMENTS = ("device", "host", "sharded")


def open_table(
    placement: str,
    num_identifiers: int,
    width: int,
    device: torch.device,
    exchange: RowExchange,
) -> PuzzleTable:
    """A table of zeros at a placement: `device`, `host` or `sharded`, else ValueError.

    `exchange` reaches the other ranks.
    """
    held = 4 * num_identifiers * width // (exchange.ranks if placement == "sharded" else 1)
    if device.type == "cpu" or placement == "host":
        require_memory(
            held,
            f"the puzzle table of {num_identifiers:,} identifiers x {width}",
            "use a data set with fewer identifiers, or a smaller arch.puzzle_emb_ndim",
        )
    if placement == "device":
        return DeviceTable(num_identifiers, width, device)
    if placement == "host":
        return HostTable(num_identifiers, width, device)
    if placement == "sharded":
        return ShardedTable(num_identifiers, width, device, exchange)
    raise ValueError(f"placement {placement!r} is none of {', '.join(PLACEMENTS)}")
