"""Names of a run that nobody named, derived so that the same command means the same run."""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import TYPE_CHECKING, Any

from hrm_scale.base.redaction import redact
from hrm_scale.config.leaves import changed

if TYPE_CHECKING:
    from hrm_scale.config.schema import RunConfig

# Settings that do not change what is learned from the samples seen so far: how long, how fast,
# how often something is written or shown. A run continued with others of these is the same run.
_NOT_IDENTITY = re.compile(
    r"(data_build|epochs|max_\w+|eval_interval|checkpoint_every_eval|project_name|run_name|"
    r"checkpoint_path|resume|seed|engine\..*|checkpoint\..*|evaluation\..*|log\..*|"
    r"data\.(threads|prefetch|verify|on_error|widen|cache|cache_gb|downloads|retry_minutes)|"
    r"early_stopping\..*|guards\..*)"
)
# These were part of the names once: a run folder with such a name is still found.
_FORMER_IDENTITY = re.compile(r"(early_stopping|guards)\..*")


def derived_names(run: RunConfig) -> dict[str, str]:
    """The values of `project_name`, `run_name` and `checkpoint_path` that were left null."""
    # Names become folders and W&B projects: what an address holds of a password must not.
    folder = os.path.basename(os.path.normpath(redact(run.data_path)))
    project = run.project_name or path_safe(f"{folder} {run.arch.name}")
    name = run.run_name or f"seed{run.seed}-{fingerprint(run)}"
    path = run.checkpoint_path or _folder(project, name)
    if run.run_name is None and run.checkpoint_path is None:
        former = f"seed{run.seed}-{fingerprint(run, former=True)}"
        if os.path.isdir(folder := _folder(project, former)):
            name, path = former, folder
    filled = {"project_name": project, "run_name": name, "checkpoint_path": path}
    return {key: value for key, value in filled.items() if getattr(run, key) is None}


def _folder(project: str, name: str) -> str:
    return f"checkpoints/{path_safe(project)}/{path_safe(name)}"


def fingerprint(run: RunConfig, *, former: bool = False) -> str:
    """Eight hex digits of what determines the training apart from its seed and its length.

    Only values that differ from the schema's defaults count, so a key added by a later release
    leaves the names of existing runs as they are. `former`: by the rule of earlier releases.
    """
    values: dict[str, Any] = {
        key: value
        for key, value in changed(run).items()
        if not _NOT_IDENTITY.fullmatch(key) or (former and _FORMER_IDENTITY.fullmatch(key))
    }
    values["data_path"] = os.path.normpath(run.data_path)
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def path_safe(text: str) -> str:
    """`text` as one folder name: letters, digits, '.', '_', '-' and '+'; never hidden or empty."""
    return re.sub(r"[^\w.+-]+", "-", text).strip("-.") or "run"
