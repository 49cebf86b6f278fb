"""`dataset.json` and the files of a data set that a builder makes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

import hrm_scale
from hrm_scale.base.progress import Progress, say
from hrm_scale.data.format.dense import write_dense, write_stripes
from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.data.format.writer import DatasetWriter
from hrm_scale.puzzles import BoardSymmetry, Puzzle

from .boards import Boards
from .request import Request

BUILDER_VERSION = 1


def builder_record(name: str, request: Request, **more: Any) -> dict[str, Any]:
    """The entry `builder` of dataset.json for `shards.NAME`."""
    return {
        "name": f"shards.{name}",
        "arguments": request.recorded(),
        "versions": {"builder": BUILDER_VERSION, "hrm_scale": hrm_scale.__version__},
        **more,
    }


def meta_of(puzzle: Puzzle, builder: Mapping[str, Any], storage: str, **more: Any) -> DatasetMeta:
    """What dataset.json says of a data set of this puzzle. more: other fields of DatasetMeta."""
    fields: dict[str, Any] = {"num_puzzle_identifiers": 1, **more}
    return DatasetMeta(
        kind=puzzle.kind,
        storage=storage,
        vocab_size=len(puzzle.tokens),
        seq_len=puzzle.cells,
        pad_id=0,
        ignore_label_id=0,
        blank_identifier_id=0,
        board=puzzle.board,
        builder=dict(builder),
        **fields,
    )


def augmentation_of(puzzle: Puzzle, count: int, seed: int) -> dict[str, Any]:
    """`augmentation` of dataset.json: `count` symmetries of each board beside itself."""
    return {"kind": puzzle.kind, "count": count, "seed": seed} if count else {"kind": "none"}


def write_boards(
    request: Request,
    meta: DatasetMeta,
    splits: Mapping[str, Boards],
    stripes: Iterable[Mapping[str, np.ndarray]] | None = None,
) -> None:
    """Write train and test boards. stripes: of train, where a builder makes its own; otherwise they
    follow from storage and augmentation."""
    say(f"writing {request.output_dir} ...")
    train, spec = splits["train"], meta.augmentation
    with DatasetWriter(request.output_dir, meta, overwrite=request.overwrite) as writer:
        if stripes is not None:
            write_stripes(writer, stripes)
        elif meta.storage == "dense" and spec["kind"] != "none":
            symmetry = train.puzzle.symmetry
            assert isinstance(symmetry, BoardSymmetry)
            progress = Progress("stripes written:", spec["count"] + 1).advance
            columns = train.columns()
            write_dense(writer, columns, symmetry.augment, spec["count"], spec["seed"], progress)
        else:
            writer.write_split("train", [train.columns()])
        if "test" in splits:
            writer.write_split("test", [splits["test"].columns()])
        writer.write_identifiers(["<blank>"])
