"""Data sets on disk and the batches made from them (format: docs/data-format.md).

Imports: base, puzzles.
"""

from __future__ import annotations

from hrm_scale.data.addresses import RemoteOptions
from hrm_scale.data.format.meta import IGNORE_LABEL, DatasetMeta, SplitInfo
from hrm_scale.data.format.rebuild import rebuild_index
from hrm_scale.data.format.writer import DatasetWriter, check_output_dir
from hrm_scale.data.open_dataset import find_dataset, is_dataset, open_dataset
from hrm_scale.data.read.batch import MOST_NARROW, Batch, EvalBatch
from hrm_scale.data.read.dataset import Dataset
from hrm_scale.data.read.loader import Loader
from hrm_scale.data.webdataset_pipeline import as_webdataset

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
    "as_webdataset",
    "check_output_dir",
    "find_dataset",
    "is_dataset",
    "open_dataset",
    "rebuild_index",
]
