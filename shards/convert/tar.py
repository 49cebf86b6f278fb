"""Examples in WebDataset tars with one sample a record: KEY.inputs.npy, KEY.labels.npy, ..."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.base.untrusted import open_regular
from hrm_scale.data.format.members import MemberError

from ..builder.csv_rows import file_sha256
from .field import MAX_FIELD_BYTES, Field, find_fields, parse_field
from .request import Request
from .rows import Piece

_CHUNK = 1024
_MAX_EXTENSION_BYTES = 1 << 16
# What an extended header may not change, as readers differ in whom they believe.
_TELLING = (b" path=", b" linkpath=", b" size=", b" GNU.")
_RESTORE = "fetch the file again, or pack it again"


class TarSource:
    """See `shards.convert.rows.Source`."""

    default_ignored: int | None = None

    def __init__(self, request: Request, files: dict[str, list[Path]]) -> None:
        self.name = str(request.source)
        self._files = files
        self.splits = sorted(files, key=lambda split: (split != "train", split))
        self._charset = request.charset
        self._columns = request.columns
        if request.charset is not None:
            self.default_ignored = 0
        self._fields: dict[str, Field] | None = None

    def pieces(self, split: str) -> Iterator[Piece]:
        waiting: dict[str, list[np.ndarray]] = {}
        for path in self._files[split]:
            for key, members in samples(path):
                columns = self._sample(path, key, members)
                if not waiting:
                    waiting = {name: [] for name in columns}
                if waiting["inputs"] and len(columns["inputs"]) != len(waiting["inputs"][0]):
                    raise DataError(
                        f"{path}: sample {key[:80]!r} has {len(columns['inputs'])} cells, those "
                        f"before it {len(waiting['inputs'][0])}: pad them to one length first"
                    )
                for name, array in columns.items():
                    waiting[name].append(array)
                if len(waiting["inputs"]) == _CHUNK:
                    yield {name: np.stack(arrays) for name, arrays in waiting.items()}
                    waiting = {}
        if waiting:
            yield {name: np.stack(arrays) for name, arrays in waiting.items()}

    def origin(self) -> dict[str, Any]:
        return {
            split: [{"name": path.name, "sha256": file_sha256(path)} for path in paths]
            for split, paths in self._files.items()
        }

    def _sample(self, path: Path, key: str, members: dict[str, bytes]) -> dict[str, np.ndarray]:
        """inputs and labels [S], the other columns as numbers without axes."""
        where = f"{path}: sample {key[:80]!r}"
        try:
            if self._fields is None:
                self._fields = find_fields(members, self._columns)
            found = {
                name: parse_field(members, field, self._charset)
                for name, field in self._fields.items()
            }
        except MemberError as error:
            raise DataError(f"{where} {error}") from error
        for name, array in found.items():
            if name in ("inputs", "labels"):
                found[name] = array.reshape(-1)
            elif array.size != 1:
                raise DataError(f"{where}: {name} holds {array.size} numbers, one is expected")
            else:
                found[name] = array.reshape(())
        if len(found["inputs"]) == 0 or len(found["inputs"]) != len(found["labels"]):
            raise DataError(
                f"{where}: {len(found['inputs'])} inputs and {len(found['labels'])} labels, as many"
                " of each are expected"
            )
        return found


def samples(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """(key, extension -> content) of each sample: neighbours in the tar whose keys are equal.

    The key is all of a name before the first dot of its last part, as WebDataset has it. Folders
    are passed over. DataError for links, devices, names that leave the archive, and sizes beyond
    16 MiB.
    """
    key: str | None = None
    members: dict[str, bytes] = {}
    try:
        with open_regular(path, links=True) as stream:
            for name, content in _members(path, stream):
                folder, slash, last = name.rpartition("/")
                stem, dot, extension = last.partition(".")
                if not dot or not stem:
                    continue  # such as .DS_Store, or a file without an extension
                if key is not None and folder + slash + stem != key:
                    yield key, members
                    members = {}
                key = folder + slash + stem
                if extension in members:
                    raise DataError(f"{path}: {name[:80]!r} occurs twice: {_RESTORE}")
                members[extension] = content
    except (tarfile.TarError, ValueError) as error:
        raise DataError(f"{path}: damaged or truncated tar ({error}): {_RESTORE}") from error
    if key is not None:
        yield key, members


def _members(path: Path, stream: BufferedReader) -> Iterator[tuple[str, bytes]]:
    """Name and content of every regular file. One header at a time is read, none is trusted."""
    size = os.fstat(stream.fileno()).st_size
    at = number = 0
    while at < size:
        stream.seek(at)
        block = stream.read(tarfile.BLOCKSIZE)
        if at and block.count(0) == len(block):
            return
        try:
            member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error}, at byte {at}") from error
        data = at + tarfile.BLOCKSIZE
        where = f"{path}: member {number} {member.name[:80]!a}"
        limit = MAX_FIELD_BYTES
        if member.type in (tarfile.XHDTYPE, tarfile.XGLTYPE):
            limit = _MAX_EXTENSION_BYTES
        if not 0 <= member.size <= limit:
            raise DataError(f"{where} has {member.size} bytes, allowed are {limit}: refused")
        if data + member.size > size:
            raise tarfile.ReadError(f"member {number} ends beyond the file")
        if member.type in (tarfile.XHDTYPE, tarfile.XGLTYPE):
            # Python's tar writers put times of parts of a second there, which mean nothing to us.
            content = stream.read(member.size)
            if any(word in content for word in _TELLING):
                raise DataError(
                    f"{where} gives the next file another name or size than its header: pack the "
                    "tar again with `tar --format=ustar`"
                )
        elif member.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
            name = member.name
            if name.startswith("/") or ".." in name.split("/") or "\\" in name:
                raise DataError(f"{where} leaves the archive (path traversal): refused")
            yield name.removeprefix("./"), stream.read(member.size)
        elif member.type != tarfile.DIRTYPE:
            raise DataError(f"{where} is not a regular file (link, device or long name): refused")
        at = data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        number += 1
