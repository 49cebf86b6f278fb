"""The data set that examples come from, where it is still there."""

from __future__ import annotations

from hrm_scale.base.errors import ConfigError, HrmError
from hrm_scale.data import Dataset, open_dataset
from hrm_scale.data.addresses import is_address
from hrm_scale.evaluation.restore import Restored


def open_examples(restored: Restored, data_path: str | None) -> Dataset | None:
    """The data set at `data_path`, else the one the model was trained on; None when that one is
    gone, far away (nobody asked to go there) or another one by now.

    ConfigError when `data_path` is of another form than the model reads; DataError and
    EnvironmentProblem as for any data set.
    """
    if data_path is not None:
        dataset = open_dataset(data_path)
        for name in ("kind", "vocab_size", "seq_len"):
            ours, theirs = getattr(restored.meta, name), getattr(dataset.meta, name)
            if ours != theirs:
                raise ConfigError(
                    f"data_path={data_path} has {name}={theirs}, the checkpoint was trained with"
                    f" {ours}: give data of the same kind, or leave data_path out"
                )
        return dataset
    if is_address(restored.run.data_path):
        return None
    try:
        dataset = open_dataset(restored.run.data_path)
    except HrmError:
        return None
    return dataset if dataset.meta.fingerprint == restored.meta.fingerprint else None
