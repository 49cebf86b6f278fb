"""ARC tasks and their variants as columns of a data set, online or dense."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from hrm_scale.base.progress import Progress
from hrm_scale.data.format.dense import write_stripes
from hrm_scale.data.format.writer import DatasetWriter
from hrm_scale.puzzles.arc.dense import PairRows, all_variants, train_stripes
from hrm_scale.puzzles.arc.grid import encode

from .task import Pair, Task
from .variants import Variants


def split_rows(tasks: Sequence[Task], split: str) -> PairRows:
    """What is trained on ("train"), or asked ("test"), of all tasks."""
    pairs: list[Pair] = []
    counts = []
    for task in tasks:
        if split == "train":
            own = task.train_pairs
        else:
            own = task.tests if task.evaluation else ()
        pairs.extend(own)
        counts.append(len(own))
    return PairRows.of(
        np.stack([encode(question) for question, _ in pairs]),
        np.stack([encode(answer) for _, answer in pairs]),
        np.array([question.shape + answer.shape for question, answer in pairs], np.uint8),
        np.repeat(np.arange(len(tasks)), counts),
    )


def laid_out(tasks: Sequence[Task], variants: Variants) -> dict[str, dict[str, int]]:
    """Groups, puzzles and examples of each split with all variants laid out."""
    counts = variants.counts.tolist()
    result = {}
    for split in ("train", "test"):
        sizes = [
            len(task.train_pairs) if split == "train" else task.evaluation * len(task.tests)
            for task in tasks
        ]
        result[split] = {
            "groups": sum(size > 0 for size in sizes),
            "puzzles": sum(count for count, size in zip(counts, sizes, strict=True) if size),
            "examples": sum(count * size for count, size in zip(counts, sizes, strict=True)),
        }
    return result


def write_online(writer: DatasetWriter, rows: dict[str, PairRows], variants: Variants) -> None:
    """Originals only; the loader draws variants and translations."""
    for split, own in rows.items():
        columns = {
            "inputs": own.inputs,
            "labels": own.labels,
            "shapes": own.shapes,
            "puzzle_identifiers": variants.first[own.task].astype("<i4"),
            "variants": variants.counts[own.task].astype("<i4"),
            "groups": own.task.astype("<i4"),
            "puzzles": np.searchsorted(own.numbers, own.task).astype("<i4"),
        }
        writer.write_split(split, [columns])


def write_dense(
    writer: DatasetWriter,
    rows: dict[str, PairRows],
    tasks: Sequence[Task],
    variants: Variants,
    *,
    stripes: int,
    seed: int,
) -> None:
    """Every variant: the train split in stripes, moved about; the test split as it is."""
    names = [task.name for task in tasks]
    train = train_stripes(rows["train"], names, variants, stripes, seed)
    write_stripes(writer, train, Progress("stripes written:", stripes).advance)
    writer.write_split("test", all_variants(rows["test"], variants))


def test_puzzles_json(tasks: Sequence[Task]) -> bytes:
    """`test_puzzles.json`: the evaluation tasks as they were read, for whoever scores."""

    def listed(pairs: Sequence[Pair]) -> list[dict[str, list[list[int]]]]:
        return [{"input": pair[0].tolist(), "output": pair[1].tolist()} for pair in pairs]

    puzzles = {
        task.name: {"train": listed(task.demonstrations), "test": listed(task.tests)}
        for task in tasks
        if task.evaluation
    }
    return (json.dumps(puzzles, separators=(",", ":")) + "\n").encode()
