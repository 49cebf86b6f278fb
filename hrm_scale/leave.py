"""How a training process leaves when somebody above it watches over its exit status.

torch's elastic agent (torchrun, `accelerate launch`, `hrm_scale.launch`) knows two ends of a
worker: 0, and failed. It answers a failure by ending the other workers where they are and, while
restarts are left, by starting all of them again. A run that stopped on request wants neither.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hrm_scale.errors import EXIT_OK, EXIT_STOPPED

STOPPED_FILE = "HRM_SCALE_STOPPED_FILE"
"""Environment variable with a path; a worker that stopped on request makes this file."""


@contextmanager
def stop_is_no_failure() -> Iterator[None]:
    """Around `run_cli`: where an agent would take "stopped on request" for a failure, leave with 0.

    `hrm_scale.launch` learns of the stop from the file it named, and ends with 75 itself.
    """
    try:
        yield
    except SystemExit as leaving:
        if leaving.code != EXIT_STOPPED:
            raise
        if note := os.environ.get(STOPPED_FILE):
            Path(note).touch()
            sys.exit(EXIT_OK)
        # Other launchers cannot be told; without restarts their table at least shows the 75.
        if int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")) > 0:
            sys.exit(EXIT_OK)
        raise
