"""Take the task files out of an archive or a folder that somebody else made.

Nothing is extracted: files whose names are asked for are read into memory, within limits, and all
else is passed over. So a name with `..`, a link or a device in an archive has nothing to act on.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from hrm_scale.base.errors import DataError
from hrm_scale.base.untrusted import read_bytes

MAX_FILE_BYTES = 16 << 20
MAX_UNPACKED_BYTES = 1 << 30
MAX_MEMBERS = 1_000_000


def read_files(
    path: Path, wanted: re.Pattern[str], most_bytes: int = MAX_UNPACKED_BYTES
) -> Iterator[tuple[str, bytes]]:
    """(path in the repository, content) of the files whose path matches `wanted` entirely.
    most_bytes: of all of them together.

    path: a .tar.gz, .tar or .zip whose members lie in one top folder or in none, or a folder (a
    clone). DataError, one line, when it is none of these, damaged, or beyond the limits.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder: give an archive, or a folder")
    try:
        if path.is_dir():
            files = _of_folder(path, wanted)
        else:
            files = (_of_zip if zipfile.is_zipfile(path) else _of_tar)(path, wanted)
        total = 0
        seen: set[str] = set()
        for name, content in files:
            total += len(content)
            if total > most_bytes:
                raise ValueError(f"its files have more than {most_bytes} bytes")
            if name in seen:
                raise ValueError(f"{name} occurs twice")
            seen.add(name)
            yield name, content
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, gzip.BadGzipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{path}: not an archive, or a damaged one ({reason}): fetch it again, as .tar.gz or "
            ".zip, or give a folder"
        ) from error
    except ValueError as error:
        raise DataError(f"{path}: refused: {error}") from error


def _repository_path(member: str, wanted: re.Pattern[str]) -> str | None:
    """The path of a member that is wanted, without the top folder that archives have."""
    inner = member.removeprefix("./")
    for name in (inner, inner.partition("/")[2]):
        if wanted.fullmatch(name) and ".." not in name.split("/"):
            return name
    return None


def _of_folder(path: Path, wanted: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    for folder, inner, names in os.walk(path):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder, name)
            relative = file.relative_to(path).as_posix()
            if wanted.fullmatch(relative):
                yield relative, read_bytes(file, MAX_FILE_BYTES)


def _of_zip(path: Path, wanted: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for number, member in enumerate(archive.infolist()):
            _check_number(number)
            name = _repository_path(member.filename, wanted)
            if name is None or member.is_dir():
                continue
            if member.flag_bits & 1 or (member.external_attr >> 28) not in (0, 8):
                raise ValueError(f"{name} is encrypted or not a regular file")
            with archive.open(member) as stream:
                yield name, _read(stream, name)


def _of_tar(path: Path, wanted: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        limited = _Limited(gzip.GzipFile(fileobj=raw) if packed else raw)
        with tarfile.open(fileobj=limited, mode="r|") as archive:
            for number, member in enumerate(archive):
                _check_number(number)
                name = _repository_path(member.name, wanted)
                if name is None:
                    continue
                if not member.isreg():
                    raise ValueError(f"{name} is a link, folder or device, not a regular file")
                stream = archive.extractfile(member)
                assert stream is not None
                yield name, _read(stream, name)
        while limited.read(_PIECE):  # to the end, where the checksum of the whole is
            pass


_PIECE = 1 << 20


def _check_number(number: int) -> None:
    if number >= MAX_MEMBERS:
        raise ValueError(f"it has more than {MAX_MEMBERS} members")


def _read(stream: IO[bytes], name: str) -> bytes:
    content = stream.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"{name} has more than {MAX_FILE_BYTES} bytes")
    return content


class _Limited(io.RawIOBase):
    """Reads a stream up to MAX_UNPACKED_BYTES: a small archive may unpack to terabytes."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile) -> None:
        self._stream = stream
        self._left = MAX_UNPACKED_BYTES

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(_PIECE if size < 0 else size)
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(f"it unpacks to more than {MAX_UNPACKED_BYTES} bytes")
        return data
