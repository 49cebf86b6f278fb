"""A training process and the launcher above it: exit status, restarts, and the launcher's death.

torch's elastic agent (torchrun, `accelerate launch`, `hrm_scale.launch`) knows two ends of a
worker: 0, and failed. It answers a failure by ending the other workers where they are and, while
restarts are left, by starting all of them again. A run that stopped on request wants neither.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hrm_scale.base.errors import EXIT_OK, EXIT_STOPPED, HrmError
from hrm_scale.base.machine import launcher_number

STOPPED_FILE = "HRM_SCALE_STOPPED_FILE"
"""Environment variable with a path; a worker that stopped on request makes this file."""
RESTARTED = "HRM_SCALE_RESTARTED"
"""Environment variable that `hrm_scale.launch` sets to 1 when it starts its workers again."""
# torch counts the restarts after failures only, not those after a change of nodes.
_RESTART_COUNTS = (RESTARTED, "TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")


_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def is_restart() -> bool:
    """Whether a launcher or SLURM, not the user, repeats the command of this process."""
    return any(os.environ.get(name, "0") not in ("", "0") for name in _RESTART_COUNTS)


def stop_without_launcher() -> None:
    """Be sent SIGTERM when the launcher that started this process dies.

    A worker whose launcher was killed would train on alone, and keep the run folder from those who
    start the run again. Linux only; without a launcher nothing changes.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    launcher = os.getppid()
    stop_with_parent()
    if os.getppid() != launcher:  # it died a moment ago
        os.kill(os.getpid(), signal.SIGTERM)


def stop_with_parent() -> None:
    """Be sent SIGTERM when the process that started this one dies. Nothing outside Linux."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@contextmanager
def reported_once(kinds: tuple[type[HrmError], ...] = (HrmError,)) -> Iterator[None]:
    """Inside, every process of a run meets the same error of these kinds: rank 0 alone reports
    it."""
    rank = launcher_number("RANK", 0)
    try:
        yield
    except kinds as error:
        error.already_reported = rank > 0
        raise


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
