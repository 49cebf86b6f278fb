"""Which tests run when nothing is selected, in what order, and what the summary says of the rest.

Two tiers: without `--all`, and without a path, `-k` or `-m`, tests marked `slow` are left out. The
unit tests, in folders named after the packages, come first. Skips are one line per reason, and the
last line says how to run what was left out.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest

LAST = ("integration", "reliability", "gpu")
MAX_WORKERS = 8  # about a gigabyte each
LEFT_OUT = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run the slow tests too")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LEFT_OUT] = 0
    option = config.option
    if hasattr(config, "workerinput"):
        option.all = config.workerinput["all"]
    else:
        selected = config.args_source is not pytest.Config.ArgsSource.TESTPATHS
        option.all = option.all or selected or bool(option.keyword or option.markexpr)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["all"] = node.config.option.all


def pytest_xdist_auto_num_workers() -> int:
    """Workers of `-n auto`: the cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cores or 1, MAX_WORKERS)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.option.all:
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        config.stash[LEFT_OUT] = len(slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]
    # Within a folder long files come first: with several workers, short ones fill the end.
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (_folder_order(item), item.path not in long))


def _folder_order(item: pytest.Item) -> int:
    folder = item.path.relative_to(item.config.rootpath / "tests").parts[0]
    return LAST.index(folder) + 1 if folder in LAST else 0


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash[LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = Counter(
        str(report.longrepr[2]).removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    )
    if reasons:
        told = "; ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        terminalreporter.write_line(f"skipped: {told}")


def pytest_unconfigure(config: pytest.Config) -> None:
    left_out = config.stash.get(LEFT_OUT, 0)
    if left_out and not hasattr(config, "workerinput"):
        print(f"{left_out} slow tests were left out; run everything: ./launch.sh test --all")
