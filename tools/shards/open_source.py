"""Open what a command was given: one data set, in a folder or at an address."""

from __future__ import annotations

from pathlib import Path

from hrm_scale.base.errors import ConfigError, DataError
from hrm_scale.base.redaction import redact
from hrm_scale.data import Dataset, open_dataset
from hrm_scale.data.addresses import is_address
from hrm_scale.data.read.array_folder import is_array_folder
from hrm_scale.data.read.mixture import is_mixture, read_mixture


def open_one(text: str) -> Dataset:
    """The data set, wherever it lies. ConfigError for the file of a mixture."""
    _refuse_mixture(text)
    return open_dataset(text)


def local_folder(text: str) -> Path:
    """The folder of a data set whose every file is to be read; an error for anything else."""
    _refuse_mixture(text)
    if is_address(text):
        raise ConfigError(
            f"{redact(text)}: every byte is read, and files beside them are looked for: copy the "
            "data set to this machine first (info, preview, order and repack take addresses)"
        )
    if is_array_folder(text):
        raise DataError(
            f"{text}: holds published arrays, which have neither hashes nor an index: make shards "
            f"of them with `python -m shards.convert {text} --output-dir DIR`"
        )
    return Path(text)


def _refuse_mixture(text: str) -> None:
    if not is_address(text) and is_mixture(text):
        named = ", ".join(redact(source) for source, _ in read_mixture(Path(text))[:4])
        raise ConfigError(f"{text}: is a mixture, look into its data sets one by one: {named}")
