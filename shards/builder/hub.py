"""Fetch files of a data set from the Hugging Face hub, or find them in its cache."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hrm_scale.base.errors import EnvironmentProblem

_TIMEOUT_SECONDS = 10


def download(repository: str, files: Mapping[str, str], ways_out: str) -> dict[str, Path]:
    """Local paths of the files {split: name in the repository}, fetched now or found in the cache.

    ways_out: what else the user can do, for messages. Raises EnvironmentProblem when the files are
    neither cached nor to be had. The hub is asked once with a short timeout before anything else:
    the client's own retries would wait for minutes. Whatever the client raises is caught here,
    because its HTTP library, and with it the base of its errors, changes from version to version.
    """
    try:
        import huggingface_hub
    except ImportError as error:
        raise EnvironmentProblem(
            "fetching from the Hugging Face hub needs the package huggingface_hub: type "
            f"`pip install huggingface_hub`, {ways_out}"
        ) from error
    huggingface_hub.logging.set_verbosity_error()
    offline = _why_unreachable(huggingface_hub, repository, [*files.values()][-1])
    paths = {}
    for split, name in files.items():
        try:
            path = huggingface_hub.hf_hub_download(
                repository,
                name,
                repo_type="dataset",
                local_files_only=offline is not None,
                etag_timeout=_TIMEOUT_SECONDS,
            )
        except Exception as error:
            reason = offline or _one_line(error)
            raise EnvironmentProblem(
                f"cannot fetch {name} of {repository} from the Hugging Face hub ({reason}), and it "
                f"is not in the local cache: {ways_out}"
            ) from error
        paths[split] = Path(path)
    return paths


def _why_unreachable(huggingface_hub: Any, repository: str, name: str) -> str | None:
    """None when the hub answers, else the reason in a few words."""
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    url = huggingface_hub.hf_hub_url(repository, name, repo_type="dataset")
    try:
        huggingface_hub.utils.get_session().head(url, timeout=_TIMEOUT_SECONDS)
    except Exception as error:
        return _one_line(error)
    return None


def _one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
