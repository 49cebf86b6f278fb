"""Tiny data sets to look at: made by the builders, and of a kind that a file defines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hrm_scale.base.plugins import PUZZLE_FILES
from hrm_scale.data import Dataset, DatasetMeta, DatasetWriter, open_dataset
from hrm_scale.puzzles import BoardSymmetry, puzzle_class
from shards.arc.cli import main as build_arc

TASKS = {"evaluation": ("aa11", "bb22"), "training": ("cc33", "dd44", "ee55")}


def arc_set(folder: Path, storage: str = "online", num_aug: int = 6) -> Dataset:
    """Five tasks with three demonstrations and one test pair each; two are of the test split."""
    rng = np.random.default_rng(5)
    source = folder / "tasks"
    for subset, names in TASKS.items():
        (source / subset).mkdir(parents=True, exist_ok=True)
        for name in names:
            sides = rng.integers(2, 6, 4)
            pairs = [
                {
                    "input": rng.integers(0, 10, (sides[0], sides[1])).tolist(),
                    "output": rng.integers(0, 10, (sides[2], sides[3])).tolist(),
                }
                for _ in range(4)
            ]
            text = json.dumps({"train": pairs[:3], "test": pairs[3:]})
            (source / subset / f"{name}.json").write_text(text)
    out = folder / f"arc-{storage}"
    where = ["--dataset-dirs", str(source), "--output-dir", str(out)]
    build_arc([*where, "--num-aug", str(num_aug), "--storage", storage])
    return open_dataset(out)


STARS = """
from hrm_scale.puzzles import REGIONS, Dihedral, Drawing, Product, Puzzle, Relabel, Token

class Stars(Puzzle):
    kind = "stars"
    symbols = range(1, 5)
    rating = "guesses"

    def __init__(self, height, width):
        super().__init__(height, width)
        regions = [Token(f"region {g}", g, fill) for g, fill in zip("ABCD", REGIONS)]
        self.tokens = (Token("padding"), *regions, Token("empty", "."), Token("star", "*"))
        self.symmetry = Product(Dihedral(height, width, 7), Relabel(self.symbols, 7, self.cells))
        self.drawing = Drawing(height, width, self.tokens, background=True, regions=True)

    def solved(self, inputs, answers):
        return (answers > 4).all(axis=1)

    def remark(self, tokens):
        return f"{len(set(tokens.tolist()))} regions"
"""
"""A kind that a file defines: regions of colours, and stars in the answer."""


def stars_set(folder: Path, monkeypatch: pytest.MonkeyPatch, storage: str = "online") -> Dataset:
    """20 boards of 4x4 with 6 augmentations each; the file that defines them is known from now."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stars.py").write_text(STARS)
    monkeypatch.setenv(PUZZLE_FILES, str(folder / "stars.py"))
    symmetry = puzzle_class("stars").of_size(4).symmetry
    assert isinstance(symmetry, BoardSymmetry)
    rng = np.random.default_rng(2)
    inputs, labels = rng.integers(1, 5, (20, 16)), rng.integers(5, 7, (20, 16))
    groups = np.arange(20, dtype=np.int32)
    boards = inputs.astype(np.uint8), labels.astype(np.uint8)
    meta = DatasetMeta(
        "stars", storage, 7, 16, 0, 0, 0, 1, {"height": 4, "width": 4},
        {"kind": "stars", "count": 6, "seed": 5}, {"puzzle": {"source": "stars.py"}},
    )  # fmt: skip
    with (
        DatasetWriter(folder / storage, meta) as writer,
        writer.split("train") as split,
    ):
        for stripe in range(7 if storage == "dense" else 1):
            made = symmetry.augment(*boards, groups, (groups + stripe) % 7, 5)
            made = boards if storage == "online" else made
            columns = {"inputs": made[0], "labels": made[1], "groups": groups}
            ratings = {"ratings": groups * 3, "puzzle_identifiers": np.zeros(20, np.int32)}
            split.write({**columns, **ratings})
            split.end_stripe()
    return open_dataset(folder / storage)
