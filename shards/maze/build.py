"""From the builder's arguments to a data set of mazes on disk."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import hrm_scale
from hrm_scale.base.counter import below, fold_array, make_key, permutation
from hrm_scale.base.progress import Progress, say
from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.data.format.writer import DatasetWriter, check_output_dir
from hrm_scale.puzzles.maze.layout import TRANSFORMATIONS, layout_keys, turn
from hrm_scale.puzzles.maze.rules import LABEL_RULE, VOCABULARY, follows_rule, rule_labels

from ..source.csv_rows import file_sha256, find_files
from ..source.hub import download
from ..source.split import choose_test, generated_test_size, split_generated
from .csv import read_csv
from .generate import generate
from .set import Mazes

BUILDER_VERSION = 1
REPOSITORY = "sapientinc/maze-30x30-hard-1k"
HUB_FILES = {"train": "train.csv", "test": "test.csv"}
_WAYS_OUT = (
    "connect this machine, or use --source csv --input DIR_OR_FILE, "
    "or --source generate --size 30 --count 1000"
)
# Streams of the counter generator; those below 100 belong to hrm_scale.data.
_SUBSAMPLE, _TEST, _STRIPE = 123, 124, 125


@dataclass(frozen=True)
class Request:
    """The builder's arguments, checked for sense; names are those of the command line."""

    output_dir: Path
    source: str = "hf"
    input: Path | None = None
    size: int = 30
    count: int = 1000
    min_path: int = 109
    subsample_size: int | None = None
    test_size: int | None = None
    aug: str | None = None
    seed: int = 0
    jobs: int = 1
    overwrite: bool = False

    def recorded(self) -> dict[str, Any]:
        """What goes into dataset.json: everything that shapes the data, no path of the machine."""
        arguments = asdict(self)
        for name in ("output_dir", "input", "jobs", "overwrite"):
            del arguments[name]
        if self.source != "generate":
            del arguments["size"], arguments["count"], arguments["min_path"]
        return arguments


@dataclass(frozen=True)
class Built:
    """What was built: the mazes of each split before augmentation, and shares in 0 ... 1.

    following: of each split's labels, how many follow the label rule. broken: of the turned
    labels, how many break it; None without augmentation.
    """

    splits: dict[str, Mazes]
    following: dict[str, float]
    broken: float | None


def build(request: Request) -> Built:
    """Build the data set of a request. Nothing is left behind when it fails."""
    check_output_dir(request.output_dir, overwrite=request.overwrite)
    origin: dict[str, Any] = {}
    if request.source == "generate":
        splits = _generated(request)
    else:
        splits, origin = _from_files(request)
    following = {
        split: float(follows_rule(mazes.inputs, mazes.labels, mazes.side).mean())
        for split, mazes in splits.items()
    }
    stripes = _stripes(splits["train"], request) if request.aug else [splits["train"].columns()]
    broken = _share_broken(stripes, splits["train"].side) if request.aug else None
    built = Built(splits, following, broken)
    _write(request, built, stripes, origin)
    return built


def _generated(request: Request) -> dict[str, Mazes]:
    test_size = generated_test_size(request.count, request.test_size)
    total = request.count + test_size
    say(f"generating {total} mazes of {request.size}x{request.size} ...")
    mazes = generate(
        total,
        request.size,
        seed=request.seed,
        min_path=request.min_path,
        jobs=request.jobs,
        progress=Progress("generated", total).reach,
    )
    return split_generated(mazes, request.count, test_size)


def _from_files(request: Request) -> tuple[dict[str, Mazes], dict[str, Any]]:
    origin: dict[str, Any] = {}
    if request.source == "hf":
        say(f"fetching {REPOSITORY} from the Hugging Face hub ...")
        files, origin["repository"] = download(REPOSITORY, HUB_FILES, _WAYS_OUT), REPOSITORY
    else:
        assert request.input is not None
        files = find_files(request.input)
    splits: dict[str, Mazes] = {}
    for split, path in files.items():
        say(f"reading {path.name} ...")
        side = splits["train"].side if splits else None
        splits[split] = read_csv(path, side=side, progress=Progress("read", None).reach)
    if len(files) == 1 and request.test_size:
        splits = _split_by_layout(splits["train"], request)
    for split, wanted, stream in (
        ("train", request.subsample_size, _SUBSAMPLE),
        ("test", request.test_size, _TEST),
    ):
        if split not in splits or wanted is None:
            continue
        mazes = splits[split]
        if len(mazes) < wanted:
            say(f"note: {split} has only {len(mazes)} mazes, {wanted} were asked for")
        elif len(mazes) > wanted:
            some = permutation(make_key(stream, request.seed), len(mazes))[:wanted]
            splits[split] = mazes.take(np.sort(some))
    _note_equal_layouts(splits)
    origin["files"] = {
        split: {"name": path.name, "sha256": file_sha256(path)} for split, path in files.items()
    }
    return splits, origin


