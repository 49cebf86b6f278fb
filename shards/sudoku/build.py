"""From the builder's arguments to a data set on disk."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import hrm_scale
from hrm_scale.base.counter import make_key, permutation
from hrm_scale.base.errors import ConfigError
from hrm_scale.base.progress import Progress, say
from hrm_scale.data.format.dense import write_dense
from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.data.format.writer import DatasetWriter, check_output_dir
from hrm_scale.puzzles.sudoku.board import GEOMETRIES
from hrm_scale.puzzles.sudoku.classes import class_keys
from hrm_scale.puzzles.sudoku.symmetry import sudoku_symmetry

from ..source.csv_rows import file_sha256, find_files
from ..source.split import choose_test, generated_test_size, split_generated
from .csv import check_unique, read_csv
from .generate import generate
from .hub import REPOSITORY, download
from .puzzles import Puzzles

BUILDER_VERSION = 1
# Streams of the counter generator; those below 100 belong to hrm_scale.data.
_SUBSAMPLE, _TEST = 104, 105
_TEST_SEED_SALT = 0x7E57


@dataclass(frozen=True)
class Request:
    """The builder's arguments, checked for sense; names are those of the command line."""

    output_dir: Path
    source: str = "hf"
    input: Path | None = None
    size: int = 9
    count: int = 1000
    subsample_size: int | None = None
    test_size: int | None = None
    num_aug: int = 0
    min_difficulty: int = 0
    seed: int = 0
    storage: str = "online"
    unique_check: bool = True
    overwrite: bool = False

    def recorded(self) -> dict[str, Any]:
        """What goes into dataset.json: everything that shapes the data, no path of the machine."""
        arguments = asdict(self)
        for name in ("output_dir", "input", "overwrite"):
            del arguments[name]
        if self.source != "generate":
            del arguments["size"], arguments["count"]
        return arguments


def build(request: Request) -> dict[str, Puzzles]:
    """Build the data set of a request. Nothing is left behind when it fails."""
    check_output_dir(request.output_dir, overwrite=request.overwrite)
    origin: dict[str, Any] = {}
    if request.source == "generate":
        splits = _generated(request)
    else:
        splits, origin = _from_files(request)
    _write(request, splits, origin)
    return splits


def _generated(request: Request) -> dict[str, Puzzles]:
    test_size = generated_test_size(request.count, request.test_size)
    total = request.count + test_size
    say(f"generating {total} puzzles of {request.size}x{request.size} ...")
    puzzles = generate(
        total,
        GEOMETRIES[request.size],
        seed=request.seed,
        min_difficulty=request.min_difficulty,
        progress=Progress("generated", total).reach,
    )
    return split_generated(puzzles, request.count, test_size)


def _from_files(request: Request) -> tuple[dict[str, Puzzles], dict[str, Any]]:
    origin: dict[str, Any] = {}
    if request.source == "hf":
        say(f"fetching {REPOSITORY} from the Hugging Face hub ...")
        files, origin["repository"] = download(), REPOSITORY
    else:
        assert request.input is not None
        files = find_files(request.input)
    from_one = len(files) == 1
    keep = {"train": request.subsample_size, "test": request.test_size}
    if from_one and request.test_size:
        keep["train"] = None  # the split by class must see all rows
    splits: dict[str, Puzzles] = {}
    for split, path in files.items():
        say(f"reading {path.name} ...")
        splits[split] = read_csv(
            path,
            min_difficulty=request.min_difficulty,
            keep=keep[split],
            seed=request.seed ^ (_TEST_SEED_SALT if split == "test" else 0),
            geometry=splits["train"].geometry if splits else None,
            progress=Progress("read", None).reach,
        )
    if from_one and request.test_size:
        splits = _split_by_class(splits["train"], request)
    for split, wanted in (("train", request.subsample_size), ("test", request.test_size)):
        if split in splits and wanted is not None and len(splits[split]) < wanted:
            say(f"note: {split} has only {len(splits[split])} puzzles, {wanted} were asked for")
    if request.unique_check:
        _check_unique(splits, files)
    if not from_one:
        _note_overlap(splits)
    origin["files"] = {
        split: {"name": path.name, "sha256": file_sha256(path)} for split, path in files.items()
    }
    return splits, origin


