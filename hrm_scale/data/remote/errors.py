"""How a request to a server fails: for now, or for good."""

from __future__ import annotations


class TransientError(Exception):
    """Failed now, may succeed later. retry_after: seconds the server asked to wait."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class UnreachableError(TransientError):
    """No such host, or nobody listens there: a wrong address, no network, or a server asleep."""


class MissingError(Exception):
    """There is no such file (404)."""


class RefusedError(Exception):
    """Asking again would not help: credentials (403), a request the server does not accept."""


class WrongSizeError(Exception):
    """The file has another size than it should."""


class NoRangesError(Exception):
    """The server sends whole files only."""
