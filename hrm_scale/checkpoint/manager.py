"""Saving: all of a checkpoint or nothing of it, whatever happens in between."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrm_scale.base.errors import CheckpointError
from hrm_scale.base.files import commit_folder, write_file
from hrm_scale.checkpoint.best import mark_best
from hrm_scale.checkpoint.discovery import (
    checkpoints_folder,
    latest_valid,
    step_folder_name,
    weights_folder_name,
)
from hrm_scale.checkpoint.manifest import MANIFEST, Manifest
from hrm_scale.checkpoint.ranks import SINGLE, Ranks
from hrm_scale.checkpoint.retention import clean_leftovers, prune
from hrm_scale.checkpoint.tensor_file import FileEntry, write_tensors
from hrm_scale.checkpoint.versions import collect_versions

if TYPE_CHECKING:
    from torch import Tensor

_PART = re.compile(r"[a-z0-9][a-z0-9_-]*")
Parts = Mapping[str, Mapping[str, "Tensor"]]


class CheckpointNotSaved(CheckpointError):
    """A save failed and left nothing behind; earlier checkpoints are intact.

    Training can go on: catch it, warn, try again at the next save. Uncaught (the last save of a
    run) it ends the program with the checkpoint exit code.
    """


@dataclass(frozen=True)
class _Written:
    """What one rank did: its files, or why it could not write them."""

    files: dict[str, FileEntry] = field(default_factory=dict)
    failure: str | None = None


class CheckpointManager:
    """Saves and finds the checkpoints of one run folder.

    keep_last: how many usable checkpoints stay after a save; None keeps all.
    ranks: the processes that share the run folder (and its file system). Every rank calls every
        method at the same step; rank 0 decides, writes the documents and the manifest.
    saving: the same processes over connections of their own, for saves beside other work.

    Attributes:
        last_path, last_bytes: newest checkpoint saved by this object, None before the first.
        warnings: what went wrong after a successful save (an old folder that would not go).
            The caller shows and clears them.
    """

    def __init__(
        self,
        run_dir: Path,
        keep_last: int | None = 3,
        ranks: Ranks = SINGLE,
        saving: Ranks | None = None,
    ) -> None:
        if keep_last is not None and keep_last < 1:
            raise ValueError(f"keep_last={keep_last}: at least one checkpoint must be kept")
        self.run_dir = Path(run_dir)
        self.keep_last = keep_last
        self.ranks = ranks
        self._saving = saving or ranks
        self.last_path: Path | None = None
        self.last_bytes: int | None = None
        self.warnings: list[str] = []
        self._cleaned = False

    def latest_valid(self) -> tuple[Path | None, list[str]]:
        """The newest checkpoint whose sizes and hashes verify, the same on every rank, and one line
        for each newer folder that was refused."""
        found = latest_valid(self.run_dir) if self.ranks.is_first else None
        newest, refusals = self.ranks.from_first(found)
        return newest, refusals

    def save(
        self,
        step: int,
        parts: Parts,
        state: Mapping[str, Any],
        config: Mapping[str, Any],
        *,
        best: bool = False,
    ) -> Path:
        """Write `checkpoints/step-XXXXXXXX` and make it durable; then delete what is too old.

        parts: tensors by part name; each becomes PART.safetensors. Ranks hand in different
            parts (rank 0 the model, each its own `carry-LO-HI`), never the same name twice.
        state, config: JSON values; rank 0's are written.
        best: `checkpoints/best` shall name it, and it is not deleted while it does.

        A checkpoint of the same step is replaced: what is in memory is what the run goes on
        from, and it may differ from an earlier visit to this step. The old one is deleted only
        after the new one is in place.

        Raises CheckpointNotSaved on any failure to write (no space, quota, permissions, a
        broken disk) on any rank; the temporary folder is gone then.
        """
        if bad := [name for name in parts if not _PART.fullmatch(name)]:
            raise ValueError(f"part name {bad[0]!r}: lower-case letters, digits, '_' and '-' only")
        self.last_path, self.last_bytes = self._write_folder(
            step, step_folder_name(step), parts, state, config
        )
        if self.ranks.is_first:
            if best:
                self.warnings += mark_best(self.run_dir, step)
            if self.keep_last is not None:
                self.warnings += prune(self.run_dir, self.keep_last, self.last_path)
        return self.last_path

    def save_weights(
        self, step: int, parts: Parts, state: Mapping[str, Any], config: Mapping[str, Any]
    ) -> Path:
        """Write `checkpoints/weights-XXXXXXXX`, for evaluation only: no run goes on from it.

        For a run that has ended and found no room for a whole checkpoint. As `save`, but nothing
        is deleted.
        """
        return self._write_folder(step, weights_folder_name(step), parts, state, config)[0]

    def _write_folder(
        self,
        step: int,
        name: str,
        parts: Parts,
        state: Mapping[str, Any],
        config: Mapping[str, Any],
    ) -> tuple[Path, int]:
        """A folder and its size, made by all ranks together, or CheckpointNotSaved on all."""
        documents = _documents(step, state, config) if self.ranks.is_first else {}
        temporary = self._open_temporary(step, name)
        try:
            outcome = self._saving.all_gather(_write(temporary, parts, documents))
            return self._commit(step, temporary, temporary.with_name(name), outcome)
        except BaseException:
            # Also for Ctrl-C in the middle of a save.
            if self.ranks.is_first:
                shutil.rmtree(temporary, ignore_errors=True)
            raise

    def _open_temporary(self, step: int, name: str) -> Path:
        """Make the folder all ranks write into. Its name is the same on every rank."""
        parent = checkpoints_folder(self.run_dir)
        temporary = parent / f".{name}.tmp-{secrets.token_hex(4)}"
        failure = None
        if self.ranks.is_first:
            try:
                parent.mkdir(parents=True, exist_ok=True)
                if not self._cleaned:
                    clean_leftovers(self.run_dir)
                    self._cleaned = True
                temporary.mkdir()
            except OSError as error:
                failure = _reason(error)
        temporary, failure = self._saving.from_first((temporary, failure))
        if failure is not None:
            raise self._not_saved(step, [failure])
        return temporary

    def _commit(
        self, step: int, temporary: Path, target: Path, outcome: list[_Written]
    ) -> tuple[Path, int]:
        """Manifest last, then the name. All ranks learn how it went."""
        failures = [written.failure for written in outcome if written.failure is not None]
        if failures:
            raise self._not_saved(step, failures)
        files: dict[str, FileEntry] = {}
        for written in outcome:
            if twice := files.keys() & written.files.keys():
                raise ValueError(f"two ranks wrote {sorted(twice)[0]}")
            files |= written.files
        manifest = Manifest(step, files)
        failure = None
        if self.ranks.is_first:
            try:
                write_file(temporary / MANIFEST, manifest.to_json())
                commit_folder(temporary, target)
            except OSError as error:
                failure = _reason(error)
        failure = self._saving.from_first(failure)
        if failure is not None:
            raise self._not_saved(step, [failure])
        return target, manifest.total_bytes

    def _not_saved(self, step: int, failures: list[str]) -> CheckpointNotSaved:
        last = self.last_path if self.last_path is not None else "none yet by this process"
        return CheckpointNotSaved(
            f"checkpoint of step {step} not saved in {checkpoints_folder(self.run_dir)}:"
            f" {'; '.join(sorted(set(failures)))}. Nothing half-written was left;"
            f" last good checkpoint: {last}"
        )


def _documents(step: int, state: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, bytes]:
    # Encoded before anything is created: a value JSON cannot hold is a programming error.
    contents = {
        "state.json": {**state, "step": step},
        "config.json": dict(config),
        "versions.json": collect_versions(),
    }
    return {name: (json.dumps(value, indent=2) + "\n").encode() for name, value in contents.items()}


def _write(folder: Path, parts: Parts, documents: Mapping[str, bytes]) -> _Written:
    """Write and fsync this rank's files. A failure is returned, not raised: all must hear of it."""
    files: dict[str, FileEntry] = {}
    try:
        for name, tensors in parts.items():
            file = f"{name}.safetensors"
            files[file] = write_tensors(folder / file, tensors)
        for file, data in documents.items():
            write_file(folder / file, data)
            files[file] = FileEntry(len(data), hashlib.sha256(data).hexdigest())
    except OSError as error:
        return _Written(failure=_reason(error))
    return _Written(files=files)


def _reason(error: OSError) -> str:
    where = f" ({Path(error.filename).name})" if error.filename else ""
    return f"{(error.strerror or str(error)).lower()}{where}"
