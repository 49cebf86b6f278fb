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
from contextlib import suppress
from typing import NoReturn

from hrm_scale.base.untrusted import printable

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

    Each argument is one problem and one line of the message; a line break inside one, which can
    only come from a file or a name, is shown as an escape.
    `already_reported` is set when another process of the run reports it; this one ends in silence.
    """

    exit_code = EXIT_INTERNAL
    already_reported = False

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)

    def __str__(self) -> str:
        return "\n".join(map(printable, self.args))

    @property
    def line(self) -> str:
        """All problems on one line."""
        return "; ".join(map(printable, self.args))


class ConfigError(HrmError):
    """A command line or configuration that cannot be run. May hold several problems."""

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
    from hrm_scale.base.plugins import take_plugins

    debug = os.environ.get("HRM_SCALE_DEBUG", "") not in ("", "0")
    _prepare_streams()
    try:
        code = main(take_plugins(arguments)) or EXIT_OK
        sys.stdout.flush()
    except HrmError as error:
        if debug:
            raise
        # A stop that was asked for is no error.
        prefix = "" if isinstance(error, Stopped) else "error: "
        code = error.exit_code
        if not error.already_reported:
            _report(str(error), code, prefix)
    except KeyboardInterrupt:
        if debug:
            raise
        code = _report("interrupted", EXIT_INTERRUPTED, prefix="")
    except BrokenPipeError:
        # The reader of our output (`head`, a pager) went away: not an error worth words.
        code = EXIT_OK
    except Exception as error:
        if debug or (known := describe(error)) is None:
            raise
        code = _report(*known)
    _settle_streams()
    sys.exit(code)


def describe(error: BaseException) -> tuple[str, int] | None:
    """The line and the exit code for an exception that the path or machine at hand explains.

    None for every other one: a fault of the program, whose traceback is what helps.
    """
    if isinstance(error, FileNotFoundError) and error.filename is None:  # of os.getcwd
        return "the current folder is gone: change to another one", EXIT_ENVIRONMENT
    if isinstance(error, OSError):
        for words, code in ((_PATHS, EXIT_CONFIG), (_MACHINE, EXIT_ENVIRONMENT)):
            if (text := words.get(error.errno or 0)) is not None:
                where = "" if error.filename is None else f" ({_brief(error.filename)})"
                return f"{text}{where}", code
        return None
    if isinstance(error, RecursionError):
        return "something given is nested too deeply, or names itself", EXIT_DATA
    text = str(error)
    if isinstance(error, RuntimeError) and text.startswith("Symlink loop"):  # of pathlib
        return f"{_PATHS[errno.ELOOP]} ({_brief(text.rpartition(' ')[2])})", EXIT_CONFIG
    # torch has an exception of its own for a GPU, and a RuntimeError for the CPU.
    short = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if short or "DefaultCPUAllocator: " in text:
        detail = text.partition("DefaultCPUAllocator: ")[2] or text
        reason = f" ({_brief(detail)})" if detail else ""
        return (
            f"not enough memory{reason}: choose smaller sizes; `python -m tools.plan` prints the"
            " settings that fit a training"
        ), EXIT_ENVIRONMENT
    return None


# A path that was typed, and cannot be used as it was meant.
_PATHS = {
    errno.EEXIST: "there is a file already: choose another path",
    errno.ENOTDIR: "a file is in the place of a folder: choose another path",
    errno.EISDIR: "a folder is in the place of a file: choose another path",
    errno.ENOENT: "no such file or folder",
    errno.ENAMETOOLONG: "the name is too long: a file name has at most 255 bytes, a path 4095",
    errno.ELOOP: "the link leads back to itself: choose another path",
    errno.ENXIO: "a pipe or device is in the place of a file: choose another path",
}
_MACHINE = {
    errno.ENOSPC: "no space left on the disk: free some, or choose another output folder",
    errno.EDQUOT: "disk quota exceeded: free some space, or choose another output folder",
    errno.EACCES: "permission denied: choose a folder you may write to",
    errno.EPERM: "not permitted: choose a folder you may write to",
    errno.EROFS: "the file system is read-only: choose another output folder",
    errno.EMFILE: "too many open files: raise the limit, such as `ulimit -n 1024`",
    errno.ENFILE: "the machine has too many open files: close some programs",
    errno.EIO: "the disk cannot be read or written",
    errno.ESTALE: "the network file system has lost the file",
    errno.ENOMEM: "not enough memory",
}


def _brief(text: object) -> str:
    """Enough of a path or a library's message to recognise it by."""
    shown = os.fsdecode(text) if isinstance(text, bytes) else " ".join(str(text).split())
    return shown if len(shown) <= 200 else f"{shown[:200]}..."


def _report(message: str, code: int, prefix: str = "error: ") -> int:
    from hrm_scale.base.programs import as_typed
    from hrm_scale.base.redaction import redact

    lines = [printable(line) for line in as_typed(redact(message)).split("\n")]
    # Nobody may be there to read it; the exit code says it all the same.
    with suppress(OSError):
        indent = " " * len(prefix)
        print(f"{prefix}{lines[0]}", *lines[1:], sep=f"\n{indent}", file=sys.stderr, flush=True)
    return code


def _prepare_streams() -> None:
    """Standard streams that can be written to, whatever the caller has closed (`>&-`)."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            # Left closed, the next file to be opened gets the number, and all that is printed.
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
        elif mode == "w" and hasattr(stream, "reconfigure"):
            # A terminal that lacks a character shows its number.
            stream.reconfigure(errors="backslashreplace")


def _settle_streams() -> None:
    """Write out what is left, or drop it: the interpreter would complain at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def nearest(value: str, allowed: list[str]) -> str:
    """`` Did you mean 'x'?`` for the closest allowed spelling, or an empty string."""
    import difflib

    close = difflib.get_close_matches(value, allowed, n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""
