"""Choosing where the puzzle table lives."""

from __future__ import annotations

import torch

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
    if placement == "device":
        return DeviceTable(num_identifiers, width, device)
    if placement == "host":
        return HostTable(num_identifiers, width, device)
    if placement == "sharded":
        return ShardedTable(num_identifiers, width, device, exchange)
    raise ValueError(f"placement {placement!r} is none of {', '.join(PLACEMENTS)}")
