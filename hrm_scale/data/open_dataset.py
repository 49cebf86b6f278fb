"""Open a data set, whatever holds it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from hrm_scale.base.errors import ConfigError, DataError
from hrm_scale.data.addresses import RemoteOptions, is_address
from hrm_scale.data.format.meta import DATASET_FILE, no_such_data_set
from hrm_scale.data.read.dataset import Dataset


def is_dataset(path: str | Path) -> bool:
    """Is there a data set at a path, or is it an address? Nothing is read from elsewhere."""
    from hrm_scale.data.read.array_folder import is_array_folder
    from hrm_scale.data.read.mixture import is_mixture

    if is_address(path) or (Path(path) / DATASET_FILE).exists():
        return True
    return is_array_folder(path) or is_mixture(path)


def find_dataset(path: str, folders: Iterable[Path]) -> str:
    """`path`, or where a data set is at it relative to the first of `folders` that has one.

    Of a run that was trained in another folder. Unchanged where there is none, and an address.
    """
    if is_address(path) or os.path.isabs(path) or _holds_dataset(Path(path)):
        return path
    found = next((folder / path for folder in folders if _holds_dataset(folder / path)), None)
    if found is None:
        return path
    with suppress(FileNotFoundError):  # the current folder may be gone
        if found.is_relative_to(Path.cwd()):
            return os.path.relpath(found)
    return str(found)


def _holds_dataset(path: Path) -> bool:
    try:
        return is_dataset(path)
    except (OSError, ValueError):  # no path at all, such as one too long
        return False


def _is_split(path: Path) -> bool:
    """Is this the folder of a split, of tar shards or of published arrays?"""
    if (path / DATASET_FILE).exists():
        return any(path.glob("*__inputs.npy"))
    return path.is_dir() and (path.resolve().parent / DATASET_FILE).exists()


def open_dataset(
    path: str | Path, remote: RemoteOptions | None = None, *, missing: str | None = None
) -> Dataset:
    """The data set at a path: a folder of shards, a published folder of `.npy` arrays, the address
    of a folder (`s3://`, `gs://`, `http(s)://`, `hf://`), or the file of a mixture.

    remote: cache and patience for addresses. missing: what the error adds where there is nothing
    at the path; null names the builders. DataError when missing, not a data set, or damaged;
    ConfigError for a mixture that holds itself; EnvironmentProblem when an address cannot be
    reached.
    """
    return _open(path, remote, missing, ())


def _open(
    path: str | Path, remote: RemoteOptions | None, missing: str | None, above: tuple[Path, ...]
) -> Dataset:
    """above: the files of the mixtures that name `path`, the outermost first."""
    if is_address(path):
        from hrm_scale.data.remote.dataset import RemoteDataset

        return RemoteDataset(str(path), remote or RemoteOptions())
    from hrm_scale.data.read.array_folder import ArrayFolder, is_array_folder
    from hrm_scale.data.read.mixture import Mixture, is_mixture

    if _is_split(Path(path)):
        folder = Path(path).resolve().parent
        raise DataError(f"{path}: one split of a data set: give the folder above it, {folder}")
    if is_array_folder(path):
        return ArrayFolder(Path(path))
    if is_mixture(path):
        file = Path(path).resolve()
        if file in above:
            raise ConfigError(f"{above[-1]}: the mixture holds itself, by its source {path}")
        return Mixture(Path(path), lambda source: _open(source, remote, None, (*above, file)))
    if missing is not None and not Path(path).exists():
        raise no_such_data_set(Path(path), missing)
    return Dataset(Path(path))
