"""Addresses of data sets that lie elsewhere, and the settings for reading them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from hrm_scale.base.errors import ConfigError
from hrm_scale.base.redaction import redact

SCHEMES = ("s3", "gs", "http", "https", "hf")
GIB = 1 << 30
# One slash also: a path type makes one of two.
_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{1,20}):(?=/)|(?P<pipe>pipe):")


def default_cache_folder() -> Path:
    """`shards` in `$HRM_SCALE_CACHE` or `~/.cache/hrm_scale` (raw data lie in `raw` beside it)."""
    chosen = os.environ.get("HRM_SCALE_CACHE", "")
    return (Path(chosen) if chosen else Path.home() / ".cache" / "hrm_scale") / "shards"


@dataclass(frozen=True)
class RemoteOptions:
    """cache: folder on a disk of this node. cache_bytes: what it may hold, beyond that the least
    recently used bytes go. retry_seconds: how long one request may fail before the run stops.
    threads: downloads at the same time, of each process. timeout_seconds: silence of a server
    after which a request has failed."""

    cache: Path = field(default_factory=default_cache_folder)
    cache_bytes: int = 32 * GIB
    retry_seconds: float = 600.0
    threads: int = 8
    timeout_seconds: float = 30.0


def is_address(path: str | Path) -> bool:
    """Is this an address (`scheme:/...`, `pipe:...`) and not a folder?"""
    return _ADDRESS.match(str(path)) is not None


def parse_address(text: str) -> str:
    """The address without a slash at its end. ConfigError, one line, for one that is not read.

    Credentials are allowed in http and https addresses only; messages never show them.
    """
    match = _ADDRESS.match(text)
    scheme = (match["scheme"] or match["pipe"]).lower() if match else ""
    shown = " ".join(redact(text).split()) if scheme != "pipe" else "pipe:..."
    if scheme not in SCHEMES:
        raise ConfigError(
            f"{shown}: data sets are not read from {scheme or 'this'}: give a folder, or an address"
            f" that begins with {', '.join(f'{name}://' for name in SCHEMES)}"
        )
    rest = text[len(scheme) + 1 :].lstrip("/")
    address = f"{scheme}://{rest.rstrip('/')}"
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018 - raises ValueError for what is no port
    except ValueError as error:
        raise ConfigError(f"{shown}: not an address ({error})") from error
    if not parts.hostname or any(ord(sign) <= 32 or ord(sign) == 127 for sign in address):
        raise ConfigError(f"{shown}: not an address: expected {scheme}://HOST-OR-BUCKET/FOLDER")
    if parts.fragment or (parts.query and scheme not in ("http", "https")):
        raise ConfigError(f"{shown}: `#` and `?` have no place in the address of a data set")
    if "@" in parts.netloc and scheme not in ("http", "https"):
        raise ConfigError(
            f"{shown}: credentials do not belong into this address: set them in the environment"
            " (docs/streaming.md in a clone)"
        )
    if ".." in parts.path.split("/"):
        raise ConfigError(f"{shown}: `..` has no place in the address of a data set")
    return address
