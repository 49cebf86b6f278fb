"""Build an ARC data set: python -m shards.arc --dataset-dirs DIR... [options]"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hrm_scale.base.errors import ConfigError

from ..builder import command

if TYPE_CHECKING:
    from .build import Built, Request

_DEFAULT_DIRS = ("dataset/raw-data/ARC-AGI/data", "dataset/raw-data/ConceptARC/corpus")
_EXAMPLES = """\
examples:
  python -m shards.arc --dataset-dirs ARC-AGI/data ConceptARC/corpus
  python -m shards.arc --dataset-dirs ARC-AGI-2/data --output-dir data/arc-2-aug-1000
  python -m shards.arc --input-file-prefix kaggle/combined/arc-agi \\
      --subsets training2 evaluation2 concept --test-set-name evaluation2
"""
_NAMES_SHOWN = 5


def main(argv: list[str]) -> int:
    request = _request(_parser().parse_args(argv))
    from hrm_scale.base.progress import say

    from .build import build

    built = build(request)
    for line in _notes(request, built):
        say(f"note: {line}")
    train, test = built.augmented["train"], built.augmented["test"]
    say(
        f"built {request.output_dir} ({request.storage}): {built.identifiers} identifiers · train "
        f"{_counts(train)} · test {_counts(test)} · {command.next_steps(request.output_dir)}"
    )
    return 0


def _notes(request: Request, built: Built) -> list[str]:
    """What a user should know of the tasks, one line each."""
    collection, notes = built.collection, []
    orbits = built.variants.orbits
    few = int((orbits <= request.num_aug).sum())
    if few:
        notes.append(
            f"{few} tasks have fewer than {request.num_aug + 1} distinct variants "
            f"(the fewest: {int(orbits.min())}): all of theirs are taken"
        )
    if unsolved := [task.name for task in collection.tasks if task.unsolved]:
        notes.append(
            f"{len(unsolved)} evaluation tasks have no solution, a black cell stands for it, so "
            f"their score means nothing: {_some(unsolved)}"
        )
    if collection.merged:
        notes.append(
            f"{len(collection.merged)} tasks were found more than once with the same content and "
            f"are taken once: {_some(list(collection.merged))}"
        )
    if collection.renamed:
        notes.append(
            f"{len(collection.renamed)} tasks have the name of another one and are told apart by "
            f"their content: {_some(list(collection.renamed))}"
        )
    if collection.leaks:
        leaks = [f"{task} through {', '.join(by)}" for task, by in collection.leaks.items()]
        shown = f"{len(leaks)} evaluation tasks have a test pair in train: {_some(leaks)}"
        if collection.excluded:
            shown += f"; the {len(collection.excluded)} training tasks that hold them are left out"
        elif not request.exclude_leaks:
            shown += "; --exclude-leaks leaves them out"
        notes.append(shown)
    return notes


def _counts(split: dict[str, int]) -> str:
    return f"{split['groups']} groups, {split['puzzles']} puzzles, {split['examples']} examples"


def _some(names: Sequence[str]) -> str:
    more = f" ... (all in dataset.json, {len(names)})" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more


def _parser() -> argparse.ArgumentParser:
    parser = command.builder_parser(
        "arc", "Build an ARC data set of tar shards.", _EXAMPLES, "data/arc-aug-1000"
    )
    add = parser.add_argument
    add(
        "--dataset-dirs",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="folders DIR/<subset>/<task>.json, or archives of ARC-AGI, ARC-AGI-2, ConceptARC "
        f"(default: {' '.join(_DEFAULT_DIRS)})",
    )
    add(
        "--input-file-prefix",
        metavar="P",
        help="read Kaggle's files P_SUBSET_challenges.json and P_SUBSET_solutions.json instead",
    )
    add("--subsets", nargs="+", metavar="SUBSET", help="with --input-file-prefix: which of them")
    add(
        "--test-set-name",
        default="evaluation",
        metavar="SUBSET",
        help="the subset whose test pairs are asked, not trained on (default %(default)s)",
    )
    command.add_augmentation(add, "variants of each task", default=1000)
    command.add_seed(add, default=42)
    add(
        "--compression",
        choices=["none", "zst"],
        help="of every member (default: online none, dense zst)",
    )
    add(
        "--exclude-leaks",
        action="store_true",
        help="leave out training tasks that hold a test pair of an evaluation task",
    )
    return parser


def _request(arguments: argparse.Namespace) -> Request:
    """Check what belongs together. Raises ConfigError with all problems, one a line."""
    from .build import Request

    kaggle = arguments.input_file_prefix is not None
    problems = []
    if kaggle and arguments.dataset_dirs is not None:
        problems.append("--input-file-prefix and --dataset-dirs exclude each other: give one")
    if kaggle and arguments.subsets is None:
        problems.append("--input-file-prefix needs --subsets, e.g. training evaluation concept")
    if not kaggle and arguments.subsets is not None:
        problems.append("--subsets goes with --input-file-prefix")
    if arguments.subsets is not None and arguments.test_set_name not in arguments.subsets:
        problems.append(
            f"--test-set-name {arguments.test_set_name} is none of --subsets "
            f"{' '.join(arguments.subsets)}: name the one to be asked"
        )
    if problems:
        raise ConfigError(*problems)
    dirs = arguments.dataset_dirs or map(Path, _DEFAULT_DIRS)
    return Request(
        **command.given(arguments)
        | {"dataset_dirs": tuple(dirs), "subsets": tuple(arguments.subsets or ())}
    )
