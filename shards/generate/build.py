"""From a kind of puzzle with a generator to a data set on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import hrm_scale
from hrm_scale.base.errors import ConfigError
from hrm_scale.base.progress import Progress, say
from hrm_scale.data.format.dense import write_dense
from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.data.format.writer import DatasetWriter, check_output_dir
from hrm_scale.puzzles import BoardSymmetry, Generated, Puzzle, puzzle_class
from hrm_scale.puzzles.check import check_puzzle
from hrm_scale.puzzles.registry import record_of

from ..source.split import generated_test_size

BUILDER_VERSION = 1
_ROUNDS_WITHOUT_NEW = 6


@dataclass(frozen=True)
class Request:
    """The builder's arguments; names are those of the command line."""

    kind: str
    output_dir: Path
    size: int
    count: int = 1000
    test_size: int | None = None
    num_aug: int = 0
    seed: int = 0
    storage: str = "online"
    overwrite: bool = False

    def recorded(self) -> dict[str, Any]:
        """What goes into dataset.json: everything that shapes the data, no path of the machine."""
        arguments = asdict(self)
        del arguments["output_dir"], arguments["overwrite"], arguments["kind"]
        return arguments


def build(request: Request) -> dict[str, int]:
    """Build the data set and return how many examples each split has. ConfigError, DataError.
    Nothing is left behind when it fails."""
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
    test_size = generated_test_size(request.count, request.test_size)
    total = request.count + test_size
    say(f"generating {total} puzzles: {puzzle.title} ...")
    made = distinct(puzzle, total, request.seed, Progress("generated", total).reach)
    say(f"writing {request.output_dir} ...")
    meta = _meta(puzzle, request)
    with DatasetWriter(request.output_dir, meta, overwrite=request.overwrite) as writer:
        train = _columns(made, 0, request.count)
        if request.storage == "dense" and request.num_aug:
            assert isinstance(puzzle.symmetry, BoardSymmetry)
            write_dense(writer, train, puzzle.symmetry.augment, request.num_aug, request.seed)
        else:
            writer.write_split("train", [train])
        if test_size:
            writer.write_split("test", [_columns(made, request.count, total)])
        writer.write_identifiers(["<blank>"])
    return {"train": request.count, "test": test_size}


def distinct(
    puzzle: Puzzle, count: int, seed: int, progress: Callable[[int], None] | None = None
) -> Generated:
    """`count` examples of the generator, no two the same up to symmetry. ConfigError when so many
    are not to be found."""
    symmetry = puzzle.symmetry
    kept: list[Generated] = []
    seen = np.zeros(0, np.uint64)
    number = without_new = 0
    while len(seen) < count:
        # Generators are given far-apart seeds, not neighbours of each other's.
        made = puzzle.generate(count - len(seen), seed * 1_000_003 + number)
        keys = np.arange(len(seen), len(seen) + len(made.inputs), dtype=np.uint64)
        if isinstance(symmetry, BoardSymmetry):
            keys = symmetry.keys(made.inputs, made.labels)
        _, first = np.unique(keys, return_index=True)
        new = np.sort(first[~np.isin(keys[first], seen)])[: count - len(seen)]
        kept.append(_take(made, new))
        seen = np.concatenate([seen, keys[new]])
        number += 1
        without_new = 0 if len(new) else without_new + 1
        if without_new >= _ROUNDS_WITHOUT_NEW:
            raise ConfigError(
                f"{count} different puzzles were asked for (--count plus --test-size), only"
                f" {len(seen)} were found that are not equal up to symmetry: ask for fewer, or a"
                " larger --size"
            )
        if progress is not None:
            progress(len(seen))
    ratings = [part.ratings for part in kept]
    return Generated(
        np.concatenate([part.inputs for part in kept]),
        np.concatenate([part.labels for part in kept]),
        None if any(r is None for r in ratings) else np.concatenate(ratings),  # type: ignore[arg-type]
    )


def _take(made: Generated, rows: np.ndarray) -> Generated:
    ratings = None if made.ratings is None else made.ratings[rows]
    return Generated(made.inputs[rows], made.labels[rows], ratings)


def _columns(made: Generated, first: int, last: int) -> dict[str, np.ndarray]:
    columns = {
        "inputs": made.inputs[first:last],
        "labels": made.labels[first:last],
        "puzzle_identifiers": np.zeros(last - first, np.int32),
        "groups": np.arange(last - first, dtype=np.int32),
    }
    if made.ratings is not None:
        columns["ratings"] = made.ratings[first:last].astype(np.int32)
    return columns


def _meta(puzzle: Puzzle, request: Request) -> DatasetMeta:
    augmentation: dict[str, Any] = {"kind": "none"}
    if request.num_aug:
        augmentation = {"kind": puzzle.kind, "count": request.num_aug, "seed": request.seed}
    return DatasetMeta(
        kind=puzzle.kind,
        storage=request.storage,
        vocab_size=len(puzzle.tokens),
        seq_len=puzzle.cells,
        pad_id=0,
        ignore_label_id=0,
        blank_identifier_id=0,
        num_puzzle_identifiers=1,
        board=puzzle.board,
        augmentation=augmentation,
        builder={
            "name": "shards.generate",
            "arguments": request.recorded(),
            "versions": {"builder": BUILDER_VERSION, "hrm_scale": hrm_scale.__version__},
            "puzzle": record_of(puzzle),
        },
    )
