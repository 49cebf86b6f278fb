"""From the builder's arguments to an ARC data set on disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hrm_scale.base.progress import say
from hrm_scale.data.format.meta import AUGMENTATIONS_FILE, TEST_PUZZLES_FILE, npy_header
from hrm_scale.data.format.writer import DatasetWriter, check_output_dir, identifiers_json
from hrm_scale.puzzles.arc.grid import SIDE
from hrm_scale.puzzles.arc.puzzle import Arc

from ..builder.request import Request as BuilderRequest
from ..builder.writing import builder_record, meta_of
from .collect import Collection, collect
from .read import read_folders, read_kaggle
from .task import Task
from .variants import Variants, choose_variants
from .write import laid_out, split_rows, test_puzzles_json, write_dense, write_online

CODEC_OF_STORAGE = {"online": "none", "dense": "zst"}


@dataclass(frozen=True, kw_only=True)
class Request(BuilderRequest):
    dataset_dirs: tuple[Path, ...] = ()
    input_file_prefix: str | None = None
    subsets: tuple[str, ...] = ()
    test_set_name: str = "evaluation"
    num_aug: int = 1000
    seed: int = 42
    storage: str = "online"
    compression: str | None = None
    exclude_leaks: bool = False

    not_recorded = (*BuilderRequest.not_recorded, "dataset_dirs", "input_file_prefix", "subsets")

    def recorded(self) -> dict[str, Any]:
        return super().recorded() | {"compression": self.codec}

    @property
    def codec(self) -> str:
        return self.compression or CODEC_OF_STORAGE[self.storage]


@dataclass(frozen=True)
class Built:
    """What was built, for the summary. augmented: counts of each split, all variants laid out."""

    collection: Collection
    variants: Variants
    augmented: dict[str, dict[str, int]]

    @property
    def identifiers(self) -> int:
        return len(self.variants.table)


def build(request: Request) -> Built:
    """Build the data set of a request. Nothing is left behind when it fails."""
    check_output_dir(request.output_dir, overwrite=request.overwrite)
    say("reading tasks ...")
    if request.input_file_prefix is not None:
        read = read_kaggle(request.input_file_prefix, request.subsets, request.test_set_name)
    else:
        read = read_folders(request.dataset_dirs, request.test_set_name)
    collection = collect(
        read, exclude_leaks=request.exclude_leaks, test_set_name=request.test_set_name
    )
    tasks = collection.tasks
    say(f"choosing variants of {len(tasks)} tasks ...")
    variants = choose_variants(tasks, request.num_aug, request.seed)
    built = Built(collection, variants, laid_out(tasks, variants))
    say(f"writing {request.output_dir} ...")
    _write(request, built, read)
    return built


def _write(request: Request, built: Built, read: list[Task]) -> None:
    tasks, variants = built.collection.tasks, built.variants
    table = npy_header("|u1", variants.table.shape) + variants.table.tobytes()
    runs = variants.runs(tasks)
    meta = meta_of(
        Arc.of_size(SIDE),
        builder_record("arc", request, origin={"subsets": _origin(read)}),
        request.storage,
        num_puzzle_identifiers=built.identifiers,
        augmentation={
            "kind": "arc",
            "count": request.num_aug,
            "seed": request.seed,
            "table_sha256": hashlib.sha256(table).hexdigest(),
            "names_sha256": hashlib.sha256(identifiers_json(runs)).hexdigest(),
        },
        extra={"augmented": built.augmented, "tasks": _described(request, built)},
    )
    rows = {split: split_rows(tasks, split) for split in ("train", "test")}
    with DatasetWriter(
        request.output_dir, meta, compression=request.codec, overwrite=request.overwrite
    ) as writer:
        if request.storage == "dense":
            stripes = request.num_aug + 1
            write_dense(writer, rows, tasks, variants, stripes=stripes, seed=request.seed)
        else:
            write_online(writer, rows, variants)
        writer.write_file(AUGMENTATIONS_FILE, table)
        writer.write_file(TEST_PUZZLES_FILE, test_puzzles_json(tasks))
        writer.write_identifiers(runs)


def _described(request: Request, built: Built) -> dict[str, Any]:
    """The `extra.tasks` entry: what a reader may want to know of single tasks."""
    tasks, variants = built.collection.tasks, built.variants
    orbits = variants.orbits.tolist()
    return {
        "count": len(tasks),
        "evaluation": sum(task.evaluation for task in tasks),
        "incomplete": {
            task.name: orbit
            for task, orbit in zip(tasks, orbits, strict=True)
            if orbit <= request.num_aug
        },
        "unsolved": [task.name for task in tasks if task.unsolved],
        "merged": built.collection.merged,
        "renamed": built.collection.renamed,
        "leaks": built.collection.leaks,
        "excluded": built.collection.excluded,
    }


def _origin(read: list[Task]) -> dict[str, dict[str, Any]]:
    """Of every subset read: number of tasks and a hash of them all, in no order of the disk."""
    subsets: dict[str, list[str]] = {}
    for task in read:
        subsets.setdefault(task.subset, []).append(f"{task.name}\0{task.ordered_digest}")
    return {
        subset: {
            "tasks": len(found),
            "sha256": hashlib.sha256("\0".join(sorted(found)).encode()).hexdigest(),
        }
        for subset, found in sorted(subsets.items())
    }
