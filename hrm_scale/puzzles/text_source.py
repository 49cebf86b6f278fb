"""The text of a file of puzzles or of standard input, read within limits."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from pathlib import Path

from hrm_scale.base.errors import DataError
from hrm_scale.base.untrusted import open_regular

STDIN = "-"
MAX_BYTES = 256 << 20
"""Of text, unpacked: twice the largest published set of puzzles."""
_GZIP = b"\x1f\x8b"


def read_text(file: str) -> str:
    """The text (UTF-8) of a file, of a `.gz` file, or of standard input (`-`), which may be packed
    as well. DataError, one line, when it cannot be read or is too large."""
    where = name_of(file)
    try:
        if file == STDIN:
            data = _read(io.BufferedReader(sys.stdin.buffer))  # type: ignore[arg-type]
        else:
            with open_regular(Path(file), links=True) as stream:
                data = _read(stream)
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{where} does not exist") from None
    except UnicodeDecodeError:
        raise DataError(f"{where} is neither text in UTF-8 nor gzip") from None
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError(f"{where} cannot be read: {error}") from None


def name_of(file: str) -> str:
    """How messages call a source."""
    return "standard input" if file == STDIN else f"file={file}"


def _read(stream: io.BufferedReader) -> bytes:
    packed = stream.peek(2)[:2] == _GZIP
    data = (gzip.GzipFile(fileobj=stream) if packed else stream).read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"it holds more than {MAX_BYTES >> 20} MiB of text")
    return data
