"""What a place that data sets are read from can do."""

from __future__ import annotations

from typing import Protocol

from hrm_scale.data.addresses import RemoteOptions


class Source(Protocol):
    """Reads files below one address. Safe for threads, and after a fork.

    Where a method fails for now it tries again by itself (`retry.Retrier`), and raises
    EnvironmentProblem in the end; MissingError and RefusedError come at once.
    """

    name: str
    """The address as messages show it, without credentials."""

    def read(self, path: str, start: int, stop: int, total: int) -> bytes:
        """Bytes start ... stop - 1 of a file of `total` bytes, exactly as many.

        WrongSizeError when the file has another size; NoRangesError when only whole files can be
        had (never for a whole file).
        """

    def read_small(self, path: str, limit: int) -> bytes:
        """A whole file. WrongSizeError beyond `limit` bytes."""

    def size(self, path: str) -> int | None:
        """Bytes of a file; None when the server does not tell."""

    def stats(self) -> dict[str, float]:
        """requests, bytes, retries so far."""

    def after_fork(self) -> None:
        """Called in the child: its parent's locks and connections are not its own."""

    def close(self) -> None:
        """Let go of connections and of whoever waits."""


def open_source(address: str, options: RemoteOptions) -> Source:
    """The source for an address that `parse_address` made. EnvironmentProblem: package missing."""
    scheme = address.split(":")[0]
    if scheme in ("http", "https"):
        from hrm_scale.data.remote.source_http import HttpSource

        return HttpSource(address, options)
    if scheme == "hf":
        from hrm_scale.data.remote.source_hub import open_hub

        return open_hub(address, options)
    from hrm_scale.data.remote.source_bucket import BucketSource

    return BucketSource(address, options)