def _split_by_layout(mazes: Mazes, request: Request) -> dict[str, Mazes]:
    """Test mazes from one file: whole classes of equal layouts, in random order."""
    assert request.test_size is not None
    keys = np.array(layout_keys(mazes.inputs, mazes.side))
    key = make_key(_TEST, request.seed)
    in_test = choose_test(keys, key, request.test_size, request.input)
    return {
        "train": mazes.take(np.flatnonzero(~in_test)),
        "test": mazes.take(np.flatnonzero(in_test)),
    }


def _note_equal_layouts(splits: dict[str, Mazes]) -> None:
    keys = {split: layout_keys(mazes.inputs, mazes.side) for split, mazes in splits.items()}
    for split, found in keys.items():
        if again := len(found) - len(set(found)):
            say(f"note: {again} {split} mazes repeat the layout of another up to symmetry")
    if "test" in keys and (shared := sum(map(set(keys["train"]).__contains__, keys["test"]))):
        say(f"note: {shared} test mazes have the layout of a training maze up to symmetry")


def _stripes(train: Mazes, request: Request) -> list[dict[str, np.ndarray]]:
    """Eight stripes: each holds every maze once, in another of its eight positions.

    In stripe k maze g is under transformation (k + start_g) mod 8, with a start that depends on
    seed and g: each epoch reads every maze once, and eight epochs read all positions.
    """
    columns = train.columns()
    start = below(fold_array(make_key(_STRIPE, request.seed), columns["groups"]), TRANSFORMATIONS)
    stripes = []
    for stripe in range(TRANSFORMATIONS):
        numbers = (start + stripe) % TRANSFORMATIONS
        inputs = turn(train.inputs, numbers, train.side)
        if request.aug == "relabel":
            labels = rule_labels(inputs, train.side)[0]
        else:
            labels = turn(train.labels, numbers, train.side)
        turned = {"inputs": inputs, "labels": labels, "transformations": numbers.astype(np.uint8)}
        stripes.append({**columns, **turned})
    return stripes


def _share_broken(stripes: list[dict[str, np.ndarray]], side: int) -> float:
    """Of the labels that were turned (the originals left out), the share that breaks the rule."""
    broken = [
        ~follows_rule(stripe["inputs"], stripe["labels"], side)[stripe["transformations"] != 0]
        for stripe in stripes
    ]
    return float(np.concatenate(broken).mean())


def _write(
    request: Request,
    built: Built,
    stripes: list[dict[str, np.ndarray]],
    origin: dict[str, Any],
) -> None:
    side = built.splits["train"].side
    augmentation: dict[str, Any] = {"kind": "none"}
    if request.aug:
        count = TRANSFORMATIONS - 1
        augmentation = {"kind": "dihedral", "count": count, "labels": request.aug}
    meta = DatasetMeta(
        kind="maze",
        storage="dense" if request.aug else "online",
        vocab_size=VOCABULARY,
        seq_len=side * side,
        pad_id=0,
        ignore_label_id=0,
        blank_identifier_id=0,
        num_puzzle_identifiers=1,
        board={"height": side, "width": side},
        augmentation=augmentation,
        builder={
            "name": "shards.maze",
            "arguments": request.recorded(),
            "versions": {"builder": BUILDER_VERSION, "hrm_scale": hrm_scale.__version__},
            "origin": origin,
        },
        extra={
            "label_rule": LABEL_RULE,
            "labels_following_rule": built.following,
            "turned_labels_breaking_rule": built.broken,
            "statistics": {split: mazes.statistics() for split, mazes in built.splits.items()},
        },
    )
    say(f"writing {request.output_dir} ...")
    with DatasetWriter(request.output_dir, meta, overwrite=request.overwrite) as writer:
        with writer.split("train") as split:
            for stripe in stripes:
                split.write(stripe)
                split.end_stripe()
        if "test" in built.splits:
            writer.write_split("test", [built.splits["test"].columns()])
        writer.write_identifiers(["<blank>"])
