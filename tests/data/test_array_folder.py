"""Published `.npy` folders as data sets: same rows, same batches, one line for what is wrong."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from benchmarks.tiny.data_sets import write_online
from hrm_scale.base.errors import DataError
from hrm_scale.data import Loader, open_dataset
from hrm_scale.data.read import window as window_module
from hrm_scale.data.read.array_folder import (
    ArrayFolder,
    is_array_folder,
    parse_published,
)
from hrm_scale.puzzles.arc.grid import IDENTITY
from hrm_scale.puzzles.registry import recognise
from shards.convert.cli import main as convert
from tests.support.published import arc_tasks, numbered, write_arc, write_numbered, write_split

SHARED = Path(__file__).parents[2].parent / "shared"
GROUPS = [[3, 2], [4], [1, 1, 2, 1], [2, 5]]


def test_columns_are_what_the_arrays_say(tmp_path: Path) -> None:
    groups = [[2] * 40, [3] * 300, [1], [700, 600], [5]]
    path = tmp_path / "d"
    parts = {"a": numbered(groups), "b": numbered(GROUPS)}
    ids = {"a": [7] * 344, "b": list(range(10))[: sum(map(len, GROUPS))]}
    write_split(path, "train", parts, identifiers=ids, num_puzzle_identifiers=10)
    (path / "identifiers.json").write_text(json.dumps(list("0123456789")))
    assert is_array_folder(path)
    dataset = open_dataset(path)
    assert isinstance(dataset, ArrayFolder)
    info = dataset.split("train")
    rows = [np.concatenate([p for g in part for p in g]) for part in parts.values()]
    assert (info.groups, info.puzzles, info.examples) == (9, 353, sum(map(len, rows)))
    names = ["inputs", "labels", "puzzle_identifiers", "groups", "puzzles"]
    found = dataset.read("train", names, 0, 10**6)
    assert (found["inputs"] == np.concatenate(rows)).all()
    assert (found["labels"] == found["inputs"]).all()
    sizes = [size for part in (groups, GROUPS) for group in part for size in group]
    assert (found["puzzles"] == np.repeat(np.arange(353), sizes)).all()
    per_group = [sum(group) for part in (groups, GROUPS) for group in part]
    assert (found["groups"] == np.repeat(np.arange(9), per_group)).all()
    assert (found["puzzle_identifiers"] == np.repeat(ids["a"] + ids["b"], sizes)).all()
    for name, array in found.items():
        assert array.dtype.str == dataset.index("train").columns[name].dtype
    # No group is split, and no record is longer than it must be.
    index = dataset.index("train")
    assert (np.diff(index.first) == index.examples).all()
    assert set(index.first.tolist()) <= {0, *np.cumsum(per_group).tolist()}
    assert dataset.identifiers() == list("0123456789")


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.int32])
def test_training_takes_one_puzzle_of_each_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: type, mapped: bool
) -> None:
    if mapped:
        monkeypatch.setattr(window_module, "COPY_BYTES", 0)
    groups = GROUPS + [[500, 600], [300, 900]] * 2
    path = write_numbered(tmp_path / "d", groups, dtype=dtype)
    loader = Loader(open_dataset(path), "train", seed=1, global_batch_size=8)
    sizes = [size for group in groups for size in group]
    ends = np.cumsum([len(group) for group in groups])
    for epoch in range(3):
        batch = loader.fetch(loader.epoch_start(epoch), loader.epoch_start(epoch + 1))
        rows = (batch.inputs[:, :3] - 1) @ np.array([1, 19, 361])
        assert (batch.puzzle_identifiers == np.repeat(np.arange(len(sizes)), sizes)[rows] + 1).all()
        puzzles = np.unique(batch.puzzle_identifiers - 1)
        assert np.searchsorted(ends, puzzles, side="right").tolist() == list(range(len(groups)))
        firsts = np.cumsum([0, *sizes])
        wanted = [np.arange(firsts[p], firsts[p + 1]) for p in puzzles]
        assert sorted(rows.tolist()) == np.concatenate(wanted).tolist()


def test_golden_evaluation_batches_are_exact(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    from safetensors.numpy import load_file

    file = SHARED / "golden" / "j_data_pipeline.safetensors"
    if not file.is_file():
        pytest.skip("needs the golden data of the shared folder")
    golden = load_file(file)
    described = json.loads(file.with_suffix(".json").read_text())["results"]
    described["metadata"]["vocab_size"] = 18  # its inputs hold row numbers, beyond its vocabulary
    for split in ("train", "test"):
        folder = tmp_path / "d" / split
        folder.mkdir(parents=True)
        (folder / "dataset.json").write_text(json.dumps(described["metadata"]))
        for name in described["metadata"]["sets"]:
            for key in (
                "inputs",
                "labels",
                "puzzle_identifiers",
                "puzzle_indices",
                "group_indices",
            ):
                np.save(folder / f"{name}__{key}.npy", golden[f"data/{key}"])
    dataset = open_dataset(tmp_path / "d")
    checked = 0
    for size, rank, ranks in ((4, 0, 1), (4, 0, 2), (4, 1, 2), (5, 0, 1)):
        found = dataset.eval_batches("test", size, rank=rank, ranks=ranks)
        for number, item in enumerate(found):
            for name, array in item.batch._asdict().items():
                wanted = golden[f"test/gbs{size}_r{rank}of{ranks}/{number}/{name}"]
                assert array.dtype == wanted.dtype
                assert (array == wanted).all()
                checked += 1
    assert checked == sum(key.startswith("test/") for key in golden)


def test_fingerprint_follows_content_not_place(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a", GROUPS)
    before = open_dataset(path).meta.fingerprint
    shutil.copytree(path, tmp_path / "b")
    assert open_dataset(tmp_path / "b").meta.fingerprint == before
    for name in ("inputs", "puzzle_identifiers"):
        file = path / "train" / f"all__{name}.npy"
        array = np.load(file)
        array.flat[-1] -= 1
        np.save(file, array)
        after = open_dataset(path).meta.fingerprint
        assert after != before
        before = after


def test_large_arrays_are_sampled_first_and_last_block_included(tmp_path: Path) -> None:
    path = tmp_path / "d"
    write_split(path, "train", {"all": [[np.ones((1500, 900), np.uint8)]]})
    file = path / "train" / "all__labels.npy"
    seen = {open_dataset(path).meta.fingerprint}
    for at in (130, -1):
        content = bytearray(file.read_bytes())
        content[at] = 3
        file.write_bytes(content)
        seen.add(open_dataset(path).meta.fingerprint)
    assert len(seen) == 3


def change(name: str, edit: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        file = folder / "train" / f"all__{name}.npy"
        np.save(file, edit(np.load(file)))

    return apply


def set_at(at: int, value: int) -> Callable[[np.ndarray], np.ndarray]:
    def edit(array: np.ndarray) -> np.ndarray:
        array.flat[at] = value
        return array

    return edit


def describe(**changes: object) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        file = folder / "train" / "dataset.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    return apply


def truncate(folder: Path) -> None:
    os.truncate(folder / "train" / "all__inputs.npy", 150)


def pipe(folder: Path) -> None:
    file = folder / "train" / "all__labels.npy"
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda p: (p / "train" / "all__labels.npy").unlink(), "all__labels.npy: missing"),
        (lambda p: (p / "train" / "all__labels.npy").write_bytes(b""), "is empty"),
        (lambda p: (p / "train" / "all__labels.npy").write_bytes(b"x" * 99), "not a valid .npy"),
        (truncate, "has 150 bytes"),
        (pipe, "not a regular file"),
        (change("inputs", lambda a: a.astype(object)), "pickled"),
        (change("inputs", lambda a: a.astype(np.float32)), "whole numbers"),
        (change("inputs", np.asfortranarray), "Fortran"),
        (change("inputs", lambda a: a[:, :4].copy()), "(21, 5) is expected"),
        (change("labels", lambda a: a[:-1]), "(21, 5) is expected"),
        (change("puzzle_indices", set_at(2, 3)), "entry 2 is 3 after 3, the entries must grow"),
        (change("puzzle_indices", set_at(-1, 99)), "goes from 0 to 99, expected 0 to 21"),
        (change("puzzle_indices", lambda a: a[1:]), "has 9 entries, 10 are expected"),
        (change("group_indices", set_at(1, -5)), "must grow"),
        (change("group_indices", set_at(0, 1)), "goes from 1"),
        (change("group_indices", lambda a: a[:0]), "goes from nothing"),
        (change("puzzle_identifiers", set_at(3, 10)), "holds 10, allowed is 0 to 9"),
        (change("puzzle_identifiers", set_at(3, -1)), "holds -1, allowed is 0 to 9"),
        (describe(sets=["../train/all"]), "plain names"),
        (describe(sets=["all", "all"]), "twice"),
        (describe(sets=[]), "plain names"),
        (describe(sets=["none"]), "none__inputs.npy: missing"),
        (describe(total_groups=5), "total_groups is 5, the arrays hold 4"),
        (describe(vocab_size=21), "the other split has"),
        (describe(num_puzzle_identifiers="many"), "mix of two data sets"),
        (lambda p: (p / "train" / "dataset.json").write_text("[1]"), "expected a JSON object"),
        (lambda p: (p / "train" / "dataset.json").write_text("{}"), "neither a data set"),
    ],
)
def test_damage_is_one_line(tmp_path: Path, damage: Callable[[Path], None], words: str) -> None:
    path = write_numbered(tmp_path / "d", GROUPS)
    damage(path)
    with pytest.raises(DataError) as caught:
        open_dataset(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
@pytest.mark.parametrize("value", [20, 255])
def test_tokens_out_of_range_are_found_when_read(tmp_path: Path, dtype: type, value: int) -> None:
    path = write_numbered(tmp_path / "d", GROUPS, dtype=dtype)
    change("inputs", set_at(7, value))(path)
    dataset = open_dataset(path)
    with pytest.raises(DataError, match=f"rows 0 to 20 .*inputs holds {value}"):
        dataset.read("train", ["inputs"], 0, 3)
    loader = Loader(dataset, "train", seed=0, global_batch_size=4)  # reads no tokens yet
    with pytest.raises(DataError, match="all__inputs"):
        list(islice(loader.batches(0), 9))


def test_wide_tokens_that_fit_no_byte_are_found(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "d", GROUPS, dtype=np.int64)
    change("labels", set_at(7, -100))(path)
    with pytest.raises(DataError, match="labels holds -100"):
        open_dataset(path).read("train", ["labels"], 0, 3)


def test_a_file_that_changes_after_opening_is_found(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "d", GROUPS)
    dataset = open_dataset(path)
    change("inputs", lambda a: a[:-1])(path)
    with pytest.raises(DataError, match="when opened"):
        Loader(dataset, "train", seed=0, global_batch_size=4)


def test_names_tell_variants(tmp_path: Path) -> None:
    names = ["a_b_t3_0213456789", "x|||t7|||0123456798", "x_t3_0000000000", "", "_t8_0123456789"]
    tasks, table = parse_published(names)
    assert tasks == ["a_b", "x", *names[2:]]
    assert table[:2].tolist() == [[3, 0, 2, 1, *range(3, 10)], [7, *range(8), 9, 8]]
    assert (table[2:] == IDENTITY).all()
    for hrm in (True, False):
        path = write_arc(tmp_path / str(hrm), arc_tasks(3), hrm=hrm)
        dataset = open_dataset(path)
        assert dataset.meta.kind == "arc"
        tasks = [("<blank>", 0, 1), ("task_0", 1, 3), ("task_1", 4, 3), ("task_2", 7, 3)]
        assert dataset.tasks() == tasks
        assert dataset.augmentations().shape == (10, 11)
        assert ("_t" in dataset.identifiers()[2]) is hrm
    names = json.loads((path / "identifiers.json").read_text())
    names[2], names[5] = names[5], names[2]
    (path / "identifiers.json").write_text(json.dumps(names))
    with pytest.raises(DataError, match="do not lie together"):
        open_dataset(path).tasks()
    (path / "identifiers.json").write_text(json.dumps(names[1:]))
    with pytest.raises(DataError, match="10 names"):
        open_dataset(path).identifiers()


def test_kinds_are_recognised(tmp_path: Path) -> None:
    assert recognise(900, 12)[0] == "arc"
    assert recognise(81, 11) == (
        "sudoku",
        {"height": 9, "width": 9, "box_height": 3, "box_width": 3},
    )
    assert recognise(900, 6) == ("maze", {"height": 30, "width": 30})
    assert recognise(81, 20)[0] == recognise(80, 6)[0] == "other"
    assert not is_array_folder(write_online(tmp_path / "own"))
    assert not is_array_folder(tmp_path / "none")


@pytest.mark.parametrize(
    ("starts", "goals", "kind"), [(1, 1, "maze"), (2, 1, "other"), (1, 0, "other")]
)
def test_a_maze_has_one_start_and_one_goal(
    starts: int, goals: int, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = np.full((4, 25), 2)
    rows[:, :starts] = 3
    rows[:, 8 : 8 + goals] = 4
    for split in ("train", "test"):
        write_split(tmp_path / "set", split, {"all": [[rows]]}, vocab_size=6)
    assert open_dataset(tmp_path / "set").meta.kind == kind
    # The conversion prints the recognised kind, unless `--kind` names it.
    convert([str(tmp_path / "set"), "--output-dir", str(tmp_path / "out")])
    assert ("--kind other" in capsys.readouterr().err) == (kind == "maze")
    convert([str(tmp_path / "set"), "--kind", "other", "--output-dir", str(tmp_path / "as_it_is")])
    assert "--kind other" not in capsys.readouterr().err
    assert open_dataset(tmp_path / "as_it_is").meta.kind == "other"
