"""The train and test boards of a data set: from files, from a generator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hrm_scale.base.counter import make_key, permutation
from hrm_scale.base.errors import ConfigError
from hrm_scale.base.progress import Progress, say
from hrm_scale.puzzles import Puzzle

from .boards import Boards
from .csv_rows import file_sha256, find_files
from .hub import download
from .request import SourceRequest


def generate_splits(
    puzzle: Puzzle,
    count: int,
    test_size: int | None,
    make: Callable[[int, Callable[[int], None]], Boards],
) -> dict[str, Boards]:
    """The first `count` boards for training, others for testing: `test_size`, or a quarter.

    make: gives so many boards and reports how many there are already.
    """
    if test_size is None:
        test_size = min(1000, max(1, count // 4))
    total = count + test_size
    say(f"generating {total} {puzzle.noun}: {puzzle.title} ...")
    boards = make(total, Progress("generated", total).reach)
    splits = {"train": boards.take(np.arange(count))}
    if test_size:
        splits["test"] = boards.take(np.arange(count, total))
    return splits


class FileSource(NamedTuple):
    """How a builder reads its files.

    repository: on the hub, with train.csv and test.csv. example: options of a generator to try
    without network. read: (split, path, train boards if they were read) to boards. keys: [n], equal
    for equivalent boards. subsample, test: streams of the counter generator for choosing rows.
    """

    repository: str
    example: str
    read: Callable[[str, Path, Boards | None], Boards]
    keys: Callable[[Boards], np.ndarray]
    subsample: int
    test: int


def find_source(request: SourceRequest, source: FileSource) -> tuple[dict[str, Path], dict]:
    """The files of each split, and what dataset.json says of them."""
    origin: dict[str, Any] = {}
    if request.source == "hf":
        say(f"fetching {source.repository} from the Hugging Face hub ...")
        names = {"train": "train.csv", "test": "test.csv"}
        ways_out = (
            "connect this machine, or use --source csv --input DIR_OR_FILE, or --source generate "
            f"{source.example}"
        )
        files = download(source.repository, names, ways_out)
        origin["repository"] = source.repository
    else:
        assert request.input is not None
        files = find_files(request.input)
    origin["files"] = {
        split: {"name": path.name, "sha256": file_sha256(path)} for split, path in files.items()
    }
    return files, origin


def read_splits(
    request: SourceRequest, files: Mapping[str, Path], source: FileSource
) -> dict[str, Boards]:
    """The boards of each split, as many as were asked for. One file gives test boards only if
    --test-size says how many."""
    splits: dict[str, Boards] = {}
    for split, path in files.items():
        say(f"reading {path.name} ...")
        splits[split] = source.read(split, path, splits.get("train"))
    if len(files) == 1 and request.test_size:
        boards = splits["train"]
        key = make_key(source.test, request.seed)
        in_test = choose_test(source.keys(boards), key, request.test_size, request.input)
        splits = {
            "train": boards.take(np.flatnonzero(~in_test)),
            "test": boards.take(np.flatnonzero(in_test)),
        }
    for split, wanted, stream in (
        ("train", request.subsample_size, source.subsample),
        ("test", request.test_size, source.test),
    ):
        if wanted is None or split not in splits:
            continue
        boards = splits[split]
        if len(boards) < wanted:
            noun = boards.puzzle.noun
            say(f"note: {split} has only {len(boards)} {noun}, {wanted} were asked for")
        elif len(boards) > wanted:
            some = permutation(make_key(stream, request.seed), len(boards))[:wanted]
            splits[split] = boards.take(np.sort(some))
    return splits


def note_equivalents(splits: Mapping[str, Boards], source: FileSource) -> None:
    """Say how many boards repeat another one up to symmetry, in their split or in train."""
    noun = splits["train"].puzzle.noun
    keys = {split: source.keys(boards) for split, boards in splits.items()}
    for split, found in keys.items():
        if again := len(found) - len(np.unique(found)):
            say(f"note: {again} {split} {noun} equal another one of {split} up to symmetry")
    if "test" in keys and (shared := int(np.isin(keys["test"], keys["train"]).sum())):
        say(f"note: {shared} test {noun} equal one of train up to symmetry")


def choose_test(keys: np.ndarray, order_key: int, wanted: int, source: Path | None) -> np.ndarray:
    """Which rows are for testing, bool [n], so that no equivalent of them is trained on: whole
    classes of equal keys ([n], any type), in an order that depends on `order_key` alone, filled up
    to `wanted` rows.

    ConfigError when that leaves nothing on one side; `source` is named in it.
    """
    _, member, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    order = permutation(order_key, len(sizes))
    chosen = order[np.cumsum(sizes[order]) <= wanted]
    in_test: np.ndarray = np.isin(member, chosen)
    if not in_test.any() or in_test.all():
        raise ConfigError(
            f"--test-size {wanted} cannot be split off the {len(keys)} puzzles of {source}: choose"
            f" a number between 1 and {len(keys) - 1}"
        )
    return in_test
