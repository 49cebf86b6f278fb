"""Whether to compile the model's blocks, and why."""

from __future__ import annotations

import os
import shutil

import torch

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
