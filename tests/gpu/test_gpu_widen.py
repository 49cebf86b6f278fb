"""Narrow batches, widened on the GPU, are the batches that the host would have made."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hrm_scale.data import Loader, open_dataset
from hrm_scale.transfer import to_tensors
from tests.support.arc_sets import build_arc, write_tasks

pytestmark = pytest.mark.gpu


def test_narrow_batches_mean_the_same(tmp_path: Path) -> None:
    data = open_dataset(build_arc(write_tasks(tmp_path / "raw"), tmp_path / "arc", "--num-aug=9"))
    device = torch.device("cuda")
    wide, narrow = (
        Loader(data, "train", seed=1, global_batch_size=32, widen=where).batches(0)
        for where in ("host", "device")
    )
    for _ in range(5):
        ours, theirs = to_tensors(next(wide)[0], device), to_tensors(next(narrow)[0], device)
        for name, tensor in ours.items():
            assert tensor.dtype == torch.int32
            assert torch.equal(tensor, theirs[name]), name
