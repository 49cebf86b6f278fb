"""Small published ARC folders with chosen tasks and variants, and predictions for their rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hrm_scale.data import open_dataset
from hrm_scale.evaluation.arc.rows import ArcRows
from hrm_scale.evaluation.arc.task_votes import TaskVotes
from hrm_scale.puzzles.arc.grid import IDENTITY, augment, encode, variant_name
from tests.support.published import write_split

Grid = list[list[int]]
Pairs = Sequence[tuple[Grid, Grid]]


def variants(count: int, seed: int = 0) -> list[np.ndarray]:
    """The identity and `count - 1` other variants, uint8 [11] each."""
    random = np.random.default_rng(seed)
    made = [IDENTITY]
    while len(made) < count:
        colours = np.append(0, random.permutation(np.arange(1, 10)))
        made.append(np.append(random.integers(0, 8), colours).astype(np.uint8))
    return made


def asked(
    path: Path,
    tasks: Mapping[str, Pairs],
    table: Sequence[np.ndarray],
    order: Mapping[str, Sequence[int]] | None = None,
) -> ArcRows:
    """The rows of a folder in TRM's form: every task under every variant.

    order: in which order the rows of a task's variants (not of the original) ask its pairs.
    """
    names, identifiers = ["<blank>"], []
    sides: tuple[list[list[np.ndarray]], list[list[np.ndarray]]] = ([], [])
    for task, pairs in tasks.items():
        groups: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        for number, variant in enumerate(table):
            identifiers.append(len(names))
            names.append(variant_name(task, variant))
            places = order[task] if order and number else range(len(pairs))
            for side, group in enumerate(groups):
                grids = [np.array(pairs[place][side], np.uint8) for place in places]
                group.append(np.stack([encode(augment(grid, variant)) for grid in grids]))
        for side, group in zip(sides, groups, strict=True):
            side.append(group)
    write_split(
        path,
        "test",
        {"all": sides[0]},
        labels={"all": sides[1]},
        identifiers={"all": identifiers},
        vocab_size=12,
        num_puzzle_identifiers=len(names),
    )
    (path / "identifiers.json").write_text(json.dumps(names))
    return ArcRows(open_dataset(path))


def tokens_for(rows: ArcRows, numbers: Sequence[int], grids: Sequence[Grid]) -> np.ndarray:
    """Predictions [n, 900] that vote for these grids once they are turned back."""
    chosen = rows.variants(np.array(numbers))
    made = [np.array(grid, np.uint8) for grid in grids]
    return np.stack([encode(augment(g, v)) for g, v in zip(made, chosen, strict=True)])


def table_of(task: TaskVotes, pair: int = 0) -> list[tuple[str, int, float]]:
    """(grid, votes, mean q) of a test pair's candidates, best first."""
    return [
        (c.text.decode(), c.votes, round(c.q_sum / c.votes, 6))
        for c in task.pairs[pair].candidates()
    ]
