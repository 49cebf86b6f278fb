"""Tensors in safetensors files: written in one pass with their hash, read one at a time.

The format is the public safetensors one (8-byte little-endian header length, JSON header, raw
little-endian data); any safetensors library opens the files. Files are not written by
`safetensors.torch.save_file`: it copies all tensors of a GPU to the host at once, refuses strided
and shared tensors, has no fsync, and needs a second read for the sha256. Headers are not read by
`safe_open`: it accepts names given twice, names that do not print, and headers of 100 MB.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrm_scale.base.errors import CheckpointError
from hrm_scale.base.untrusted import open_regular, parse_json

if TYPE_CHECKING:
    from torch import Tensor

_DTYPES = {  # torch name -> (safetensors name, bytes)
    "float64": ("F64", 8),
    "int64": ("I64", 8),
    "float32": ("F32", 4),
    "int32": ("I32", 4),
    "bfloat16": ("BF16", 2),
    "float16": ("F16", 2),
    "int16": ("I16", 2),
    "uint8": ("U8", 1),
    "int8": ("I8", 1),
    "bool": ("BOOL", 1),
}
_BLOCK = 16 << 20
_WIDTHS = dict(_DTYPES.values())
_HEADER_LIMIT = 16 << 20  # about 100,000 tensors; the public format allows 100 MB
_NAME_LIMIT = 1000
_MAX_DIMENSIONS = 16
_LARGEST = 1 << 56  # bytes or elements; no file is that large


@dataclass(frozen=True)
class FileEntry:
    """What the manifest says of one file."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of a file, without its values. `dtype` is the safetensors name, such as F32."""

    dtype: str
    shape: tuple[int, ...]
    bytes: int

    @property
    def numel(self) -> int:
        return math.prod(self.shape)


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> FileEntry:
    """Write `tensors` (any device) by name to a new file, fsync it, return its size and sha256."""
    # Wide types first keeps every tensor aligned to its own width.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in names:
        tensor = tensors[name]
        code = type_code(tensor)
        end = offset + tensor.numel() * _WIDTHS[code]
        header[name] = {
            "dtype": code,
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with open(path, "xb") as stream:
        for piece in _pieces(text, [tensors[name] for name in names]):
            stream.write(piece)
            digest.update(piece)
        stream.flush()
        os.fsync(stream.fileno())
    return FileEntry(8 + len(text) + offset, digest.hexdigest())


def _pieces(header: bytes, tensors: list[Tensor]) -> Iterator[bytes | memoryview]:
    import torch

    yield struct.pack("<Q", len(header))
    yield header
    for tensor in tensors:
        flat = tensor.detach().contiguous().reshape(-1).view(torch.uint8).cpu()
        view = flat.numpy().data
        for start in range(0, len(view), _BLOCK):
            yield view[start : start + _BLOCK]


def type_code(tensor: Tensor) -> str:
    """A tensor's type as safetensors calls it, such as F32."""
    return _DTYPES[str(tensor.dtype).removeprefix("torch.")][0]


def read_header(path: Path) -> dict[str, TensorInfo]:
    """Names, types and shapes of a file's tensors, without torch and without their values.

    Every number is checked against the file before anything trusts it: the tensors must lie one
    after the other, fill the file, and have the bytes that type and shape ask for.

    Raises CheckpointError when the file is missing or is not a safetensors file.
    """
    try:
        with open_regular(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            start = stream.read(8)
            if len(start) < 8:
                raise ValueError("too short for a header")
            (length,) = struct.unpack("<Q", start)
            if length > min(_HEADER_LIMIT, size - 8):
                raise ValueError(f"its header claims {length} bytes")
            header = parse_json(stream.read(length))
        if not isinstance(header, dict):
            raise ValueError("its header is not a JSON object")
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict):
            raise ValueError("its metadata is not a JSON object")
        placed = {name: _tensor_info(name, entry) for name, entry in header.items()}
        at = 0
        for begin, count, name in sorted((b, info.bytes, n) for n, (b, info) in placed.items()):
            if begin != at:
                raise ValueError(f"tensor {name!r} starts at byte {begin}, expected {at}")
            at += count
        if at != size - 8 - length:
            raise ValueError(f"it holds {size - 8 - length} bytes of values, its header says {at}")
    except OSError as error:
        reason = error.strerror or str(error)
        raise CheckpointError(f"{path} is not a readable safetensors file: {reason}") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not a readable safetensors file: {error}") from error
    return {name: info for name, (_, info) in placed.items()}


def _tensor_info(name: str, entry: Any) -> tuple[int, TensorInfo]:
    """(first byte, description) of one entry of a header. ValueError when it cannot be true."""
    if not name.isprintable() or len(name) > _NAME_LIMIT:
        raise ValueError(f"a tensor has the name {name[:40]!r}")
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor {name!r} is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _WIDTHS:
        raise ValueError(f"tensor {name!r} has the unknown type {str(dtype)[:40]!r}")
    if not _are_sizes(shape) or len(shape) > _MAX_DIMENSIONS:
        raise ValueError(f"tensor {name!r} has an impossible shape")
    # Also a tensor without elements must have strides that fit 64 bits.
    if math.prod(max(side, 1) for side in shape) > _LARGEST:
        raise ValueError(f"tensor {name!r} has an impossible shape")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"tensor {name!r} has impossible offsets")
    begin, end = offsets
    wanted = math.prod(shape) * _WIDTHS[dtype]
    if end - begin != wanted:
        raise ValueError(f"tensor {name!r} has {end - begin} bytes, its shape needs {wanted}")
    return begin, TensorInfo(dtype, tuple(shape), wanted)


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(
        type(value) is int and 0 <= value <= _LARGEST for value in values
    )


class TensorFile(Mapping[str, "Tensor"]):
    """The tensors of one file by name. Values are read when asked for, each time anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.infos = read_header(path)

    def __getitem__(self, name: str) -> Tensor:
        """The whole tensor, on the CPU, in the stored type."""
        self._need(name)
        with self._open() as file:
            return file.get_tensor(name)

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """Rows [start, stop) of the first dimension, reading no more than those."""
        self._need(name)
        with self._open() as file:
            return file.get_slice(name)[start:stop]

    def __iter__(self) -> Iterator[str]:
        return iter(self.infos)

    def __len__(self) -> int:
        return len(self.infos)

    def _need(self, name: str) -> None:
        if name not in self.infos:
            raise KeyError(f"{self.path.name} holds no tensor '{name}'")

    @contextlib.contextmanager
    def _open(self) -> Iterator[Any]:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, framework="pt", device="cpu") as file:
                yield file
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{self.path} cannot be read: {error}") from error
