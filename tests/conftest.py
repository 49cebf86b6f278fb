"""What all tests share: no network, no accounts, and GPU tests that skip where there is no GPU."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# Before anything imports these libraries: a test never logs in, asks a hub, or leaves traces.
os.environ["WANDB_MODE"] = "offline"
os.environ.setdefault("WANDB_SILENT", "true")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.pop("HRM_SCALE_DEBUG", None)

# Examples take what they take on a loaded machine; a time limit per example only makes flakes. In
# CI the examples are the same at every run: what is searched anew is searched at people's desks.
settings.register_profile(
    "hrm_scale", deadline=None, print_blob=True, derandomize="CI" in os.environ
)
settings.load_profile("hrm_scale")

# A shell that starts tests in the background makes them and all they start deaf to Ctrl-C, nohup to
# a closed terminal; some are about these.
for number, handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, handler)

ROOT = Path(__file__).resolve().parents[1]
pytest_plugins = ["tests.tiers"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    gpu_items = [item for item in items if item.get_closest_marker("gpu")]
    if not gpu_items:
        return
    import torch

    if not torch.cuda.is_available():
        skip = pytest.mark.skip(reason="needs a CUDA device")
        for item in gpu_items:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with golden tensors and real data that lies beside a clone, where there is one."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("no ../shared folder beside this clone")
    return folder
