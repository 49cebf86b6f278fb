"""What a machine makes of the model: compiled blocks, the peak rate that MFU is of, memory."""

from __future__ import annotations

import os
import resource
import shutil
import sys

import torch

# Dense bf16 matrix rate in FLOP/s by part of the device's name, from the vendors' data sheets.
_PEAK_BF16 = (
    ("B200", 2250e12),
    ("H200", 989e12),
    ("H100 PCIe", 756e12),
    ("H100", 989e12),
    ("A100", 312e12),
    ("L40S", 362e12),
    ("A10", 125e12),
    ("L4", 121e12),
    ("RTX 5090 Laptop", 104e12),
    ("RTX 5090", 209e12),
    ("RTX 4090 Laptop", 79e12),
    ("RTX 4090", 165e12),
    ("RTX 3090", 71e12),
)

# Compiling the blocks takes about half a minute on a small CPU: a run must be longer to gain.
_MIN_STEPS = 1000


def resolve_compile(asked: bool | str, device: torch.device, total_steps: int) -> tuple[bool, str]:
    """Decide on ``engine.compile`` (true, false or "auto") for a run of `total_steps` steps.

    The decision depends on the configuration and the machine only, never on how far a run is, so
    that a resumed run computes exactly what it would have.
    """
    if isinstance(asked, bool):
        return asked, "asked for"
    if device.type == "cuda":
        return True, "fused kernels pay off on a GPU"
    if not shutil.which(os.environ.get("CXX", "g++")):
        return False, "no C++ compiler (g++) was found"
    if total_steps < _MIN_STEPS:
        return False, f"a run of fewer than {_MIN_STEPS} steps does not win the compile time back"
    return True, "fused kernels pay off in a run this long"


def peak_flops(device: torch.device) -> float | None:
    """The device's dense bf16 rate in FLOP/s; None where it is not known (CPUs among them)."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in _PEAK_BF16 if part in name), None)


def peak_memory_bytes(device: torch.device) -> int:
    """Most memory in use at once so far: the allocator's on a GPU, the process's on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
