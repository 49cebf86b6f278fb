"""From a kind of puzzle with a generator to a data set on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count as numbers

import numpy as np

from hrm_scale.base.errors import ConfigError
from hrm_scale.base.progress import say
from hrm_scale.data.format.writer import check_output_dir
from hrm_scale.puzzles import BoardSymmetry, Puzzle, puzzle_class
from hrm_scale.puzzles.check import check_puzzle
from hrm_scale.puzzles.registry import record_of
from hrm_scale.puzzles.symmetry import hash_rows

from ..builder.boards import Boards, Distinct
from ..builder.request import Request as BuilderRequest
from ..builder.split import generate_splits
from ..builder.writing import augmentation_of, builder_record, meta_of, write_boards

_ROUNDS_WITHOUT_NEW = 6


@dataclass(frozen=True, kw_only=True)
class Request(BuilderRequest):
    kind: str
    size: int
    count: int = 1000
    test_size: int | None = None
    num_aug: int = 0
    seed: int = 0
    storage: str = "online"

    not_recorded = (*BuilderRequest.not_recorded, "kind")


def build(request: Request) -> dict[str, Boards]:
    """Build the data set of a request. Nothing is left behind when it fails."""
    check_output_dir(request.output_dir, overwrite=request.overwrite)
    try:
        puzzle = puzzle_class(request.kind).of_size(request.size)
    except ValueError as error:
        raise ConfigError(f"--size {request.size}: {error}") from error
    if request.num_aug and not isinstance(puzzle.symmetry, BoardSymmetry):
        raise ConfigError(
            f"--num-aug {request.num_aug}: {request.kind} has no symmetries: leave it out"
        )
    check_puzzle(puzzle, request.seed)
    splits = generate_splits(
        puzzle,
        request.count,
        request.test_size,
        lambda count, progress: distinct(puzzle, count, request.seed, progress),
    )
    meta = meta_of(
        puzzle,
        builder_record("generate", request, puzzle=record_of(puzzle)),
        request.storage,
        augmentation=augmentation_of(puzzle, request.num_aug, request.seed),
    )
    write_boards(request, meta, splits)
    return splits


def distinct(
    puzzle: Puzzle, count: int, seed: int, progress: Callable[[int], None] | None = None
) -> Boards:
    """`count` examples of the generator, no two the same up to symmetry (no two equal, where there
    are too many symmetries to list). ConfigError when so many are not to be found."""
    symmetry, by_symmetry = puzzle.symmetry, True
    found = Distinct(count, progress)
    without_new = 0
    for number in numbers():
        # Generators are given far-apart seeds, not neighbours of each other's.
        made = puzzle.generate(found.missing, seed * 1_000_003 + number)
        boards = Boards(puzzle, made.inputs, made.labels, made.ratings)
        if not isinstance(symmetry, BoardSymmetry):
            keys = np.arange(found.found, found.found + len(boards), dtype=np.uint64)
        elif by_symmetry:
            try:
                keys = symmetry.keys(made.inputs, made.labels)
            except ValueError as error:
                by_symmetry = False
                say(
                    f"note: {error}: only exact copies are left out, so a test puzzle may equal a"
                    " training puzzle up to symmetry; a keys() of its own tells them"
                )
        if not by_symmetry:
            keys = hash_rows(np.concatenate([made.inputs, made.labels], axis=1))
        new = found.add(boards, keys)
        if not found.missing:
            break
        without_new = 0 if new.any() else without_new + 1
        if without_new >= _ROUNDS_WITHOUT_NEW:
            raise ConfigError(
                f"{count} different puzzles were asked for (--count plus --test-size), only"
                f" {found.found} were found that are not equal up to symmetry: ask for fewer, or a"
                " larger --size"
            )
    return found.boards()
