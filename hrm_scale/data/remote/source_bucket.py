"""Ranges of objects in buckets (s3://, gs://), by fsspec's file systems.

`obstore` reads several times faster but hangs in a forked process and knows no `AWS_PROFILE` by
itself (numbers: docs/streaming.md, "Libraries").
"""

from __future__ import annotations

import errno
import importlib
import re
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from hrm_scale.base.errors import EnvironmentProblem
from hrm_scale.base.redaction import redact
from hrm_scale.data.addresses import RemoteOptions
from hrm_scale.data.remote.errors import (
    MissingError,
    RefusedError,
    TransientError,
    WrongSizeError,
)
from hrm_scale.data.remote.retry import OPENING_SECONDS, Retrier

Result = TypeVar("Result")
FILE_SYSTEMS = {"s3": ("s3fs", "S3FileSystem"), "gs": ("gcsfs", "GCSFileSystem")}
"""Package and class for each scheme; imported when the first such address is opened."""
# Libraries whose errors tell of the network or the server.
_CLIENTS = frozenset(
    [
        "aiobotocore",
        "aiohttp",
        "asyncio",
        "botocore",
        "fsspec",
        "gcsfs",
        "google",
        "s3fs",
        "urllib3",
    ]
)
_CREDENTIALS = re.compile(
    "NoCredentials|PartialCredentials|CredentialRetrieval|ProfileNotFound|TokenRetrieval"
    "|DefaultCredentialsError|RefreshError|InvalidRegion"
)


class BucketSource:
    """Objects below an s3:// or gs:// address. Credentials come from the environment, as for the
    vendors' own programs (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, `AWS_PROFILE`, ...)."""

    def __init__(self, address: str, options: RemoteOptions) -> None:
        self._scheme, self._base = address.split("://", 1)
        self.name = address
        self._options = options
        self._retrier = Retrier(options.retry_seconds)
        self._requests = self._bytes = 0
        self.after_fork()
        self._open()

    def read(self, path: str, start: int, stop: int, total: int) -> bytes:
        def attempt() -> bytes:
            data: bytes = self._call("cat_file", path, start=start, end=stop)
            if len(data) < stop - start:
                raise TransientError(
                    f"the reply was cut off {stop - start - len(data)} bytes early"
                )
            if len(data) > stop - start:
                raise WrongSizeError(f"sent {len(data)} bytes instead of {stop - start}")
            return data

        return self._retrier.run(f"{self.name}/{path}", attempt)

    def read_small(self, path: str, limit: int) -> bytes:
        def attempt() -> bytes:
            size = self._size(path)
            if size is not None and size > limit:
                raise WrongSizeError(f"has {size} bytes, allowed are {limit}")
            data: bytes = self._call("cat_file", path)
            if len(data) > limit:
                raise WrongSizeError(f"has more than {limit} bytes")
            return data

        return self._retrier.run(f"{self.name}/{path}", attempt, seconds=OPENING_SECONDS)

    def size(self, path: str) -> int | None:
        where = f"{self.name}/{path}"
        return self._retrier.run(where, lambda: self._size(path), seconds=OPENING_SECONDS)

    def stats(self) -> dict[str, float]:
        return {
            "requests": self._requests,
            "bytes": self._bytes,
            "retries": self._retrier.retries,
        }

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self._files: Any = None
        self._retrier.after_fork()

    def close(self) -> None:
        self._retrier.close()

    def _size(self, path: str) -> int | None:
        size = self._call("info", path).get("size")
        return None if size is None else int(size)

    def _open(self) -> Any:
        with self._lock:
            if self._files is None:
                package, name = FILE_SYSTEMS[self._scheme]
                # No instance of before: the credentials in the environment may be others now.
                options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
                if self._scheme == "s3":
                    seconds = self._options.timeout_seconds
                    options["config_kwargs"] = {
                        "connect_timeout": seconds,
                        "read_timeout": seconds,
                        "retries": {"max_attempts": 1},  # trying again is done here
                        "max_pool_connections": max(10, self._options.threads),
                    }
                try:
                    self._files = getattr(importlib.import_module(package), name)(**options)
                except ImportError as error:
                    raise EnvironmentProblem(
                        f"{self.name}: reading {self._scheme}:// needs the package {package}, which"
                        f" is not installed: type `pip install {package}`"
                    ) from error
            return self._files

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        files = self._open()
        with self._lock:
            self._requests += 1
        return self._translated(lambda: getattr(files, method)(f"{self._base}/{path}", **arguments))

    def _translated(self, call: Callable[[], Result]) -> Result:
        try:
            result = call()
        except FileNotFoundError as error:
            raise MissingError("not found") from error
        except PermissionError as error:
            raise RefusedError(f"access denied ({_words(error)})") from error
        except Exception as error:
            name = type(error).__name__
            if _CREDENTIALS.search(name):
                raise RefusedError(f"no usable credentials ({_words(error)})") from error
            if getattr(error, "code", None) in (401, 403):
                raise RefusedError(f"access denied ({_words(error)})") from error
            if isinstance(error, OSError) and error.errno in (errno.EINVAL, errno.ENOSYS):
                if "range" in str(error).lower():
                    raise WrongSizeError("is shorter than it should be") from error
                raise RefusedError(f"the server refuses ({_words(error)})") from error
            if isinstance(error, OSError) or type(error).__module__.split(".")[0] in _CLIENTS:
                raise TransientError(_words(error)) from error
            raise
        if isinstance(result, bytes):
            with self._lock:
                self._bytes += len(result)
        return result


def _words(error: Exception) -> str:
    return redact(" ".join(str(error).split()))[:200] or type(error).__name__
