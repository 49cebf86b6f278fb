"""What a plan must know of the data: vocabulary, length, identifiers, examples an epoch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hrm_scale.base.errors import ConfigError
from hrm_scale.base.redaction import redact
from hrm_scale.data import is_dataset, open_dataset


@dataclass(frozen=True)
class Task:
    """`examples_per_epoch`: groups times mean examples of a puzzle, as the trainer counts it.
    `source` says where the figures come from; `given`: from a data set that exists."""

    name: str
    vocab_size: int
    seq_len: int
    identifiers: int
    examples_per_epoch: float
    source: str
    given: bool = False


_SIZES = "published data set, quoted"
_BUILT = "as shards.arc builds it with 1000 augmentations"
KNOWN = (
    # The first whose words all occur in the last part of data_path; most special first.
    (("sudoku", "4x4"), Task("Sudoku 4x4", 6, 16, 1, 1000, "known task, computed")),
    (("sudoku", "full"), Task("Sudoku", 11, 81, 1, 3_831_994, _SIZES)),
    (("sudoku",), Task("Sudoku", 11, 81, 1, 1000, _SIZES)),
    (("maze",), Task("Maze 30x30", 6, 900, 1, 1000, _SIZES)),
    (("arc", "-2"), Task("ARC-2", 12, 900, 1_045_849, 4667, _BUILT)),
    (("arc",), Task("ARC-1", 12, 900, 876_420, 3988, _BUILT)),
)


def task_of(data_path: str) -> Task:
    """The data set at `data_path` if there is one, else the known task of its name.

    Raises ConfigError when the folder does not exist and its name tells nothing, DataError when
    there is a data set that is damaged.
    """
    if is_dataset(data_path):
        dataset = open_dataset(data_path)
        meta = dataset.meta
        return Task(
            meta.kind,
            meta.vocab_size,
            meta.seq_len,
            meta.num_puzzle_identifiers,
            dataset.epoch_examples("train"),
            f"data set at {redact(data_path)}",
            given=True,
        )
    name = Path(data_path).name.lower()
    for words, task in KNOWN:
        if all(word in name for word in words):
            return task
    raise ConfigError(
        f"data_path={redact(data_path)}: there is no data set, and its name is of no known task;"
        " allowed: a data set that exists, or a name with sudoku, maze or arc in it"
    )
