"""The ARC builder as a user runs it, and its counts on the published tasks."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import random
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hrm_scale.data import open_dataset
from hrm_scale.puzzles.arc.augment import draw_offsets
from hrm_scale.puzzles.arc.grid import augment, crop, encode
from shards.arc.build import Request, build
from shards.arc.collect import Collection, collect
from shards.arc.orbit import orbit_of
from shards.arc.read import read_folders, read_kaggle
from shards.arc.task import Task
from shards.arc.variants import Variants, choose_variants
from shards.arc.write import laid_out
from tests.support.arc_sets import of_task

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "data" / "arc"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/data/arc")


def run(*arguments: object, hash_seed: int = 0) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "shards.arc", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
    )


def contents(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def some_tasks() -> dict[str, dict[str, Any]]:
    """Twelve tasks of several sizes; the first few have less than ten variants."""
    draw = random.Random(5)

    def grid(colours: int) -> list[list[int]]:
        height, width = draw.randint(1, 9), draw.choice([1, 4, 30])
        return [[draw.randrange(colours) for _ in range(width)] for _ in range(height)]

    tasks = {}
    for number in range(12):
        colours = 1 if number < 3 else draw.randint(2, 10)
        pairs = [{"input": grid(colours), "output": grid(colours)} for _ in range(2 + number % 3)]
        subset = "evaluation" if number % 3 == 0 else f"concept{number % 2}"
        tasks[f"{subset}/task{number}.json"] = {"train": pairs[1:], "test": pairs[:1]}
    return tasks


def write_tasks(folder: Path, tasks: dict[str, dict[str, Any]], order: int) -> Path:
    for name in random.Random(order).sample(sorted(tasks), len(tasks)):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(tasks[name]))
    return folder


@pytest.mark.parametrize("storage", ["online", "dense"])
def test_same_tasks_same_bytes(tmp_path: Path, storage: str) -> None:
    tasks = some_tasks()
    halves = [dict(list(tasks.items())[::2]), dict(list(tasks.items())[1::2])]
    results = []
    for number in (1, 2):
        folders = [
            write_tasks(tmp_path / f"in{number}{i}", half, number) for i, half in enumerate(halves)
        ]
        out = tmp_path / f"out{number}"
        arguments = ["--num-aug", 11, "--storage", storage, "--seed", 3, "--output-dir", out]
        result = run(*arguments, "--dataset-dirs", *folders[:: 3 - 2 * number], hash_seed=number)
        assert result.returncode == 0, result.stderr
        assert "python -m tools.shards info" in result.stderr.splitlines()[-1]
        assert result.stdout == ""
        results.append(contents(out))
    assert results[0] == results[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same tasks, built online, dense, and dense without augmentations."""
    folder = tmp_path_factory.mktemp("arc")
    tasks = write_tasks(folder / "in", some_tasks(), 0)
    for name, storage, count in (
        ("online", "online", 11),
        ("dense", "dense", 11),
        ("plain", "dense", 0),
    ):
        build(
            Request(
                output_dir=folder / name,
                dataset_dirs=(tasks,),
                num_aug=count,
                seed=9,
                storage=storage,
            )
        )
    return folder


def rows(path: Path, split: str) -> dict[str, np.ndarray]:
    data = open_dataset(path)
    return data.read(split, list(data.index(split).columns), 0, data.split(split).examples)


def test_files_agree_with_each_other(built: Path) -> None:
    path = built / "online"
    meta = json.loads((path / "dataset.json").read_text())
    table_bytes = (path / "augmentations.npy").read_bytes()
    names_bytes = (path / "identifiers.json").read_bytes()
    assert meta["augmentation"] == {
        "kind": "arc",
        "count": 11,
        "seed": 9,
        "table_sha256": hashlib.sha256(table_bytes).hexdigest(),
        "names_sha256": hashlib.sha256(names_bytes).hexdigest(),
    }
    runs = json.loads(names_bytes)
    assert runs[0] == ["<blank>", 1]
    assert sum(count for _, count in runs) == meta["num_puzzle_identifiers"]
    assert np.load(path / "augmentations.npy").shape == (meta["num_puzzle_identifiers"], 11)
    tasks = some_tasks()
    asked = json.loads((path / "test_puzzles.json").read_text())
    assert asked == {Path(n).stem: t for n, t in tasks.items() if n.startswith("evaluation")}
    assert contents(path)["augmentations.npy"] == contents(built / "dense")["augmentations.npy"]