def _split_by_class(puzzles: Puzzles, request: Request) -> dict[str, Puzzles]:
    """Test puzzles from one file: whole classes of equivalent puzzles, in random order."""
    assert request.test_size is not None
    keys = class_keys(puzzles.questions, puzzles.answers, puzzles.geometry)
    key = make_key(_TEST, request.seed)
    in_test = choose_test(keys, key, request.test_size, request.input)
    train = np.flatnonzero(~in_test)
    if request.subsample_size is not None and train.size > request.subsample_size:
        some = permutation(make_key(_SUBSAMPLE, request.seed), train.size)
        train = train[np.sort(some[: request.subsample_size])]
    return {"train": puzzles.take(train), "test": puzzles.take(np.flatnonzero(in_test))}


def _check_unique(splits: dict[str, Puzzles], files: dict[str, Path]) -> None:
    total = sum(map(len, splits.values()))
    say(f"checking that {total} puzzles have one solution each ...")
    progress = Progress("checked", total)
    for split, puzzles in splits.items():
        name = str(files.get(split, files["train"]))
        check_unique(puzzles, name, progress=progress.advance)


def _note_overlap(splits: dict[str, Puzzles]) -> None:
    train, test = (
        class_keys(p.questions, p.answers, p.geometry) for p in (splits["train"], splits["test"])
    )
    shared = int(np.isin(test, train).sum())
    if shared:
        say(f"note: {shared} test puzzles equal a training puzzle up to symmetry")


def _write(request: Request, splits: dict[str, Puzzles], origin: dict[str, Any]) -> None:
    train = splits["train"]
    geometry = train.geometry
    names = _merge_source_names(splits)
    augmentation: dict[str, Any] = {"kind": "none"}
    if request.num_aug:
        augmentation = {"kind": "sudoku", "count": request.num_aug, "seed": request.seed}
    meta = DatasetMeta(
        kind="sudoku",
        storage=request.storage,
        vocab_size=geometry.vocab_size,
        seq_len=geometry.cells,
        pad_id=0,
        ignore_label_id=0,
        blank_identifier_id=0,
        num_puzzle_identifiers=1,
        board=geometry.board(),
        augmentation=augmentation,
        builder={
            "name": "shards.sudoku",
            "arguments": request.recorded(),
            "versions": {"builder": BUILDER_VERSION, "hrm_scale": hrm_scale.__version__},
            "origin": origin,
        },
        extra={"sources": names},
    )
    say(f"writing {request.output_dir} ...")
    with DatasetWriter(request.output_dir, meta, overwrite=request.overwrite) as writer:
        if request.storage == "dense" and request.num_aug:
            progress = Progress("stripes written:", request.num_aug + 1).advance
            augment = sudoku_symmetry(geometry).augment
            columns = train.columns(0, len(train))
            write_dense(writer, columns, augment, request.num_aug, request.seed, progress)
        else:
            writer.write_split("train", [train.columns(0, len(train))])
        if "test" in splits:
            writer.write_split("test", [splits["test"].columns(0, len(splits["test"]))])
        writer.write_identifiers(["<blank>"])


def _merge_source_names(splits: dict[str, Puzzles]) -> list[str]:
    """One sorted list of source names for all splits, whose sources are renumbered to it."""
    names = sorted({name for puzzles in splits.values() for name in puzzles.source_names})
    if len(names) > 256:
        raise ConfigError(f"{len(names)} different sources in train and test, at most 256 fit")
    for split, puzzles in splits.items():
        number = np.array([names.index(name) for name in puzzles.source_names], np.uint8)
        splits[split] = puzzles.with_sources(number[puzzles.sources], names)
    return names
