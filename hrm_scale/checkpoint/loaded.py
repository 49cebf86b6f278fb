"""A checkpoint opened for reading: documents at once, tensors when asked for, no pickle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hrm_scale.base.errors import CheckpointError
from hrm_scale.base.untrusted import parse_json, read_bytes
from hrm_scale.checkpoint.discovery import resolve, verify
from hrm_scale.checkpoint.manifest import MAX_DOCUMENT_BYTES, Manifest, read_manifest
from hrm_scale.checkpoint.state_check import Versions, document_problem, state_problem
from hrm_scale.checkpoint.tensor_file import TensorFile

Verification = Literal["sha256", "size", "none"]
FOLDER_KEY = "folder"
"""Key of state.json: the folder that training ran in."""
_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class LoadedCheckpoint:
    """One verified checkpoint.

    parts: tensors by part name ("model", "optimizer", "carry-00000000-00000064", ...).
    state, config, versions: the JSON documents as they were handed to `save`.
    """

    path: Path
    manifest: Manifest
    parts: dict[str, TensorFile]
    state: dict[str, Any]
    config: dict[str, Any]
    versions: dict[str, Any]

    @property
    def step(self) -> int:
        return self.manifest.step

    @property
    def folders(self) -> list[Path]:
        """Where relative paths of its run may begin, most likely first: the folder it was trained
        in, and those above the checkpoint."""
        trained_in = self.state.get(FOLDER_KEY)
        return [*([Path(trained_in)] if trained_in else []), *self.path.resolve().parents]

    def part(self, name: str) -> TensorFile:
        """The tensors of one part. Raises CheckpointError naming the parts there are."""
        if name not in self.parts:
            have = ", ".join(sorted(self.parts)) or "none"
            raise CheckpointError(f"{self.path} has no part '{name}'; it has: {have}")
        return self.parts[name]


def read_checkpoint(path: Path, *, check: Verification = "sha256") -> LoadedCheckpoint:
    """Open a checkpoint folder, or the newest valid one of a run folder.

    check: what to compare with the manifest before trusting any byte. "none" is for a caller
        that has just had the folder verified by `latest_valid`.

    Raises CheckpointError (one line) for missing, damaged, foreign or newer-schema folders, and
    for documents whose values cannot be true, whatever the manifest says.
    """
    path = Path(path)
    folder = resolve(path, hashes=check == "sha256")
    if check == "none" or (folder != path and check == "sha256"):
        manifest = read_manifest(folder)
    else:
        manifest = verify(folder, hashes=check == "sha256")
    parts = {
        name.removesuffix(_SUFFIX): TensorFile(folder / name)
        for name in manifest.files
        if name.endswith(_SUFFIX)
    }
    state, config, versions = (
        _document(folder, manifest, name) for name in ("state", "config", "versions")
    )
    for name, problem in (
        ("state", state_problem(state, manifest.step)),
        ("versions", document_problem(versions, Versions)),
    ):
        if problem is not None:
            raise CheckpointError(f"{folder / name}.json is damaged: {problem}")
    return LoadedCheckpoint(folder, manifest, parts, state, config, versions)


def _document(folder: Path, manifest: Manifest, name: str) -> dict[str, Any]:
    file = f"{name}.json"
    if file not in manifest.files:
        raise CheckpointError(f"{folder} is damaged: its manifest does not list {file}")
    try:
        value = parse_json(read_bytes(folder / file, MAX_DOCUMENT_BYTES))
    except OSError as error:
        reason = error.strerror or str(error)
        raise CheckpointError(f"{folder / file} cannot be read: {reason}") from error
    except ValueError as error:
        raise CheckpointError(f"{folder / file} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{folder / file} is damaged: expected a JSON object")
    return value
