"""The batch of a faulty step, on disk for whoever looks for the cause."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from hrm_scale.checkpoint import write_tensors
from hrm_scale.models import Carry

FOLDER = "non_finite"


def dump_batch(run_dir: Path, step: int, rank: int, carries: Sequence[Carry]) -> Path | None:
    """Write what the slots of this rank worked on to `non_finite/step-S-rank-R.safetensors`.

    `carries` after the step, one a micro-step. Columns over slots in order: `inputs`, `labels`,
    `puzzle_identifiers`, `steps` (ACT steps done), `lost` (the slot's latent state is not finite).
    The latent states themselves are large, and left out. Returns None when the disk refuses.
    """
    columns = {name: torch.cat([carry.data[name] for carry in carries]) for name in carries[0].data}
    columns["steps"] = torch.cat([carry.steps for carry in carries])
    columns["lost"] = torch.cat(
        [
            ~torch.stack([z.isfinite().flatten(1).all(1) for z in carry.z]).all(0)
            for carry in carries
        ]
    )
    path = run_dir / FOLDER / f"step-{step:08d}-rank-{rank:05d}.safetensors"
    try:
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        write_tensors(path, columns)
    except OSError:
        return None
    return path
