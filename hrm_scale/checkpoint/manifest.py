"""`manifest.json`: what makes a folder a checkpoint. Written last, removed first.

It lists every file with its size and sha256, so a folder that has a manifest and agrees with it is
complete and undamaged, and one that does not is named with the first thing that is wrong.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hrm_scale.checkpoint.tensor_file import FileEntry
from hrm_scale.errors import CheckpointError

MANIFEST = "manifest.json"
FORMAT = "hrm_scale.checkpoint"
SCHEMA = 1


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
        document: Any = json.loads(path.read_bytes())
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
    if isinstance(schema, int) and schema > SCHEMA:
        raise CheckpointError(
            f"{folder} has checkpoint schema {schema}, this program reads up to {SCHEMA}:"
            " use the newer version of hrm_scale that wrote it"
        )
    try:
        files = {
            str(name): FileEntry(int(entry["bytes"]), str(entry["sha256"]))
            for name, entry in document["files"].items()
        }
        manifest = Manifest(int(document["step"]), files)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged: {_brief(error)}") from None
    if schema != SCHEMA or any(not _is_plain(name) for name in files):
        raise CheckpointError(f"{path} is damaged: schema {schema!r} or a file name is not valid")
    return manifest


def first_problem(folder: Path, manifest: Manifest, *, hashes: bool = True) -> str | None:
    """The first file that disagrees with the manifest, as text; None when all agree.

    Sizes of all files are compared before any hash, so the usual damage is found at once.
    """
    for name, entry in manifest.files.items():
        try:
            found = (folder / name).stat().st_size
        except FileNotFoundError:
            return f"{name} is missing (expected {entry.bytes} bytes)"
        except OSError as error:
            return f"{name} cannot be read: {_brief(error)}"
        if found != entry.bytes:
            return f"{name} is damaged: expected {entry.bytes} bytes, found {found}"
    if not hashes:
        return None
    for name, entry in manifest.files.items():
        try:
            with open(folder / name, "rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            return f"{name} cannot be read: {_brief(error)}"
        if digest != entry.sha256:
            return (
                f"{name} is damaged: expected sha256 {entry.sha256[:12]}..., found {digest[:12]}..."
            )
    return None


def _is_plain(name: str) -> bool:
    return Path(name).name == name and name not in ("", ".", "..", MANIFEST)


def _brief(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}".splitlines()[0]
