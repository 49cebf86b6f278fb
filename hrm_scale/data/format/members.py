"""Read tar members without trusting them: names, kinds, sizes, `.npy` headers, decompression."""

from __future__ import annotations

import io
import math
import os
import tarfile
import warnings
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.base.untrusted import open_regular
from hrm_scale.data.format.meta import (
    ALLOWED_DTYPES,
    MAX_HEADER_BYTES,
    MAX_MEMBER_BYTES,
    MEMBER_NAME,
)

_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.GNUTYPE_SPARSE,
)


class MemberError(Exception):
    """What is wrong with a member, in a few words; the caller adds where it is."""


def safe_members(
    path: Path, check: Callable[[Path, int, tarfile.TarInfo], None] | None = None
) -> Iterator[tarfile.TarInfo]:
    """Members of a tar in order. DataError on the first that `check` refuses: by default, one that
    is not a plain data file of a shard.

    Only headers are read, one at a time. What a plain USTAR file has no use for is refused unread:
    an extended header may claim any size, and a reader that trusts it fills the memory.
    """
    check = check or check_member
    try:
        with open_regular(path, links=True) as stream:
            size = os.fstat(stream.fileno()).st_size
            at = number = 0
            while (member := _next_header(stream, at)) is not None:
                check(path, number, member)
                member.offset, member.offset_data = at, at + tarfile.BLOCKSIZE
                if member.offset_data + member.size > size:
                    raise tarfile.ReadError(f"member {number} ends beyond the file")
                yield member
                at = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                number += 1
    except (tarfile.TarError, ValueError) as error:
        raise DataError(f"{path}: damaged or truncated tar ({error}): {_RESTORE}") from error


def _next_header(stream: BufferedReader, at: int) -> tarfile.TarInfo | None:
    """The header at an offset; None at the end of the archive."""
    stream.seek(at)
    block = stream.read(tarfile.BLOCKSIZE)
    if at and (not block or block.count(0) == tarfile.BLOCKSIZE):
        return None
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise tarfile.ReadError(f"{error}, at byte {at}") from error


def check_member(path: Path, number: int, member: tarfile.TarInfo) -> None:
    """Only regular `.npy`, `.npy.zst` and `.json` files with a plain name and a sane size."""
    name = member.name
    where = f"{path}: member {number} {name!r}"
    if member.type in _EXTENDED:
        raise DataError(f"{where} is an extended header, shards are plain USTAR: refused")
    check_name(path, number, member)
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        raise DataError(f"{where} is not a regular file (link, folder or device): refused")
    if not (MEMBER_NAME.fullmatch(name) or name.endswith(".json")):
        raise DataError(
            f"{where} is not named RECORD.COLUMN.npy, RECORD.COLUMN.npy.zst or *.json: refused"
        )
    if not 0 <= member.size <= MAX_MEMBER_BYTES:
        raise DataError(f"{where} has {member.size} bytes, allowed are {MAX_MEMBER_BYTES}: refused")


def check_name(path: Path, number: int, member: tarfile.TarInfo) -> None:
    """DataError for a name that leaves the folder that a tar is unpacked in."""
    name = member.name
    if name.startswith("/") or ".." in name.split("/") or "\\" in name or "\0" in name:
        raise DataError(
            f"{path}: member {number} {name[:80]!r} leaves its folder (path traversal), the tar is"
            " hostile: refused"
        )


def parse_npy(content: bytes | memoryview) -> tuple[str, tuple[int, ...], int]:
    """(dtype, shape, header length) of an `.npy` file of shards. MemberError when unacceptable."""
    dtype, shape, fortran, header = npy_layout(content)
    if dtype.str not in ALLOWED_DTYPES:
        raise MemberError(
            f"has dtype {dtype.str[:40]}, allowed are {', '.join(sorted(ALLOWED_DTYPES))}"
        )
    if fortran and len(shape) > 1:
        raise MemberError("is stored in Fortran order, C order is expected")
    if not shape:
        raise MemberError("is a scalar, one row per example is expected")
    return dtype.str, shape, header


def npy_layout(content: bytes | memoryview) -> tuple[np.dtype, tuple[int, ...], bool, int]:
    """(dtype, shape, Fortran order, header length) of any `.npy` file in memory.

    Never unpickles: an array of Python objects is recognised by its header and refused, as is any
    that is not as long as it says. MemberError.
    """
    head = io.BytesIO(bytes(content[: MAX_HEADER_BYTES + 16]))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            version = np.lib.format.read_magic(head)
            if version == (1, 0):
                read_header = np.lib.format.read_array_header_1_0
            elif version == (2, 0):
                read_header = np.lib.format.read_array_header_2_0
            else:
                raise MemberError(f"is .npy version {version}, known are 1.0 and 2.0")
            shape, fortran, dtype = read_header(head, max_header_size=MAX_HEADER_BYTES)
    except MemberError:
        raise
    except Exception as error:  # numpy's parser meets hostile bytes with errors of many kinds
        reason = ascii(str(error)[:120])[1:-1] if str(error) else type(error).__name__
        raise MemberError(f"is not a valid .npy file ({reason})") from error
    if dtype.hasobject:
        raise MemberError("holds pickled Python objects, which are refused")
    if any(side < 0 for side in shape):
        raise MemberError(f"has the impossible shape {str(shape)[:80]}")
    header = head.tell()
    if header + math.prod(shape) * dtype.itemsize != len(content):
        shown = str(shape)[:80]
        raise MemberError(f"has {len(content)} bytes, which is not its header and shape {shown}")
    return dtype, shape, fortran, header


def decompress(content: bytes | memoryview, limit: int) -> bytes:
    """One zstd frame and nothing after it, at most `limit` bytes when unpacked, and as many as it
    declares. MemberError otherwise."""
    import zstandard

    try:
        declared = zstandard.get_frame_parameters(content).content_size
        if declared > limit:  # also true for an undeclared size, which is 2**64 - 1
            raise MemberError(f"would unpack to more than {limit} bytes")
        unpack = zstandard.ZstdDecompressor().decompress
        plain = unpack(content, max_output_size=limit, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise MemberError(f"is not valid zstd ({error})") from error
    if len(plain) != declared:
        raise MemberError(f"unpacks to {len(plain)} bytes, it declares {declared}")
    return plain


_RESTORE = "restore the file from its source, or build the data set again"
