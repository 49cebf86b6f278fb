"""Data sets on the Hugging Face hub, read over HTTP like any other (ranges, retries, redirects)."""

from __future__ import annotations

import os
import re

from hrm_scale.base.errors import ConfigError
from hrm_scale.data.addresses import RemoteOptions
from hrm_scale.data.remote.source_http import HttpSource

DEFAULT_ENDPOINT = "https://huggingface.co"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_PLACE = re.compile(
    rf"hf://datasets/(?P<repository>{_NAME}/{_NAME})(?:@(?P<revision>[A-Za-z0-9._~-]{{1,100}}))?"
    r"(?P<folder>(?:/[A-Za-z0-9._-]+)*)"
)


def open_hub(address: str, options: RemoteOptions) -> HttpSource:
    """`hf://datasets/OWNER/NAME[@REVISION][/FOLDER]`; the revision is a branch, tag or commit.

    Server: `HF_ENDPOINT`. Token, sent to that server alone: `HF_TOKEN`, or the one of `hf auth
    login`. ConfigError for another address.
    """
    match = _PLACE.fullmatch(address)
    if match is None:
        raise ConfigError(
            f"{address}: data sets on the hub have addresses like"
            " hf://datasets/OWNER/NAME or hf://datasets/OWNER/NAME@REVISION/FOLDER"
        )
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or DEFAULT_ENDPOINT
    revision = match["revision"] or "main"
    url = f"{endpoint}/datasets/{match['repository']}/resolve/{revision}{match['folder']}"
    token = _token()
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return HttpSource(url, options, name=address, headers=headers)


def _token() -> str | None:
    if os.environ.get("HF_TOKEN"):
        return os.environ["HF_TOKEN"].strip()
    try:
        from huggingface_hub import get_token
    except ImportError:
        return None
    return get_token()
