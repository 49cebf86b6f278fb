"""Data sets on disk and the batches made from them (format: docs/data-format.md)."""

from __future__ import annotations

from hrm_scale.data.augment import augment_sudoku
from hrm_scale.data.batch import MOST_NARROW, Batch, EvalBatch
from hrm_scale.data.dataset import Dataset
from hrm_scale.data.format import IGNORE_LABEL, DatasetMeta, SplitInfo
from hrm_scale.data.loader import Loader
from hrm_scale.data.opening import find_dataset, is_dataset, open_dataset
from hrm_scale.data.rebuild import rebuild_index
from hrm_scale.data.remote.options import RemoteOptions
from hrm_scale.data.writer import DatasetWriter, check_output_dir

__all__ = [
    "IGNORE_LABEL",
    "MOST_NARROW",
    "Batch",
    "Dataset",
    "DatasetMeta",
    "DatasetWriter",
    "EvalBatch",
    "Loader",
    "RemoteOptions",
    "SplitInfo",
    "augment_sudoku",
    "check_output_dir",
    "find_dataset",
    "is_dataset",
    "open_dataset",
    "rebuild_index",
]
