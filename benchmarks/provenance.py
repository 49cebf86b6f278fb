"""Where a figure comes from: the command, the machine and the versions it was measured with."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
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
