"""One process at a time in a run folder."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import IO

from hrm_scale.base.errors import ConfigError
from hrm_scale.base.machine import boot_clock
from hrm_scale.base.output import make_folder, require_plain_files

# What a run opens in its folder. Opening a pipe blocks until somebody reads or writes it.
_FILES = (".lock", "config.yaml", "metrics.jsonl", "events.jsonl", "log.txt")


class Occupied(ConfigError):
    """Another process works in the folder."""


def lock_run(run_dir: Path, name: str = "checkpoint_path") -> IO[str]:
    """Make the run folder and take it; it is free again when the returned file is closed, also by
    the death of the process. name: what the user typed the folder after.

    The file holds the moment at which it was taken, a `boot_clock`. Raises Occupied when another
    process trains in the folder, ConfigError or EnvironmentProblem when it cannot be a run folder.
    """
    make_folder(run_dir, name)
    require_plain_files(run_dir, _FILES)
    # Not truncated: it may be another process's.
    handle = (run_dir / ".lock").open("a", encoding="utf-8")
    # Systems without flock, and file systems that do not offer it, go without the protection.
    with contextlib.suppress(ImportError):
        import fcntl

        try:
            # Somebody who only looks whether the run is alive holds it for a moment.
            for patience in (0.1, 0.1, 0.0):
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not patience:
                        raise
                    time.sleep(patience)
        except BlockingIOError:
            handle.close()
            raise Occupied(
                f"another process is training in {run_dir}: wait for it, stop it, or choose"
                " another run_name"
            ) from None
        except OSError:
            pass
    with contextlib.suppress(OSError):  # on a full disk only its time says when
        os.utime(handle.fileno())
        os.ftruncate(handle.fileno(), 0)
        os.write(handle.fileno(), json.dumps(boot_clock()).encode())
    return handle
