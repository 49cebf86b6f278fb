"""From the builder's arguments to a data set of mazes on disk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hrm_scale.base.counter import below, fold_array, make_key
from hrm_scale.base.progress import Progress
from hrm_scale.data.format.writer import check_output_dir
from hrm_scale.puzzles.maze.layout import TRANSFORMATIONS, layout_keys, turn
from hrm_scale.puzzles.maze.paths import WALL
from hrm_scale.puzzles.maze.puzzle import Maze
from hrm_scale.puzzles.maze.rules import LABEL_RULE, follows_rule, rule_labels

from ..builder.boards import Boards
from ..builder.request import SourceRequest
from ..builder.split import FileSource, find_source, generate_splits, note_equivalents, read_splits
from ..builder.writing import builder_record, meta_of, write_boards
from .csv import read_csv
from .generate import default_min_path, generate

# Streams of the counter generator; those below 100 belong to hrm_scale.data.
_SUBSAMPLE, _TEST, _STRIPE = 123, 124, 125


@dataclass(frozen=True, kw_only=True)
class Request(SourceRequest):
    size: int = 30
    min_path: int | None = None
    aug: str | None = None
    jobs: int = 1

    only_generate = (*SourceRequest.only_generate, "min_path")

    @property
    def least_moves(self) -> int:
        return self.min_path or default_min_path(self.size)

    def recorded(self) -> dict[str, Any]:
        resolved = {"min_path": self.least_moves} if self.source == "generate" else {}
        return super().recorded() | resolved


@dataclass(frozen=True)
class Built:
    """What was built: the mazes of each split before augmentation, and shares in 0 ... 1.

    following: of each split's labels, how many follow the label rule. broken: of the turned
    labels, how many break it; None without augmentation.
    """

    splits: dict[str, Boards]
    following: dict[str, float]
    broken: float | None


def build(request: Request) -> Built:
    """Build the data set of a request. Nothing is left behind when it fails."""
    check_output_dir(request.output_dir, overwrite=request.overwrite)
    origin: dict[str, Any] = {}
    if request.source == "generate":
        make = partial(
            generate,
            side=request.size,
            seed=request.seed,
            min_path=request.least_moves,
            jobs=request.jobs,
        )
        splits = generate_splits(
            Maze.of_size(request.size),
            request.count,
            request.test_size,
            lambda count, progress: make(count, progress=progress),
        )
    else:
        files, origin = find_source(request, _SOURCE)
        splits = read_splits(request, files, _SOURCE)
        note_equivalents(splits, _SOURCE)
    train = splits["train"]
    following = {
        split: float(follows_rule(mazes.inputs, mazes.labels, train.puzzle.height).mean())
        for split, mazes in splits.items()
    }
    stripes = _stripes(train, request) if request.aug else [train.columns()]
    broken = _share_broken(stripes, train.puzzle.height) if request.aug else None
    augmentation: dict[str, Any] = {"kind": "none"}
    if request.aug:
        copies = TRANSFORMATIONS - 1
        augmentation = {"kind": "dihedral", "count": copies, "labels": request.aug}
    meta = meta_of(
        train.puzzle,
        builder_record("maze", request, origin=origin),
        "dense" if request.aug else "online",
        augmentation=augmentation,
        extra={
            "label_rule": LABEL_RULE,
            "labels_following_rule": following,
            "turned_labels_breaking_rule": broken,
            "statistics": {split: statistics(mazes) for split, mazes in splits.items()},
        },
    )
    write_boards(request, meta, splits, stripes)
    return Built(splits, following, broken)


def _read(split: str, path: Path, train: Boards | None) -> Boards:
    side = train.puzzle.height if train is not None else None
    return read_csv(path, side=side, progress=Progress("read", None).reach)


def _keys(mazes: Boards) -> np.ndarray:
    return np.array(layout_keys(mazes.inputs, mazes.puzzle.height))


_SOURCE = FileSource(
    "sapientinc/maze-30x30-hard-1k", "--size 30 --count 1000", _read, _keys, _SUBSAMPLE, _TEST
)


def _stripes(train: Boards, request: Request) -> list[dict[str, np.ndarray]]:
    """Eight stripes: each holds every maze once, in another of its eight positions.

    In stripe k maze g is under transformation (k + start_g) mod 8, with a start that depends on
    seed and g: each epoch reads every maze once, and eight epochs read all positions.
    """
    columns, side = train.columns(), train.puzzle.height
    start = below(fold_array(make_key(_STRIPE, request.seed), columns["groups"]), TRANSFORMATIONS)
    stripes = []
    for stripe in range(TRANSFORMATIONS):
        numbers = (start + stripe) % TRANSFORMATIONS
        inputs = turn(train.inputs, numbers, side)
        if request.aug == "relabel":
            labels = rule_labels(inputs, side)[0]
        else:
            labels = turn(train.labels, numbers, side)
        turned = {"inputs": inputs, "labels": labels, "transformations": numbers.astype(np.uint8)}
        stripes.append({**columns, **turned})
    return stripes


def _share_broken(stripes: list[dict[str, np.ndarray]], side: int) -> float:
    """Of the labels that were turned (the originals left out), the share that breaks the rule."""
    broken = [
        ~follows_rule(stripe["inputs"], stripe["labels"], side)[stripe["transformations"] != 0]
        for stripe in stripes
    ]
    return float(np.concatenate(broken).mean())


def statistics(mazes: Boards) -> dict[str, Any]:
    """{"walls": {mean, sd, min, max}, "moves": {mean, p50, p90, min, max}}, rounded to 0.1."""
    walls, moves = (mazes.inputs == WALL).sum(axis=1), mazes.ratings
    assert moves is not None
    half, most = np.percentile(moves, [50, 90])

    def described(values: np.ndarray, **more: float) -> dict[str, Any]:
        rounded = {name: round(float(value), 1) for name, value in more.items()}
        ends = {"min": int(values.min()), "max": int(values.max())}
        return {"mean": round(float(values.mean()), 1), **rounded, **ends}

    return {
        "walls": described(walls, sd=walls.std()),
        "moves": described(moves, p50=half, p90=most),
    }
