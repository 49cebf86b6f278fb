"""Tiny trained models of every kind of puzzle to play with, and a server for each."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import torch

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.runs import make_halting_likely, train_here
from hrm_scale.data import open_dataset
from hrm_scale.evaluation.restore import restore
from hrm_scale.playing.api import PlayApi
from hrm_scale.playing.server import PlayServer
from shards.maze.cli import main as build_maze
from tests.support.pages import running
from tests.support.viewer_sets import arc_set

KINDS = ("sudoku", "maze", "arc")


def train_run(folder: Path, kind: str) -> tuple[Path, Path]:
    """(run, data set) of a model of a kind, trained for two steps."""
    data, run = folder / "data", folder / "run"
    settings = {"max_steps": 2, "arch.halt_max_steps": 3}
    if kind == "sudoku":
        write_online(data, size=4, examples=40)
    elif kind == "maze":
        size = ["--source", "generate", "--size", "6", "--count", "8", "--test-size", "3"]
        build_maze([*size, "--min-path", "6", "--output-dir", str(data)])
    else:
        arc_set(folder).path.rename(data)
        settings = {**settings, "max_steps": 1, "global_batch_size": 2}
    train_here(data, run, make_halting_likely, **settings)
    return run, data


def api_of(run: Path, data: Path | None, most: int | None = None) -> PlayApi:
    dataset = None if data is None else open_dataset(data)
    return PlayApi(restore(run, device=torch.device("cpu")), dataset, most)


def served(api: PlayApi) -> AbstractContextManager[PlayServer]:
    """The page's server on a free port, until the block ends."""
    return running(PlayServer(api))
