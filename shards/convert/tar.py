"""Examples in WebDataset tars with one sample a record: KEY.inputs.npy, KEY.labels.npy, ..."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.data.format.members import MemberError, check_name, safe_members

from .field import MAX_FIELD_BYTES, Field, find_fields, parse_field
from .source import Piece, Request, Source

CHUNK = 1024
_MAX_EXTENSION_BYTES = 1 << 16
_EXTENDED = (tarfile.XHDTYPE, tarfile.XGLTYPE)
"""Python's tar writers put times of parts of a second there, which mean nothing to us."""
# What an extended header may not change, as readers differ in whom they believe.
_TELLING = (b" path=", b" linkpath=", b" size=", b" GNU.")


class TarSource(Source):
    """Samples of tars; what is in which of their files is found in the first sample."""

    def __init__(self, request: Request, files: dict[str, list[Path]]) -> None:
        super().__init__(request, files)
        self._fields: dict[str, Field] | None = None

    def pieces(self, split: str) -> Iterator[Piece]:
        waiting: dict[str, list[np.ndarray]] = {}
        for path in self.files[split]:
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
                if len(waiting["inputs"]) == CHUNK:
                    yield {name: np.stack(arrays) for name, arrays in waiting.items()}
                    waiting = {}
        if waiting:
            yield {name: np.stack(arrays) for name, arrays in waiting.items()}

    def _sample(self, path: Path, key: str, members: dict[str, bytes]) -> dict[str, np.ndarray]:
        """inputs and labels [S], the other columns as numbers without axes."""
        where = f"{path}: sample {key[:80]!r}"
        try:
            if self._fields is None:
                self._fields = find_fields(members, self.request.columns)
            found = {
                name: parse_field(members, field, self.request.charset)
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
    for name, content in _contents(path):
        folder, slash, last = name.rpartition("/")
        stem, dot, extension = last.partition(".")
        if not dot or not stem:
            continue  # such as .DS_Store, or a file without an extension
        if key is not None and folder + slash + stem != key:
            yield key, members
            members = {}
        key = folder + slash + stem
        if extension in members:
            raise DataError(
                f"{path}: {name[:80]!r} occurs twice: fetch the file again, or pack it again"
            )
        members[extension] = content
    if key is not None:
        yield key, members


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of every regular file."""
    with path.open("rb") as stream:
        for number, member in enumerate(safe_members(path, _check)):
            if member.type == tarfile.DIRTYPE:
                continue
            stream.seek(member.offset_data)
            content = stream.read(member.size)
            if member.type not in _EXTENDED:
                yield member.name.removeprefix("./"), content
            elif any(word in content for word in _TELLING):
                raise DataError(
                    f"{path}: member {number} {member.name[:80]!a} gives the next file another name"
                    " or size than its header: pack the tar again with `tar --format=ustar`"
                )


def _check(path: Path, number: int, member: tarfile.TarInfo) -> None:
    where = f"{path}: member {number} {member.name[:80]!a}"
    limit = _MAX_EXTENSION_BYTES if member.type in _EXTENDED else MAX_FIELD_BYTES
    if not 0 <= member.size <= limit:
        raise DataError(f"{where} has {member.size} bytes, allowed are {limit}: refused")
    if member.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
        check_name(path, number, member)
    elif member.type not in (*_EXTENDED, tarfile.DIRTYPE):
        raise DataError(f"{where} is not a regular file (link, device or long name): refused")
