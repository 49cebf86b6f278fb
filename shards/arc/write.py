"""ARC tasks and their variants as columns of a data set, online or dense."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hrm_scale.base.progress import Progress
from hrm_scale.data.format.writer import DatasetWriter
from hrm_scale.puzzles.arc.augment import ArcFrames, draw_offsets, turned_shapes
from hrm_scale.puzzles.arc.grid import CELLS, encode

from .task import Pair, Task
from .variants import Variants, stripe_orders

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Rows:
    """The original pairs of one split, a task's pairs after each other.

    inputs, labels: tokens uint8 [n, 900], untranslated; shapes: uint8 [n, 4]; task: int64 [n],
    number of each row's task; inside: int64 [n], its number in the task; sizes: int64 [n], pairs
    of its task here; numbers: int64 [groups], the tasks that have rows.
    """

    inputs: np.ndarray
    labels: np.ndarray
    shapes: np.ndarray
    task: np.ndarray
    inside: np.ndarray
    sizes: np.ndarray
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)


def split_rows(tasks: Sequence[Task], split: str) -> Rows:
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
    sizes = np.array(counts, np.int64)
    numbers = np.flatnonzero(sizes)
    starts = np.cumsum(sizes) - sizes
    task_of_row = np.repeat(np.arange(len(tasks)), sizes)
    return Rows(
        np.stack([encode(question) for question, _ in pairs]),
        np.stack([encode(answer) for _, answer in pairs]),
        np.array([question.shape + answer.shape for question, answer in pairs], np.uint8),
        task_of_row,
        np.arange(len(pairs)) - starts[task_of_row],
        sizes[task_of_row],
        numbers,
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


def write_online(writer: DatasetWriter, rows: dict[str, Rows], variants: Variants) -> None:
    """Originals only; the loader draws variants and translations."""
    for split, own in rows.items():
        columns: Columns = {
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
    rows: dict[str, Rows],
    tasks: Sequence[Task],
    variants: Variants,
    *,
    stripes: int,
    seed: int,
) -> None:
    """Every variant: the train split in stripes, moved about; the test split as it is.

    In memory are one stripe or the variants of one task, whichever is larger, and the originals.
    """
    orders = stripe_orders(tasks, variants, seed)
    train = rows["train"]
    frames = ArcFrames(train.inputs, train.labels, train.shapes, train.task)
    progress = Progress("stripes written:", stripes)
    with writer.split("train") as split:
        for stripe in range(stripes):
            split.write(_stripe(train, frames, orders, variants, stripe, seed))
            split.end_stripe()
            progress.advance(1)
    writer.write_split("test", _all_variants(rows["test"], variants))


def _stripe(
    rows: Rows,
    frames: ArcFrames,
    orders: Sequence[np.ndarray],
    variants: Variants,
    stripe: int,
    seed: int,
) -> Columns:
    number = np.array([order[stripe % len(order)] for order in orders], np.int64)
    identifiers = (variants.first + number)[rows.task]
    chosen = variants.table[identifiers]
    shapes = turned_shapes(rows.shapes, chosen)
    offsets = draw_offsets(seed, stripe, rows.task, rows.inside, rows.sizes, shapes)
    puzzles = stripe * len(rows.numbers) + np.searchsorted(rows.numbers, rows.task)
    everyone = np.arange(len(rows))
    return _augmented(frames, everyone, chosen, offsets, shapes, rows.task, identifiers, puzzles)


def _all_variants(rows: Rows, variants: Variants) -> Iterator[Columns]:
    """Piece by piece: all variants of one task, untranslated."""
    frames = ArcFrames(rows.inputs, rows.labels, rows.shapes, rows.task)
    puzzles = 0
    for task in rows.numbers.tolist():
        own = np.flatnonzero(rows.task == task)
        count = int(variants.counts[task])
        number = np.repeat(np.arange(count), len(own))
        identifiers = int(variants.first[task]) + number
        chosen = variants.table[identifiers]
        which = np.tile(own, count)
        shapes = turned_shapes(rows.shapes[which], chosen)
        still = np.zeros((len(which), 2), np.int64)
        yield _augmented(
            frames, which, chosen, still, shapes, rows.task[which], identifiers, puzzles + number
        )
        puzzles += count


def _augmented(
    frames: ArcFrames,
    which: np.ndarray,
    chosen: np.ndarray,
    offsets: np.ndarray,
    shapes: np.ndarray,
    groups: np.ndarray,
    identifiers: np.ndarray,
    puzzles: np.ndarray,
) -> Columns:
    inputs = np.empty((len(which), CELLS), np.uint8)
    labels = np.empty_like(inputs)
    frames.augment(which, chosen, offsets, (inputs, labels))
    return {
        "inputs": inputs,
        "labels": labels,
        "shapes": shapes.astype(np.uint8),
        "offsets": offsets.astype(np.uint8),
        "puzzle_identifiers": identifiers.astype("<i4"),
        "groups": groups.astype("<i4"),
        "puzzles": puzzles.astype("<i4"),
    }


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
