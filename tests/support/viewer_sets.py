"""Tiny data sets to look at: made by the builders, from tasks and mazes written here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from hrm_scale.data import Dataset, open_dataset
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
