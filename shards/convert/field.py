"""One field of a foreign sample: `.npy`, a name in `.npz` or `.json`, `.cls` or `.txt`."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from hrm_scale.base.untrusted import parse_json
from hrm_scale.data.format.members import MemberError, npy_layout

MAX_FIELD_BYTES = 16 << 20
_KINDS = ("npy", "npz", "json", "cls", "txt")


class Field(NamedTuple):
    """extension: of the member; name: inside it (npz, json), or empty."""

    extension: str
    name: str


def find_fields(members: Mapping[str, bytes], given: Mapping[str, str]) -> dict[str, Field]:
    """Where each column is, by the first sample and what the user says. MemberError otherwise."""
    fields = {column: _given(members, text) for column, text in given.items()}
    for column in ("inputs", "labels", "puzzle_identifiers", "groups", "puzzles"):
        if column not in fields and (found := _guess(members, column)):
            fields[column] = found
    if missing := [column for column in ("inputs", "labels") if column not in fields]:
        raise MemberError(
            f"has {', '.join(sorted(members))[:120]}, among which no {missing[0]} are recognised: "
            f"say --columns {missing[0]}=EXTENSION"
        )
    return fields


def _given(members: Mapping[str, bytes], text: str) -> Field:
    container, colon, name = text.partition(":")
    for extension in sorted(members, key=len):
        if colon and name and (extension == container or extension.endswith("." + container)):
            return Field(extension, name)
    if text in members:
        return Field(text, "")
    raise MemberError(f"has no {text} (--columns), it has {', '.join(sorted(members))[:120]}")


def _guess(members: Mapping[str, bytes], column: str) -> Field | None:
    names = (column, column.removesuffix("s"))
    plain = [f"{name}.{kind}" for kind in ("npy", "txt", "cls", "json") for name in names]
    for extension in [*plain, "cls"] if column == "puzzle_identifiers" else plain:
        if extension in members:
            return Field(extension, "")
    for extension, content in sorted(members.items()):
        if extension == "npz" and column in _npz_names(content):
            return Field(extension, column)
        if extension == "json":
            value = _json(content)
            if isinstance(value, dict) and column in value:
                return Field(extension, column)
    return None


def parse_field(members: Mapping[str, bytes], field: Field, charset: str | None) -> np.ndarray:
    """Whole numbers, int64, of any shape. MemberError says in a few words what is wrong."""
    content = members.get(field.extension)
    if content is None:
        raise MemberError(f"has no {field.extension}, samples before it have one")
    kind = field.extension.rpartition(".")[2]
    try:
        if kind == "npy":
            return _npy(content)
        if kind == "npz":
            return _npy(_npz(content, field.name))
        if kind == "json":
            value = _json(content)
            return _numbers(value[field.name] if field.name else value)
        if kind == "cls":
            return np.array(int(content.decode("ascii")), np.int64)
        if kind == "txt":
            return _text(content, charset)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        reason = ascii(str(error)[:120])[1:-1]
        raise MemberError(f"has a .{field.extension} that is not understood: {reason}") from error
    raise MemberError(f"has a .{field.extension}, understood are {', '.join(_KINDS)}")


def _npy(content: bytes) -> np.ndarray:
    """Any integer array without axes or with."""
    try:
        dtype, shape, fortran, header = npy_layout(content)
    except MemberError as error:
        raise ValueError(f"it {error}") from error
    if dtype.kind not in "iub":
        raise ValueError(f"it holds {dtype}, not numbers")
    array = np.frombuffer(content, dtype, offset=header)
    return _int64(array.reshape(shape, order="F" if fortran else "C"))


def _int64(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint64 and array.size and int(array.max()) >= 1 << 63:
        raise ValueError("it holds numbers beyond 63 bits")
    return array.astype(np.int64)


def _npz_names(content: bytes) -> list[str]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise MemberError("has a damaged .npz") from error


def _npz(content: bytes, name: str) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            info = archive.getinfo(f"{name}.npy")
            with archive.open(info) as stream:
                data = stream.read(MAX_FIELD_BYTES + 1)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError) as error:
        raise ValueError("damaged or encrypted") from error
    except Exception as error:  # what the decompressors raise is of many kinds
        raise ValueError(f"{name} is missing or damaged") from error
    if len(data) > MAX_FIELD_BYTES:
        raise ValueError(f"{name} unpacks to more than {MAX_FIELD_BYTES} bytes")
    return data


def _json(content: bytes) -> Any:
    try:
        return parse_json(content)
    except ValueError as error:
        raise MemberError(f"has a damaged .json ({error})") from error


def _numbers(value: Any) -> np.ndarray:
    array = np.array(value)
    if array.dtype.kind not in "iub" or array.size == 0:
        raise ValueError("whole numbers, in lists of equal length, are expected")
    return _int64(array)


def _text(content: bytes, charset: str | None) -> np.ndarray:
    text = content.decode("ascii").removesuffix("\n").replace("\r", "").replace("\n", "")
    if charset is None:
        raise ValueError("give --charset, the characters of tokens 1, 2, ...")
    if unknown := sorted(set(text) - set(charset)):
        raise ValueError(f"{unknown[0]!r} is not in --charset {charset!r}")
    return np.array([charset.index(character) + 1 for character in text], np.int64)
