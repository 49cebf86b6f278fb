"""Open a data set, whatever holds it."""

from __future__ import annotations

from pathlib import Path

from hrm_scale.data.dataset import Dataset
from hrm_scale.data.format import DATASET_FILE
from hrm_scale.data.remote.options import RemoteOptions, is_address
from hrm_scale.errors import DataError


def is_dataset(path: str | Path) -> bool:
    """Is there a data set at a path, or is it an address? Nothing is read from elsewhere."""
    from hrm_scale.data.array_folder import is_array_folder
    from hrm_scale.data.mixture import is_mixture

    if is_address(path) or (Path(path) / DATASET_FILE).exists():
        return True
    return is_array_folder(path) or is_mixture(path)


def _is_split(path: Path) -> bool:
    """Is this the folder of a split, of tar shards or of published arrays?"""
    if (path / DATASET_FILE).exists():
        return any(path.glob("*__inputs.npy"))
    return path.is_dir() and (path.resolve().parent / DATASET_FILE).exists()


def open_dataset(path: str | Path, remote: RemoteOptions | None = None) -> Dataset:
    """The data set at a path: a folder of shards, a published folder of `.npy` arrays, the address
    of a folder (`s3://`, `gs://`, `http(s)://`, `hf://`), or the file of a mixture.

    remote: cache and patience for addresses. DataError when missing, not a data set, or damaged;
    EnvironmentProblem when an address cannot be reached.
    """
    if is_address(path):
        from hrm_scale.data.remote.dataset import RemoteDataset

        return RemoteDataset(str(path), remote or RemoteOptions())
    from hrm_scale.data.array_folder import ArrayFolder, is_array_folder
    from hrm_scale.data.mixture import Mixture, is_mixture

    if _is_split(Path(path)):
        above = Path(path).resolve().parent
        raise DataError(f"{path}: one split of a data set: give the folder above it, {above}")
    if is_array_folder(path):
        return ArrayFolder(Path(path))
    if is_mixture(path):
        return Mixture(Path(path), lambda source: open_dataset(source, remote))
    return Dataset(Path(path))