def test_online_rows_are_the_originals(built: Path) -> None:
    runs = json.loads((built / "online" / "identifiers.json").read_text())
    names = [name for name, _ in runs[1:]]
    firsts = np.cumsum([count for _, count in runs])
    tasks = {Path(name).stem: (name, task) for name, task in some_tasks().items()}
    for split in ("train", "test"):
        columns = rows(built / "online", split)
        at = 0
        for number, name in enumerate(names):
            file, task = tasks[name]
            asked = file.startswith("evaluation")
            if split == "test":
                own = task["test"] if asked else []
            else:
                own = task["train"] + ([] if asked else task["test"])
            for pair in own:
                question, answer = (np.array(pair[side], np.uint8) for side in ("input", "output"))
                assert np.array_equal(columns["inputs"][at], encode(question))
                assert np.array_equal(columns["labels"][at], encode(answer))
                assert columns["shapes"][at].tolist() == [*question.shape, *answer.shape]
                assert columns["groups"][at] == number
                assert columns["puzzle_identifiers"][at] == firsts[number]
                assert columns["variants"][at] == runs[number + 1][1]
                at += 1
        assert at == len(columns["inputs"])


@pytest.mark.parametrize("name", ["dense", "plain"])
def test_dense_rows_are_the_variants_the_law_draws(built: Path, name: str) -> None:
    originals = rows(built / "online", "train")
    columns = rows(built / name, "train")
    table = np.load(built / name / "augmentations.npy")
    runs = json.loads((built / name / "identifiers.json").read_text())
    firsts = np.cumsum([count for _, count in runs])
    groups = originals["groups"]
    count = 12 if name == "dense" else 1
    sizes = np.bincount(groups)[groups]
    inside = np.arange(len(groups)) - np.searchsorted(groups, groups)
    for stripe, start in enumerate(range(0, len(columns["inputs"]), len(groups))):
        part = {key: array[start : start + len(groups)] for key, array in columns.items()}
        assert np.array_equal(part["groups"], groups)
        wanted = draw_offsets(9, stripe, groups, inside, sizes, part["shapes"])
        assert np.array_equal(part["offsets"], wanted)
        for row in range(len(groups)):
            variant = table[part["puzzle_identifiers"][row]]
            place = part["offsets"][row].tolist()
            for key in ("inputs", "labels"):
                grid = augment(crop(originals[key][row]), variant)
                assert np.array_equal(part[key][row], encode(grid, *place))
    # Every variant of a group comes as often as every other, up to one; no stored copy twice.
    pairs = np.stack([columns["puzzles"], columns["groups"], columns["puzzle_identifiers"]], axis=1)
    copies = np.unique(pairs, axis=0)
    assert copies[:, 0].tolist() == list(range(count * (groups.max() + 1)))
    for group in range(len(firsts) - 1):
        own = copies[copies[:, 1] == group, 2] - firsts[group]
        times = np.bincount(own, minlength=runs[group + 1][1])
        assert len(own) == count
        assert times.max() - times.min() <= 1


def test_dense_test_rows_are_all_variants_in_place(built: Path) -> None:
    originals, columns = rows(built / "online", "test"), rows(built / "dense", "test")
    table = np.load(built / "dense" / "augmentations.npy")
    meta = json.loads((built / "dense" / "dataset.json").read_text())
    assert len(columns["inputs"]) == originals["variants"].sum()
    assert meta["extra"]["augmented"]["test"] == {
        key: meta["splits"]["test"][key] for key in ("groups", "puzzles", "examples")
    }
    assert not columns["offsets"].any()
    row = {group: at for at, group in enumerate(originals["groups"].tolist())}  # one test pair each
    for at, group in enumerate(columns["groups"].tolist()):
        variant = table[columns["puzzle_identifiers"][at]]
        for key in ("inputs", "labels"):
            grid = augment(crop(originals[key][row[group]]), variant)
            assert np.array_equal(columns[key][at], encode(grid))


def test_an_error_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    folder = write_tasks(tmp_path / "in", some_tasks(), 0)
    (folder / "concept1" / "bad.json").write_text('{"train": [{"input": [[1, 2], [3]]}]}')
    result = run("--dataset-dirs", folder, "--output-dir", tmp_path / "out")
    assert result.returncode == 3
    assert "bad.json" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    result = run("--dataset-dirs", folder / "..", "--output-dir", tmp_path / "out")
    assert (result.returncode, len(result.stderr.splitlines())) == (3, 2)


# The published tasks. Counts of the published builder: ../shared/reference/datasets.md, section 4.


@functools.lru_cache
def archive(name: str) -> list[Task]:
    return read_folders([REAL / f"{name}.tar.gz"], "evaluation")


@functools.lru_cache
def archives(*names: str) -> Collection:
    tasks = [task for name in names for task in archive(name)]
    return collect(tasks, exclude_leaks=False, test_set_name="evaluation")


ORBITS: dict[tuple[str, str], int] = {}


def orbits(collection: Collection) -> np.ndarray:
    """Number of distinct variants of each task, computed once for tasks of several sets."""
    for task in collection.tasks:
        if (task.name, task.digest) not in ORBITS:
            ORBITS[task.name, task.digest] = len(orbit_of(task.pairs))
    return np.array([ORBITS[task.name, task.digest] for task in collection.tasks])


