"""Small ARC tasks for tests, and data sets made of them by the real builder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from shards.arc import cli as arc
from shards.arc.variants import Variants


def random_tasks(count: int, seed: int = 0, side: int = 5) -> dict[str, dict[str, Any]]:
    """Tasks of two to four demonstrations and one or two tests; grids of up to side x side."""
    rng = np.random.default_rng(seed)

    def grid() -> list[list[int]]:
        height, width = rng.integers(1, side + 1, 2)
        return rng.integers(0, 5, (height, width)).tolist()

    def pairs(number: int) -> list[dict[str, Any]]:
        return [{"input": grid(), "output": grid()} for _ in range(number)]

    return {
        f"{seed:04x}{number:04x}": {
            "train": pairs(int(rng.integers(2, 5))),
            "test": pairs(int(rng.integers(1, 3))),
        }
        for number in range(count)
    }


def write_tasks(folder: Path, training: int = 6, evaluation: int = 3) -> Path:
    """A folder laid out as ARC-AGI's `data`."""
    for number, (name, count) in enumerate((("training", training), ("evaluation", evaluation))):
        (folder / name).mkdir(parents=True)
        for task, content in random_tasks(count, seed=number + 1).items():
            (folder / name / f"{task}.json").write_text(json.dumps(content))
    return folder


def build_arc(raw: Path, output: Path, *options: str) -> Path:
    """A data set of the tasks in `raw`."""
    arguments = ["--dataset-dirs", str(raw), "--output-dir", str(output), *options]
    assert arc.main(arguments) == 0
    return output


def of_task(variants: Variants, number: int) -> np.ndarray:
    """The chosen variants of one task, uint8 [n, 11]."""
    start = int(variants.first[number])
    return variants.table[start : start + int(variants.counts[number])]
