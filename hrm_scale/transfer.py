"""From the loader's arrays to tensors on a device."""

from __future__ import annotations

import torch
from torch import Tensor

from hrm_scale.data import Batch


def to_tensors(batch: Batch, device: torch.device) -> dict[str, Tensor]:
    """The columns of a batch by name, int32 on `device`; on a CPU they share the arrays' memory.

    Narrow batches are moved as they are and widened there.
    """
    return {
        name: torch.from_numpy(array).to(device, non_blocking=True).int()
        for name, array in batch._asdict().items()
    }
