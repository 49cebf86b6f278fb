"""Tensors in safetensors files: written in one pass with their hash, read one at a time.

The format is the public safetensors one (8-byte little-endian header length, JSON header, raw
little-endian data); any safetensors library opens the files. Writing is done here rather than by
the library because one pass then gives the bytes, their sha256 and an fsync, with no more than one
tensor copied to host memory at a time.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrm_scale.errors import CheckpointError

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
_HEADER_LIMIT = 100 << 20  # the public format's own limit


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
        code, width = _DTYPES[str(tensor.dtype).removeprefix("torch.")]
        end = offset + tensor.numel() * width
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


def read_header(path: Path) -> dict[str, TensorInfo]:
    """Names, types and shapes of a file's tensors, without torch and without their values.

    Raises CheckpointError when the file is missing or is not a safetensors file.
    """
    try:
        with open(path, "rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > _HEADER_LIMIT:
                raise ValueError("header too long")
            header = json.loads(stream.read(length))
        return {
            name: TensorInfo(
                entry["dtype"],
                tuple(entry["shape"]),
                entry["data_offsets"][1] - entry["data_offsets"][0],
            )
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise CheckpointError(f"{path} is not a readable safetensors file: {error}") from error


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

    def _open(self) -> Any:
        from safetensors import SafetensorError, safe_open

        try:
            return safe_open(self.path, framework="pt", device="cpu")
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{self.path} cannot be read: {error}") from error
