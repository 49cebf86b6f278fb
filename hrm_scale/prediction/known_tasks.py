"""Which ARC tasks a model knows: identifiers and variants by a task's name.

A model reads of an ARC task nothing but the test input and a vector learned for the task's
identifier. The data set that it was trained on says which identifier is whose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hrm_scale.base.errors import ConfigError, DataError
from hrm_scale.data import Dataset, is_dataset, open_dataset
from hrm_scale.data.addresses import is_address
from hrm_scale.evaluation.restore import Restored
from hrm_scale.puzzles import Problem
from hrm_scale.puzzles.arc.grid import IDENTITY

MOST_VARIANTS = 100
"""Variants of a task that vote. They are a random choice already, in the order they are stored."""


@dataclass(frozen=True)
class KnownTasks:
    """identifiers: [tasks by name] the variants' consecutive identifiers, the original's first;
    variants: uint8 [identifiers, 11] of all of them. note: what the user should know, or nothing.
    """

    identifiers: dict[str, range]
    variants: np.ndarray
    note: str = ""

    def rows(self, task: str | None, blank: int) -> list[tuple[int, np.ndarray]]:
        """(identifier, variant) of every variant to ask; of an unknown task the blank identifier
        and the puzzle as it stands."""
        known = self.identifiers.get(task or "")
        if known is None:
            return [(blank, IDENTITY)]
        return [(number, self.variants[number]) for number in known[:MOST_VARIANTS]]


def known_tasks(restored: Restored, data_path: str | None) -> KnownTasks:
    """The tasks of `data_path`, or of the data set that the checkpoint was trained on if that is
    still here and the same; else none, with a note that says why.

    Raises ConfigError when `data_path` cannot name the rows of this model's table, DataError when
    it cannot be read.
    """
    if restored.table is None:
        return _nothing("the model has no puzzle embeddings")
    if data_path is not None:
        return _given(restored, data_path)
    path = restored.run.data_path
    # An address inside a file that somebody else may have written is not followed.
    if is_address(path) or not is_dataset(path):
        return _nothing("the data set that names its tasks is not on this machine")
    try:
        dataset = open_dataset(path)
        if dataset.meta.fingerprint != restored.meta.fingerprint:
            return _nothing(f"{path} is no longer the data set that names its tasks")
        return _named(dataset)
    except DataError as error:
        return _nothing(f"the names of its tasks cannot be read ({error})")


def _given(restored: Restored, data_path: str) -> KnownTasks:
    dataset = open_dataset(data_path)
    ours, theirs = restored.meta, dataset.meta
    if (theirs.kind, theirs.num_puzzle_identifiers) != (ours.kind, ours.num_puzzle_identifiers):
        raise ConfigError(
            f"data_path={data_path} has {theirs.num_puzzle_identifiers} identifiers of kind"
            f" {theirs.kind}, the checkpoint {ours.num_puzzle_identifiers} of kind {ours.kind};"
            " allowed is the data set that it was trained on"
        )
    same = theirs.fingerprint == ours.fingerprint
    note = (
        "" if same else f"{data_path} is another data set than the checkpoint's, of the same size"
    )
    return _named(dataset, note)


def _named(dataset: Dataset, note: str = "") -> KnownTasks:
    blank = dataset.meta.blank_identifier_id
    runs = {name: range(at, at + count) for name, at, count in dataset.tasks() if at != blank}
    return KnownTasks(runs, dataset.augmentations(), note)


def _nothing(note: str) -> KnownTasks:
    return KnownTasks({}, np.empty((0, len(IDENTITY)), np.uint8), note)


def unknown_note(known: KnownTasks, puzzles: Sequence[Problem]) -> str:
    """One line for the user where the model does not know tasks, or where they are in doubt."""
    names = dict.fromkeys(p.task for p in puzzles if p.task not in known.identifiers)
    if not names:
        return f"note: {known.note}" if known.note else ""
    shown = ", ".join(name or "a grid without a task" for name in [*names][:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    why = f" ({known.note})" if known.note else ""
    return (
        f"note: the model does not know {shown}{more}{why}: it reads a task from a learned vector,"
        " not from its demonstrations, so without one expect a wrong answer (published models solve"
        " about none); data_path= names the tasks it knows, or train on this one"
    )
