"""Small data folders in the layout of the published HRM and TRM builders, for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from hrm_scale.puzzles.arc.grid import IDENTITY, augment, encode, variant_name


def write_split(
    path: Path,
    split: str,
    sets: dict[str, list[list[np.ndarray]]],
    *,
    identifiers: dict[str, list[int]] | None = None,
    labels: dict[str, list[list[np.ndarray]]] | None = None,
    dtype: type = np.uint8,
    **changes: Any,
) -> None:
    """sets: name -> groups -> puzzles, each [examples, seq_len]. Labels default to the inputs."""
    folder = path / split
    folder.mkdir(parents=True)
    groups_in_all = 0
    for name, groups in sets.items():
        puzzles = [puzzle for group in groups for puzzle in group]
        answers = [p for g in (labels or sets)[name] for p in g]
        ids = (identifiers or {}).get(name) or [0] * len(puzzles)
        arrays = {
            "inputs": np.concatenate(puzzles).astype(dtype),
            "labels": np.concatenate(answers).astype(dtype),
            "puzzle_identifiers": np.array(ids, np.int32),
            "puzzle_indices": np.cumsum([0, *map(len, puzzles)]).astype(np.int32),
            "group_indices": np.cumsum([0, *map(len, groups)]).astype(np.int32),
        }
        for kind, array in arrays.items():
            np.save(folder / f"{name}__{kind}.npy", array)
        groups_in_all += len(groups)
    content = {
        "pad_id": 0,
        "ignore_label_id": 0,
        "blank_identifier_id": 0,
        "vocab_size": 20,
        "seq_len": next(iter(sets.values()))[0][0].shape[1],
        "num_puzzle_identifiers": 1,
        "total_groups": groups_in_all,
        "mean_puzzle_examples": 1.0,
        "sets": list(sets),
        **changes,
    }
    (folder / "dataset.json").write_text(json.dumps(content))


def numbered(groups: list[list[int]], seq_len: int = 5) -> list[list[np.ndarray]]:
    """Puzzles of these sizes; row i of all begins with the digits of i (base 19), plus 1."""
    rows = sum(map(sum, groups))
    tokens = np.ones((rows, seq_len), np.int64)
    for digit in range(3):
        tokens[:, digit] += np.arange(rows) // 19**digit % 19
    parts = np.split(tokens, np.cumsum([size for group in groups for size in group])[:-1])
    found = iter(parts)
    return [[next(found) for _ in group] for group in groups]


def write_numbered(path: Path, groups: list[list[int]], **changes: Any) -> Path:
    """A folder with a train split of such puzzles, and the same as its test split."""
    puzzles = sum(map(len, groups))
    settings: dict[str, Any] = {
        "identifiers": {"all": list(range(1, puzzles + 1))},
        "num_puzzle_identifiers": puzzles + 1,
        **changes,
    }
    for split in ("train", "test"):
        write_split(path, split, {"all": numbered(groups)}, **settings)
    names = ["<blank>", *(f"puzzle{i}" for i in range(settings["num_puzzle_identifiers"] - 1))]
    (path / "identifiers.json").write_text(json.dumps(names))
    return path


Pairs = list[tuple[np.ndarray, np.ndarray]]


def arc_tasks(count: int, seed: int = 3) -> dict[str, dict[str, Pairs]]:
    """Tasks of random grids; those with odd numbers have a test pair of their own split."""
    random = np.random.default_rng(seed)

    def grid() -> np.ndarray:
        return random.integers(0, 10, random.integers(1, 31, 2)).astype(np.uint8)

    return {
        f"task_{number}": {
            "train": [(grid(), grid()) for _ in range(int(random.integers(2, 5)))],
            "test": [(grid(), grid()) for _ in range(number % 2)],
        }
        for number in range(count)
    }


def write_arc(
    path: Path, tasks: dict[str, dict[str, Pairs]], variants: int = 3, *, hrm: bool = True
) -> Path:
    """These tasks as the published builder writes them, with random variants beside originals."""
    random = np.random.default_rng(1)
    names = ["<blank>"]
    inputs: dict[str, Any] = {"train": [], "test": []}
    labels: dict[str, Any] = {"train": [], "test": []}
    numbers: dict[str, list[int]] = {"train": [], "test": []}
    for task, splits in tasks.items():
        table = [IDENTITY]
        for _ in range(variants - 1):
            colours = random.permutation(np.arange(1, 10))
            table.append(np.array([random.integers(1, 8), 0, *colours], np.uint8))
        for split, pairs in splits.items():
            if not pairs:
                continue
            group: list[list[np.ndarray]] = [[], []]
            for number, variant in enumerate(table):
                turned = [(augment(a, variant), augment(b, variant)) for a, b in pairs]
                frames = []
                for at, (a, b) in enumerate(turned):
                    most = np.maximum(a.shape, b.shape)
                    row, column = (
                        random.integers(0, 31 - most) if split == "train" and at else (0, 0)
                    )
                    frames.append((encode(a, row, column), encode(b, row, column)))
                for side, tokens in zip(group, zip(*frames, strict=True), strict=True):
                    side.append(np.stack(tokens))
                numbers[split].append(len(names) + number)
            inputs[split].append(group[0])
            labels[split].append(group[1])
        shown = [variant_name(task, variant) for variant in table]
        names += [name.replace("|||", "_") for name in shown] if hrm else shown
    for split in ("train", "test"):
        write_split(
            path,
            split,
            {"all": inputs[split]},
            labels={"all": labels[split]},
            identifiers={"all": numbers[split]},
            vocab_size=12,
            num_puzzle_identifiers=len(names),
        )
    (path / "identifiers.json").write_text(json.dumps(names))
    return path
