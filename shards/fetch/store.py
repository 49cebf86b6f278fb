"""The folder that fetched data lie in: filled under another name, renamed when complete.

Beside the folder NAME, `.NAME.fetch` holds what has arrived so far. A fetch that was interrupted
goes on from there, and a folder NAME is always complete.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hrm_scale.base.errors import ConfigError, DataError, EnvironmentProblem
from hrm_scale.base.files import fsync_path, write_file
from hrm_scale.base.output import make_folder
from hrm_scale.base.progress import Progress, say
from hrm_scale.base.redaction import redact
from hrm_scale.data.format.meta import read_json

from ..builder.csv_rows import file_sha256
from .check import check_csv, checked_tasks
from .http import download
from .sources import ARCHIVE, Source

MARKER = "fetched.json"


def is_complete(source: Source, target: Path, *, overwrite: bool) -> bool:
    """Is the data set already there, unchanged?

    ConfigError for a folder that is something else; DataError for one that was changed, unless it
    may be overwritten.
    """
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    if not (target / MARKER).is_file():
        raise ConfigError(
            f"{target}: exists and was not made by this program: choose another folder with --to"
        )
    try:
        _check(source, target)
    except DataError as error:
        if overwrite:
            return False
        raise DataError(f"{error} · add --overwrite to fetch it again") from error
    return True


def _check(source: Source, target: Path) -> None:
    marker = read_json(target / MARKER)
    if marker.get("source") != source.pinned:
        raise DataError(
            f"{target}: holds {str(marker.get('source'))[:100]}, not {source.pinned}: choose "
            "another folder with --to"
        )
    if source.tasks is not None:
        checked_tasks(source, target)
        return
    for name, sha256 in dict(marker.get("sha256", {})).items():
        file = target / Path(str(name)).name
        if not file.is_file() or file_sha256(file) != sha256:
            raise DataError(f"{file}: missing, or changed since it was fetched")


def store(source: Source, target: Path, *, given: Path | None, mirror: str | None) -> None:
    """Fill `target`, from `given` (a file or folder) or the network, and replace what is there.

    Raises DataError for content that is not the published one and EnvironmentProblem where there
    is no network; in both cases `target` is as it was.
    """
    staging = target.parent / f".{target.name}.fetch"
    with _locked(staging):
        ready = staging / "ready"
        shutil.rmtree(ready, ignore_errors=True)
        ready.mkdir()
        try:
            _fill(source, staging, given, mirror)
            if target.exists():
                os.rename(target, staging / "old")
            os.rename(ready, target)
        except BaseException:
            shutil.rmtree(ready, ignore_errors=True)
            raise
        fsync_path(target.parent)
        shutil.rmtree(staging)


def _fill(source: Source, staging: Path, given: Path | None, mirror: str | None) -> None:
    ready = staging / "ready"
    marker: dict[str, Any] = {"source": source.pinned}
    if source.tasks is not None:
        for name, content in _tasks(source, staging, given, mirror).items():
            (ready / name).parent.mkdir(parents=True, exist_ok=True)
            write_file(ready / name, content)
    else:
        marker["sha256"] = _tables(source, staging, given, mirror)
    write_file(ready / MARKER, (json.dumps(marker, indent=1) + "\n").encode())
    fsync_path(ready)


def _tasks(
    source: Source, staging: Path, given: Path | None, mirror: str | None
) -> dict[str, bytes]:
    if given is not None:
        return checked_tasks(source, given)
    archive = _fetched(source, staging, ARCHIVE, mirror)
    try:
        return checked_tasks(source, archive)
    except DataError as error:
        archive.unlink()  # The next attempt is to begin anew.
        raise DataError(f"{redact(source.urls(mirror)[ARCHIVE])}: {error}") from error


def _tables(
    source: Source, staging: Path, given: Path | None, mirror: str | None
) -> dict[str, str]:
    ready, files = staging / "ready", {}
    if given is None:
        for name in source.paths:
            files[name] = _fetched(source, staging, name, mirror)
    else:
        for name in source.paths:
            choices = [given / name, given / f"{name}.gz"]
            present = [choice for choice in choices if choice.is_file()]
            if not present:
                raise DataError(
                    f"{given}: holds neither {name} nor {name}.gz: give --from a folder with "
                    f"{' and '.join(source.paths)}"
                )
            files[name] = present[0]
    say("checking the rows ...")
    try:
        hashes = check_csv(source, files)
    except DataError:
        if given is None:
            for path in files.values():
                path.unlink()
        raise
    for path in files.values():
        if given is None:
            os.rename(path, ready / path.name)
        else:
            shutil.copyfile(path, ready / path.name)
        fsync_path(ready / path.name)
    return hashes


def _fetched(source: Source, staging: Path, name: str, mirror: str | None) -> Path:
    """A file of the source in the staging folder, downloaded unless it is there already."""
    complete = staging / name
    if complete.is_file():
        return complete
    url = source.urls(mirror)[name]
    part = staging / f"{name}.part"
    say(f"fetching {redact(url)} ..." + (" (goes on where it stopped)" if part.exists() else ""))
    download(url, part, most_bytes=source.most_bytes, progress=Progress("bytes:", None).reach)
    os.rename(part, complete)
    return complete


@contextmanager
def _locked(staging: Path) -> Iterator[None]:
    """The staging folder for this process alone; EnvironmentProblem while another one has it."""
    make_folder(staging, "--to")
    descriptor = os.open(staging, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EnvironmentProblem(
                f"{staging}: another process fetches into this folder: wait until it is done"
            ) from error
        yield
    finally:
        os.close(descriptor)
        with suppress(OSError):  # Holds a part of a download, or is gone.
            staging.rmdir()
