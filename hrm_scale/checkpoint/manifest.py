"""`manifest.json`: what makes a folder a checkpoint. Written last, removed first.

It lists every file with its size and sha256, so a folder that has a manifest and agrees with it is
complete and undamaged, and one that does not is named with the first thing that is wrong.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hrm_scale.base.errors import CheckpointError
from hrm_scale.base.untrusted import open_regular, parse_json, read_bytes
from hrm_scale.checkpoint.tensor_file import FileEntry

MANIFEST = "manifest.json"
FORMAT = "hrm_scale.checkpoint"
SCHEMA = 1
MAX_DOCUMENT_BYTES = 16 << 20
"""Largest manifest or other JSON file of a checkpoint; usual ones have some kilobytes."""
MAX_STEP = 1 << 53
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Manifest:
    """A checkpoint's table of contents. `files` maps plain file names to size and sha256."""

    step: int
    files: Mapping[str, FileEntry]

    @property
    def total_bytes(self) -> int:
        """Size of all listed files together."""
        return sum(entry.bytes for entry in self.files.values())

    def to_json(self) -> bytes:
        document = {
            "format": FORMAT,
            "schema": SCHEMA,
            "step": self.step,
            "files": {name: asdict(self.files[name]) for name in sorted(self.files)},
        }
        return (json.dumps(document, indent=2) + "\n").encode()


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a checkpoint folder.

    Raises CheckpointError (one line) when there is none, it is not ours, it is of a newer
    schema, or it is damaged.
    """
    path = folder / MANIFEST
    try:
        document = parse_json(read_bytes(path, MAX_DOCUMENT_BYTES))
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder} is not a complete checkpoint: it has no {MANIFEST}"
            " (its save did not finish, or another program made it)"
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {_brief(error)}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise CheckpointError(f"{folder} is not a checkpoint of this program: foreign {MANIFEST}")
    schema = document.get("schema")
    if type(schema) is int and schema > SCHEMA:
        raise CheckpointError(
            f"{folder} has checkpoint schema {brief(schema)}, this program reads up to {SCHEMA}:"
            " use the newer version of hrm_scale that wrote it"
        )
    if type(schema) is not int or schema != SCHEMA:
        raise CheckpointError(f"{path} is damaged: schema {brief(schema)} is not valid")
    step, files = document.get("step"), document.get("files")
    if type(step) is not int or not 0 <= step <= MAX_STEP:
        raise CheckpointError(f"{path} is damaged: step {brief(step)} is not valid")
    if not isinstance(files, dict):
        raise CheckpointError(f"{path} is damaged: it lists no files")
    return Manifest(step, {name: _entry(path, name, entry) for name, entry in files.items()})


def _entry(path: Path, name: str, entry: Any) -> FileEntry:
    """One line of the list of files; nothing but a plain name can be asked for."""
    if not _FILE_NAME.fullmatch(name) or name == MANIFEST:
        raise CheckpointError(f"{path} is damaged: file name is not valid: {brief(name)}")
    if isinstance(entry, dict):
        size, digest = entry.get("bytes"), entry.get("sha256")
        if (
            (type(size) is int and size >= 0)
            and isinstance(digest, str)
            and _SHA256.fullmatch(digest)
        ):
            return FileEntry(size, digest)
    raise CheckpointError(f"{path} is damaged: size or sha256 of {name} is not valid")


def first_problem(folder: Path, manifest: Manifest, *, hashes: bool = True) -> str | None:
    """The first file that disagrees with the manifest, as text; None when all agree.

    Sizes of all files are compared before any hash, so the usual damage is found at once. Only
    regular files are looked at: a link leads out of the folder, and a pipe has no end.
    """
    for name, entry in manifest.files.items():
        try:
            found = (folder / name).lstat()
        except FileNotFoundError:
            return f"{name} is missing (expected {entry.bytes} bytes)"
        except OSError as error:
            return f"{name} cannot be read: {_brief(error)}"
        if not stat.S_ISREG(found.st_mode):
            return f"{name} is a link, folder, pipe or device, a regular file is expected: refused"
        if found.st_size != entry.bytes:
            return f"{name} is damaged: expected {entry.bytes} bytes, found {found.st_size}"
    if not hashes:
        return None
    for name, entry in manifest.files.items():
        try:
            with open_regular(folder / name) as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
        except (OSError, ValueError) as error:
            return f"{name} cannot be read: {_brief(error)}"
        if digest != entry.sha256:
            return (
                f"{name} is damaged: expected sha256 {entry.sha256[:12]}..., found {digest[:12]}..."
            )
    return None


def brief(value: object) -> str:
    """A value out of a file, fit for one line of a message."""
    text = repr(value) if isinstance(value, str | int | float | None) else type(value).__name__
    return text if len(text) <= 60 else f"{text[:57]}..."


def _brief(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{error}".splitlines()[0]
