"""Recognise what a source is, find the files of its splits, and have it converted."""

from __future__ import annotations

from pathlib import Path

from hrm_scale.base.errors import ConfigError, DataError
from hrm_scale.base.progress import say
from hrm_scale.data import open_dataset
from hrm_scale.data.format.meta import DATASET_FILE, SPLIT_NAME, DatasetMeta
from hrm_scale.data.format.writer import check_output_dir
from hrm_scale.data.read.array_folder import is_array_folder

from .arrays import convert_arrays
from .csv import CsvSource
from .rows import convert_rows
from .source import Request
from .tar import TarSource

_TAR, _CSV = (".tar",), (".csv", ".csv.gz")
_PACKED = (".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2")
_SPLITS = {"train": "train", "test": "test", "val": "test", "valid": "test", "eval": "test"}
_ONLY_FOREIGN = ("split", "columns", "charset", "vocab_size", "pad_id", "ignore_label_id")


def convert(request: Request) -> DatasetMeta:
    """Convert; nothing is left behind when it fails. ConfigError, DataError: one line each."""
    _convert(request)
    return open_dataset(request.output_dir).meta


def _convert(request: Request) -> None:
    check_output_dir(request.output_dir, overwrite=request.overwrite)
    source = request.source
    if not source.exists():
        raise DataError(f"{source}: no such file or folder: give the folder or file to convert")
    if (source / DATASET_FILE).exists():
        raise DataError(
            f"{source}: is not foreign, it has a {DATASET_FILE}: train on it as it stands, or "
            f"change it with `python -m tools.shards repack {source}`; of a published folder give "
            "the one above"
        )
    if is_array_folder(source):
        given = [name for name in _ONLY_FOREIGN if getattr(request, name) not in (None, {})]
        if given:
            option = given[0].replace("_", "-")
            raise ConfigError(
                f"--{option} does not go with a published folder, which says so itself: leave it"
                " out"
            )
        convert_arrays(request)
        return
    files = find_files(request)
    kind = {"csv" if _is(path, _CSV) else "tar" for paths in files.values() for path in paths}
    if len(kind) > 1:
        raise ConfigError("--split names tar and CSV files: convert them one after the other")
    convert_rows((CsvSource if kind == {"csv"} else TarSource)(request, files))


def find_files(request: Request) -> dict[str, list[Path]]:
    """The tar or CSV files of every split, in the order of their names."""
    source = request.source
    folder = source if source.is_dir() else source.parent
    if request.split:
        return {name: _matching(folder, name, value) for name, value in request.split.items()}
    if source.is_file():
        _refuse_packed(source)
        if not _is(source, _TAR + _CSV):
            raise DataError(f"{source}: is no .tar, .csv or .csv.gz file: give one, or a folder")
        return {"train": [source]}
    for endings in (_TAR, _CSV):
        if found := _by_name(source, endings):
            return found
    for path in sorted(source.iterdir()):
        _refuse_packed(path)
    raise DataError(
        f"{source}: holds neither a published data set (train/dataset.json) nor .tar or .csv files:"
        " give the folder they are in"
    )


def _by_name(source: Path, endings: tuple[str, ...]) -> dict[str, list[Path]]:
    """Files in folders named after a split, or whose names begin with one, or all as train."""
    found: dict[str, list[Path]] = {}
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        files = sorted(path for path in folder.iterdir() if _is(path, endings))
        if folder.name in _SPLITS and files:
            found.setdefault(_SPLITS[folder.name], []).extend(files)
    if found:
        return found
    files = sorted(path for path in source.iterdir() if _is(path, endings))
    for path in files:
        begins = [name for name in sorted(_SPLITS, reverse=True) if path.name.startswith(name)]
        if not begins:
            say(f"note: {path.name} is no train or test file by its name: all files are train")
            return {"train": files}
        found.setdefault(_SPLITS[begins[0]], []).append(path)
    return found


def _matching(folder: Path, name: str, value: str) -> list[Path]:
    if not SPLIT_NAME.fullmatch(name):
        raise ConfigError(f"--split {name}={value}: {name!r} cannot name a split")
    path = folder / value
    files = [path] if path.is_file() else []
    if not files and not Path(value).is_absolute():
        files = sorted(found for found in folder.glob(value) if found.is_file())
    if not files:
        raise ConfigError(f"--split {name}={value}: there is no such file in {folder}")
    for file in files:
        _refuse_packed(file)
        if not _is(file, _TAR + _CSV):
            raise ConfigError(f"--split {name}={value}: {file.name} is no .tar or .csv file")
    return files


def _is(path: Path, endings: tuple[str, ...]) -> bool:
    return path.name.endswith(endings) and path.is_file() and not path.name.startswith(".")


def _refuse_packed(path: Path) -> None:
    if path.name.endswith(_PACKED):
        raise DataError(f"{path}: compressed tars are not read: unpack it to a .tar first")
