"""Errors a user can cause or meet, and the exit code each one ends the program with.

Every message is one line: what is wrong, where it came from, what is allowed, what to type.
`run_cli` is the only place that turns an exception into an exit code, so no entry point shows a
traceback for something the user can mend. Set ``HRM_SCALE_DEBUG=1`` to see the traceback anyway.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import NoReturn

EXIT_OK = 0
EXIT_INTERNAL = 1
EXIT_CONFIG = 2
EXIT_DATA = 3
EXIT_CHECKPOINT = 4
EXIT_ENVIRONMENT = 5
EXIT_NON_FINITE = 6
EXIT_PEER_LOST = 7
EXIT_GOAL_MISSED = 8
EXIT_STOPPED = 75
EXIT_INTERRUPTED = 130


class HrmError(Exception):
    """Base class: something the user can act on. `exit_code` is the process's exit status.

    `told` is set when another process of the same run tells the user; this one ends in silence.
    """

    exit_code = EXIT_INTERNAL
    told = False


class ConfigError(HrmError):
    """A command line or configuration that cannot be run. May list several problems, one a line."""

    exit_code = EXIT_CONFIG


class DataError(HrmError):
    """Input data or shards that are missing, damaged or not what they claim to be."""

    exit_code = EXIT_DATA


class CheckpointError(HrmError):
    """A checkpoint that is missing, damaged, or does not belong to this run."""

    exit_code = EXIT_CHECKPOINT


class EnvironmentProblem(HrmError):
    """The machine cannot do what was asked: no disk space, no network, a missing package."""

    exit_code = EXIT_ENVIRONMENT


class NonFiniteError(HrmError):
    """Loss or gradient became NaN or infinite."""

    exit_code = EXIT_NON_FINITE


class PeerLost(HrmError):
    """Another process of the run is gone or does not answer; why is in its own output."""

    exit_code = EXIT_PEER_LOST


class Stopped(HrmError):
    """The run was asked to stop and saved its state; the message has the command to resume it."""

    exit_code = EXIT_STOPPED


def run_cli(main: Callable[[list[str]], int | None], argv: list[str] | None = None) -> NoReturn:
    """Run an entry point and leave with the documented exit code.

    `main` takes the arguments without the program's name and returns an exit status (None is 0).
    """
    arguments = sys.argv[1:] if argv is None else argv
    debug = os.environ.get("HRM_SCALE_DEBUG", "") not in ("", "0")
    try:
        code = main(arguments) or EXIT_OK
    except HrmError as error:
        if debug:
            raise
        # A stop that was asked for is no error.
        prefix = "" if isinstance(error, Stopped) else "error: "
        code = error.exit_code if error.told else _report(str(error), error.exit_code, prefix)
    except KeyboardInterrupt:
        if debug:
            raise
        code = _report("interrupted", EXIT_INTERRUPTED, prefix="")
    except BrokenPipeError:
        # The reader of our output (`head`, a pager) went away: not an error worth words.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_OK
    except OSError as error:
        if debug or error.errno not in _DESCRIBED:
            raise
        where = f" ({error.filename})" if error.filename else ""
        code = _report(f"{_DESCRIBED[error.errno]}{where}", EXIT_ENVIRONMENT)
    sys.exit(code)


_DESCRIBED = {
    errno.ENOSPC: "no space left on the disk: free some, or choose another output folder",
    errno.EDQUOT: "disk quota exceeded: free some space, or choose another output folder",
    errno.EACCES: "permission denied: choose a folder you may write to",
    errno.EROFS: "the file system is read-only: choose another output folder",
}


def _report(message: str, code: int, prefix: str = "error: ") -> int:
    from hrm_scale.redaction import redact

    lines = redact(message).splitlines() or [""]
    print(f"{prefix}{lines[0]}", file=sys.stderr)
    for line in lines[1:]:
        print(f"{' ' * len(prefix)}{line}", file=sys.stderr)
    return code


def nearest(value: str, allowed: list[str]) -> str:
    """`` Did you mean 'x'?`` for the closest allowed spelling, or an empty string."""
    import difflib

    close = difflib.get_close_matches(value, allowed, n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""
