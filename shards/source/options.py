"""The options of builders that take boards from the hub, from CSV files or from a generator."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from hrm_scale.base.command_line import natural, positive
from hrm_scale.base.errors import ConfigError


def add_amounts(add: Callable[..., Any], boards: str) -> None:
    """How many boards (their plural) of each split."""
    add("--count", type=positive, metavar="N", help=f"generate: training {boards} (default 1000)")
    add(
        "--subsample-size",
        type=positive,
        metavar="N",
        help=f"hf, csv: so many training {boards}, a random choice that depends on --seed",
    )
    add(
        "--test-size",
        type=natural,
        metavar="N",
        help=f"so many test {boards}, chosen by --seed (default: all; generate: a quarter of "
        "--count, at most 1000)",
    )


def check_source(arguments: argparse.Namespace, only_generate: Sequence[str]) -> None:
    """Raises ConfigError with all options that do not go with --source, one a line."""
    source = arguments.source
    problems = []
    if source == "csv" and arguments.input is None:
        problems.append("--source csv needs --input DIR_OR_FILE")
    if source != "csv" and arguments.input is not None:
        problems.append(f"--input goes with --source csv, not with --source {source}")
    for name in only_generate:
        if source != "generate" and getattr(arguments, name) is not None:
            option = name.replace("_", "-")
            problems.append(f"--{option} goes with --source generate, not with --source {source}")
    if source == "generate" and arguments.subsample_size is not None:
        problems.append("--subsample-size goes with --source hf or csv: use --count instead")
    if source != "generate" and arguments.test_size == 0:
        problems.append("--test-size 0 goes with --source generate: leave it out, or give N > 0")
    if problems:
        raise ConfigError(*problems)
