"""Results of a benchmark, with the command, the machine and the versions they are of."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from hrm_scale.base.machine import cpu_model


def provenance(module: str, arguments: Sequence[str], packages: Sequence[str]) -> dict[str, Any]:
    """`command`, `machine` and `versions` of a measurement, for its results file."""
    versions = {package: metadata.version(package) for package in packages}
    return {
        "command": ["python", "-m", module, *arguments],
        "machine": {"cpu": cpu_model(), "cores": os.cpu_count(), "system": platform.platform()},
        "versions": {"python": platform.python_version(), **versions},
    }


def write_results(
    path: Path | None,
    module: str,
    arguments: Sequence[str],
    packages: Sequence[str],
    results: Mapping[str, Any],
) -> None:
    """Write `provenance` and the results as JSON, where a path was given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        document = {**provenance(module, arguments, packages), **results}
        path.write_text(json.dumps(document, indent=1) + "\n")
