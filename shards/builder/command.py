"""The command line of a builder: its parser, options that several have, what to type next."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

from hrm_scale.base.command_line import Parser, natural, positive
from hrm_scale.base.errors import ConfigError
from hrm_scale.base.plugins import plugin_words

_EXIT_CODES = """\
exit codes: 0 built, 2 wrong arguments, 3 unusable data, 5 no network or no disk space;
after an error nothing is left half-written
"""
_SOURCES = ("hf", "csv", "generate")


def builder_parser(name: str, makes: str, examples: str, default_dir: str | None = None) -> Parser:
    """The parser of `shards.NAME`. makes: what it builds; examples: shown after the options."""
    parser = Parser(
        prog=f"python -m shards.{name}",
        description=f"{makes} Same arguments, same bytes.",
        epilog=f"{examples}\n{_EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--output-dir",
        type=Path,
        required=default_dir is None,
        default=default_dir,
        metavar="DIR",
        help="folder to make" + (f" (default {default_dir})" if default_dir else ""),
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an existing data set in --output-dir"
    )
    return parser


def add_seed(add: Callable[..., Any], default: int = 0) -> None:
    about = f"of all random choices (default {default})"
    add("--seed", type=natural, default=default, metavar="S", help=about)


def add_augmentation(add: Callable[..., Any], copies: str, default: int = 0) -> None:
    """--num-aug, and --storage of its copies."""
    about = f"{copies} beside itself (default {default})"
    add("--num-aug", type=natural, default=default, metavar="N", help=about)
    add(
        "--storage",
        choices=["online", "dense"],
        default="online",
        help="online: store originals, augment while training (default, small); dense: store every "
        "augmentation",
    )


def add_source(add: Callable[..., Any], published: str, made: str, columns: str) -> None:
    """--source and --input. columns: of a CSV file, in words."""
    add(
        "--source",
        choices=_SOURCES,
        default="hf",
        help=f"hf: {published} from the Hugging Face hub (default); csv: your files; generate: "
        f"{made}",
    )
    add(
        "--input",
        type=Path,
        metavar="PATH",
        help="csv: a folder with train.csv and test.csv, or one file (train only, unless "
        f"--test-size splits it); columns {columns}; .csv or .csv.gz",
    )


def add_count(add: Callable[..., Any], noun: str) -> None:
    """--count and --test-size of what is generated."""
    add("--count", type=positive, metavar="N", help=f"training {noun} to generate (default 1000)")
    add(
        "--test-size",
        type=natural,
        metavar="N",
        help=f"so many test {noun}, chosen by --seed (default: all there are; of generated ones a "
        "quarter of --count, at most 1000)",
    )


def add_subsample(add: Callable[..., Any], noun: str) -> None:
    add(
        "--subsample-size",
        type=positive,
        metavar="N",
        help=f"hf, csv: so many training {noun}, a random choice that depends on --seed",
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


def given(arguments: argparse.Namespace) -> dict[str, Any]:
    """The arguments that have a value; a request has defaults for the others."""
    return {name: value for name, value in vars(arguments).items() if value is not None}


def built(directory: Path, splits: Mapping[str, Sized], noun: str, augmentation: str) -> str:
    """The last line of a builder of boards."""
    counts = " and ".join(f"{len(boards)} {split}" for split, boards in splits.items())
    return f"built {directory}: {counts} {noun}, {augmentation} · {next_steps(directory)}"


def augmented(count: int, storage: str) -> str:
    return f"augmentations of train: {f'{count} of each ({storage})' if count else 'none'}"


def next_steps(directory: Path) -> str:
    """What to type after building, with the `--puzzle FILE` that this data set needs."""
    folder, plugins = shlex.quote(str(directory)), plugin_words()
    train = shlex.quote(f"data_path={directory}")
    return (
        f"next: `python -m tools.shards info {folder}{plugins}`, then "
        f"`python -m hrm_scale.train {train}{plugins}`"
    )
