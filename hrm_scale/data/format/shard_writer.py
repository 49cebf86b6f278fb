"""Write records into USTAR shards whose bytes depend on nothing but their content.

Not by `webdataset.TarWriter`: it pads every archive to 10 KiB, which would change the sha256 of all
shards and so the fingerprint of every data set, and it reports neither offsets nor hashes.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np
import xxhash

from hrm_scale.data.format.index import MemberEntry, RecordEntry, ShardEntry
from hrm_scale.data.format.meta import member_name, npy_header

BLOCK = 512
END_OF_ARCHIVE = bytes(2 * BLOCK)
ZSTD_LEVEL = 3


class ShardWriter:
    """Appends records; starts a new shard once the current one has reached `shard_bytes`."""

    def __init__(self, folder: Path, *, shard_bytes: int, codec: str) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._shard_bytes = shard_bytes
        self._codec = codec
        self._stream: IO[bytes] | None = None
        self._position = 0
        self._sha256 = hashlib.sha256()
        self._shards: list[ShardEntry] = []
        self.entries: list[RecordEntry] = []
        self._compressor = None
        if codec == "zst":
            import zstandard

            self._compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_content_size=True)

    @property
    def records(self) -> int:
        return len(self.entries)

    def write_record(self, columns: Mapping[str, np.ndarray]) -> None:
        """Append one record: one member per column, in the order of the names."""
        if self._stream is not None and self._position >= self._shard_bytes:
            self._close_shard()
        if self._stream is None:
            name = f"shard-{len(self._shards):05d}.tar"
            self._stream = (self._folder / name).open("wb")
            self._position = 0
            self._sha256 = hashlib.sha256()
        members: dict[str, MemberEntry] = {}
        examples = 0
        for column in sorted(columns):
            array = columns[column]
            examples = len(array)
            content = npy_header(array.dtype.str, array.shape) + array.tobytes()
            if self._compressor is not None:
                content = self._compressor.compress(content)
            info = tarfile.TarInfo(member_name(len(self.entries), column, self._codec))
            info.size = len(content)
            info.mode = 0o644  # mtime, uid and gid stay 0, the names of owner and group empty
            self._append(info.tobuf(tarfile.USTAR_FORMAT))
            members[column] = MemberEntry(
                self._position, len(content), xxhash.xxh3_64_intdigest(content)
            )
            self._append(content)
            self._append(bytes(-len(content) % BLOCK))
        self.entries.append(RecordEntry(len(self._shards), examples, members))

    def close(self) -> list[ShardEntry]:
        if self._stream is not None:
            self._close_shard()
        return self._shards

    def abandon(self) -> None:
        """Close the file without finishing it; the caller removes the folder."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _append(self, data: bytes) -> None:
        assert self._stream is not None
        self._stream.write(data)
        self._sha256.update(data)
        self._position += len(data)

    def _close_shard(self) -> None:
        # Two zero blocks end an archive; padding to 10 KiB, as `tar` does, would only add bytes.
        self._append(END_OF_ARCHIVE)
        assert self._stream is not None
        name = Path(self._stream.name).name
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        self._stream = None
        self._shards.append(ShardEntry(name, self._position, self._sha256.hexdigest()))
