"""One process at a time in a run folder."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import IO

from hrm_scale.errors import ConfigError


def lock_run(run_dir: Path) -> IO[str]:
    """Make the run folder and take it; it is free again when the returned file is closed, also by
    the death of the process. Raises ConfigError when another process trains in it."""
    run_dir.mkdir(parents=True, exist_ok=True)
    handle = (run_dir / ".lock").open("w", encoding="utf-8")
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
            raise ConfigError(
                f"another process is training in {run_dir}: wait for it, stop it, or choose"
                " another run_name"
            ) from None
        except OSError:
            pass
    return handle