def counts(collection: Collection, num_aug: int) -> tuple[Any, ...]:
    """Identifiers, then groups, puzzles and examples of train and of test."""
    every = orbits(collection)
    kept = np.minimum(every, num_aug + 1)
    splits = laid_out(collection.tasks, Variants(np.empty((0, 11)), kept, kept, every))
    return (1 + int(kept.sum()), *(tuple(split.values()) for split in splits.values()))


def expected_misses(collection: Collection, num_aug: int) -> float:
    """Variants that the published builder is expected to miss in its 5 * num_aug random trials."""
    every = orbits(collection)
    small = every[every <= num_aug]
    return float(((small - 1) * (1 - 1 / small) ** (5 * num_aug)).sum())


@needs_real
def test_counts_of_arc_1() -> None:
    collection = archives("ARC-AGI", "ConceptARC")
    small = [orbit for orbit in orbits(collection).tolist() if orbit < 1001]
    assert Counter(small) == {9: 1, 18: 1, 36: 1, 72: 25, 288: 2, 576: 134}
    test = (400, 400, 419)
    assert counts(collection, 0) == (961, (960, 960, 3988), test)
    test = (400, 8388, 8787)
    assert counts(collection, 20) == (20_146, (960, 20_145, 83_697), test)
    test = (400, 40_018, 41_908)
    # At 100 the two published builders found 95,996 and 95,993: this one is exact.
    assert counts(collection, 100) == (95_996, (960, 95_995, 398_611), test)
    test = (400, 368_155, 385_820)
    # At 1000 the published builder is expected to find 876,407: 13 variants fewer.
    assert counts(collection, 1000) == (876_420, (960, 876_419, 3_633_471), test)
    assert round(876_420 - expected_misses(collection, 1000)) == 876_407
    # One answer is trained on in ARC-AGI-1 itself.
    assert collection.leaks == {"070dd51e": ["40853293"]}


@needs_real
def test_chosen_variants_are_as_many_as_counted() -> None:
    collection = archives("ARC-AGI", "ConceptARC")
    some = dataclasses.replace(collection, tasks=collection.tasks[::24])
    chosen = choose_variants(some.tasks, 1000, 42)
    assert np.array_equal(chosen.counts, np.minimum(orbits(some), 1001))
    for number in range(len(some.tasks)):
        assert len(np.unique(of_task(chosen, number), axis=0)) == chosen.counts[number]


@needs_real
def test_counts_and_leaks_of_arc_2() -> None:
    alone = archives("ARC-AGI-2")
    assert counts(alone, 20) == (23_506, (1120, 23_505, 97_944), (120, 2520, 3507))
    # The published builder found one fewer at 100: 112,387 identifiers.
    assert counts(alone, 100) == (112_388, (1120, 112_387, 468_048), (120, 12_091, 16_838))
    assert counts(alone, 1000)[0] == 1_045_849
    assert round(1_045_849 - expected_misses(alone, 1000)) == 1_045_837
    assert alone.leaks == {}
    second = archives("ARC-AGI-2", "ConceptARC")
    assert counts(second, 1000)[0] == 1_191_741
    assert round(1_191_741 - expected_misses(second, 1000)) == 1_191_727
    # 391 training tasks and 6 evaluation tasks are the same; 376 answers of ARC-1 are in ARC-2.
    both = archives("ARC-AGI", "ARC-AGI-2")
    assert len(both.merged) == 397
    assert len(both.leaks) == 376
    for name, holders in both.leaks.items():
        assert any(holder.startswith(f"{name}@") for holder in holders)


@needs_real
def test_kaggle_files_hold_the_same_tasks(tmp_path: Path) -> None:
    with tarfile.open(REAL / "kaggle-combined.tar.gz") as tar:
        for member in tar.getmembers():
            if member.isreg() and member.name.endswith(".json"):
                stream = tar.extractfile(member)
                assert stream is not None
                (tmp_path / Path(member.name).name).write_bytes(stream.read())
    tasks = read_kaggle(
        str(tmp_path / "arc-agi"), ["concept", "evaluation", "training"], "evaluation"
    )
    found = collect(tasks, exclude_leaks=False, test_set_name="evaluation").tasks
    assert [(t.name, t.ordered_digest) for t in found] == [
        (t.name, t.ordered_digest) for t in archives("ARC-AGI", "ConceptARC").tasks
    ]
    tasks = read_kaggle(
        str(tmp_path / "arc-agi"), ["concept", "training2", "evaluation2"], "evaluation2"
    )
    second = collect(tasks, exclude_leaks=False, test_set_name="evaluation2")
    # That edition of the evaluation is older: five more test pairs, two edited tasks.
    assert counts(second, 20) == (26_866, (1280, 26_865, 116_970), (120, 2520, 3612))
    assert counts(second, 100)[0] == 128_280
