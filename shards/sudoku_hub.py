"""Fetch the published Sudoku-Extreme files from the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hrm_scale.errors import EnvironmentProblem

REPOSITORY = "sapientinc/sudoku-extreme"
FILES = {"train": "train.csv", "test": "test.csv"}
_TIMEOUT_SECONDS = 10


def download(repository: str = REPOSITORY) -> dict[str, Path]:
    """Local paths of {"train": ..., "test": ...}, fetched now or found in the hub's cache.

    Raises EnvironmentProblem when they are neither cached nor to be had. The hub is asked once with
    a short timeout before anything else: the client's own retries would wait for minutes. Whatever
    the client raises is caught here, because its HTTP library, and with it the base of its errors,
    changes from version to version.
    """
    try:
        import huggingface_hub
    except ImportError as error:
        raise EnvironmentProblem(
            "--source hf needs the package huggingface_hub: type `pip install huggingface_hub`, "
            + _WAYS_OUT
        ) from error
    huggingface_hub.logging.set_verbosity_error()
    offline = _why_unreachable(huggingface_hub, repository)
    files = {}
    for split, name in FILES.items():
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
                f"is not in the local cache: {_WAYS_OUT}"
            ) from error
        files[split] = Path(path)
    return files


_WAYS_OUT = (
    "connect this machine, or use --source csv --input DIR_OR_FILE, "
    "or --source generate --size 9 --count 1000"
)


def _why_unreachable(huggingface_hub: Any, repository: str) -> str | None:
    """None when the hub answers, else the reason in a few words."""
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    url = huggingface_hub.hf_hub_url(repository, FILES["test"], repo_type="dataset")
    try:
        huggingface_hub.utils.get_session().head(url, timeout=_TIMEOUT_SECONDS)
    except Exception as error:
        return _one_line(error)
    return None


def _one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
