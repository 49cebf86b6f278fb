"""`tools.shards` info, preview, order, repack: they say what the loader reads, and lose no row."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hrm_scale.base.errors import ConfigError, DataError
from hrm_scale.data import Loader, open_dataset
from hrm_scale.puzzles.arc.grid import augment, encode
from tests.tools.test_shards_sets import (
    ARC_COUNT,
    arc_pairs,
    arc_set,
    arc_tables,
    maze_set,
    sudoku_set,
)
from tools.shards.cli import main


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets")
    for storage in ("online", "dense"):
        sudoku_set(folder / f"sudoku-{storage}", storage=storage)
        arc_set(folder / f"arc-{storage}", storage=storage)
    maze_set(folder / "maze")
    return folder


def said(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> Any:
    capsys.readouterr()
    assert main([str(word) for word in argv] + ["--json"]) == 0
    return json.loads(capsys.readouterr().out)


# --- info -----------------------------------------------------------------------------------------


def test_info_tells_shapes_variants_and_counts_laid_out(
    sets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = said(capsys, "info", sets / "arc-online")
    train = info["splits"]["train"]
    assert train["augmented"] == {"groups": 4, "puzzles": 16, "examples": 56}
    assert info["tasks"]["variants"]["max"] == ARC_COUNT + 1
    assert sum(train["shapes"]["inputs"].values()) == 14
    assert train["fields"]["inputs"]["payload"] == 14 * 900
    assert 0.5 < train["pad_share"]["inputs"] < 1
    main(["info", str(sets / "arc-online")])
    text = capsys.readouterr().out
    assert "with all variants laid out: 4 groups, 16 puzzles, 56 examples" in text
    assert "30x" in text


def test_info_of_a_large_set_reads_a_sample_and_says_so(
    sets: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.shards.statistics.SAMPLE_BYTES", 9000)
    train = said(capsys, "info", sets / "sudoku-dense")["splits"]["train"]
    assert 0 < train["examined"]["records"] < train["examined"]["of"] == 9
    main(["info", str(sets / "sudoku-dense")])
    assert f"of {train['examined']['records']} of 9 records" in capsys.readouterr().out
    full = said(capsys, "info", sets / "sudoku-dense", "--full")["splits"]["train"]
    assert full["examined"]["records"] == 9
    assert sum(full["tokens"]["inputs"]) == 120 * 36


def test_info_names_tokens_and_ratings_as_the_kind_does(
    sets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = said(capsys, "info", sets / "maze")["splits"]["train"]
    ratings = open_dataset(sets / "maze").read("train", ["ratings"], 0, 30)["ratings"]
    assert (train["ratings"]["min"], train["ratings"]["max"]) == (ratings.min(), ratings.max())
    # All cells of a path but its goal.
    assert (train["filled"]["min"], train["filled"]["max"]) == (
        ratings.min() - 1,
        ratings.max() - 1,
    )
    main(["info", str(sets / "maze")])
    text = capsys.readouterr().out
    for words in ("maze 6x6", "1 = wall", "5 = path", f"moves: min {ratings.min()}"):
        assert words in text


# --- preview --------------------------------------------------------------------------------------


def test_preview_undoes_every_row_of_a_dense_set(
    sets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = open_dataset(sets / "arc-dense")
    groups = dataset.read("train", ["groups", "puzzles"], 0, 56)
    for number in range(0, 56, 5):
        (shown,) = said(capsys, "preview", dataset.path, "--index", str(number), "--original")
        task = int(groups["groups"][number])
        pairs = arc_pairs(task)
        own = [*pairs["train"], *pairs["test"]]
        inside = number - int(np.flatnonzero(groups["puzzles"] == groups["puzzles"][number])[0])
        assert shown["name"] == f"aa00000{task + 1}"
        assert shown["input"] == own[inside][0].tolist()
        assert shown["output"] == own[inside][1].tolist()


def test_preview_augments_an_online_set_by_name_and_by_number(
    sets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_aug = said(capsys, "preview", sets / "arc-online", "--id", "aa000002", "--aug", "2")
    name = by_aug[0]["name"]
    by_name = said(capsys, "preview", sets / "arc-online", "--id", name)
    identifier = 1 + (ARC_COUNT + 1) + 2
    by_number = said(capsys, "preview", sets / "arc-online", "--id", str(identifier))
    assert by_aug == by_name == by_number
    assert by_aug[0]["identifier"] == identifier
    expected = augment(arc_pairs(1)["train"][0][0], arc_tables()[identifier])
    assert by_aug[0]["input"] == expected.tolist()
    assert by_aug[0]["inputs"] == encode(expected).tolist()


def test_preview_draws_colours_or_digits(sets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    main(["preview", str(sets / "arc-online"), "--color", "always"])
    assert "\x1b[48;5;" in capsys.readouterr().out
    main(["preview", str(sets / "arc-online")])
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "identifier 1 aa000001" in text
    grids = [*arc_pairs(0)["train"], *arc_pairs(0)["test"]][0]
    first = "  ".join(" ".join(map(str, grid[0])) for grid in grids)
    assert first in text.replace("    ", "  ")
    main(["preview", str(sets / "maze"), "--index", "29"])
    text = capsys.readouterr().out
    assert text.count("S") == text.count("G") == 2
    assert "o " in text
    main(["preview", str(sets / "sudoku-online"), "--color", "always"])
    text = capsys.readouterr().out
    assert "\x1b[1m" in text  # clues are bold, the rest of the answer is not
    assert "\x1b[32m" in text
    assert "clues" in text


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("sudoku-dense", ["--original"], "augmented boards only"),
        ("sudoku-dense", ["--aug", "1"], "--aug 1"),
        ("sudoku-online", ["--aug", "3"], "variants 0 to 2"),
        ("maze", ["--index", "30"], "0 to 29"),
        ("maze", ["--split", "valid"], "valid"),
        ("arc-online", ["--id", "aa00002"], "Did you mean"),
        ("arc-online", ["--id", "99"], "0 to 16"),
        ("arc-online", ["--id", "aa000001", "--split", "test"], "no example in split test"),
    ],
)
def test_preview_refuses_in_one_line(name: str, options: list[str], words: str, sets: Path) -> None:
    with pytest.raises((ConfigError, DataError)) as caught:
        main(["preview", str(sets / name), *options])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


# --- order ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["arc-online", "arc-dense", "sudoku-online", "sudoku-dense"])
def test_order_names_the_rows_that_the_loader_hands_out(
    name: str, sets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """World 2, rank 1, two micro-batches: each row made by hand from what `order` says of it."""
    dataset = open_dataset(sets / name)
    ask = ["order", dataset.path, "--epoch", "1", "--at", "3", "--batch", "8", "--world", "2"]
    ask += ["--rank", "1", "--accumulation", "2", "--count", "4", "--seed", "5", "--window", "2"]
    order = said(capsys, *ask)
    loader = Loader(
        dataset, "train", seed=5, global_batch_size=8, accumulation=2, rank=1, ranks=2, window=2
    )
    start = loader.epoch_start(1) + 3
    assert order["position"] == start
    micro = next(iter(loader.batches(start)))
    inputs = np.concatenate([batch.inputs for batch in micro])
    names = np.concatenate([batch.puzzle_identifiers for batch in micro])
    assert [row["identifier"] for row in order["rows"]] == names.tolist()
    for row, wanted in zip(order["rows"], inputs, strict=True):
        columns = ["inputs", "labels", "groups"]
        stored = dataset.read("train", columns, row["example"], row["example"] + 1)
        made = stored["inputs"][0]
        if name == "sudoku-online":
            number = np.array([row["augmentation"]])
            pair = (stored["inputs"], stored["labels"], stored["groups"])
            made = dataset.meta.puzzle.symmetry.augment(*pair, number, 3)[0][0]
        elif name == "arc-online":
            (shown,) = said(
                capsys, "preview", dataset.path, "--index", str(row["example"]), "--aug",
                str(row["augmentation"]),
            )  # fmt: skip
            made = encode(np.array(shown["input"], np.uint8), *row["moved"])
        assert np.array_equal(made, wanted)


def test_order_starts_where_a_state_says(
    sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = open_dataset(sets / "sudoku-online")
    loader = Loader(dataset, "train", seed=9, global_batch_size=8, window=2)
    (tmp_path / "state.json").write_text(json.dumps(loader.state(100)))
    order = said(capsys, "order", dataset.path, "--state", tmp_path / "state.json", "--batch", "8")
    assert (order["position"], order["epoch"], order["seed"], order["window"]) == (100, 2, 9, 2)
    assert order["shuffle"]["window_records"] <= 2
    with pytest.raises(DataError, match="give the data set of that run"):
        main(["order", str(sets / "maze"), "--state", str(tmp_path / "state.json")])


@pytest.mark.parametrize("options", [["--batch", "7", "--world", "2"], ["--rank", "1"]])
def test_order_refuses_sizes_that_do_not_divide(options: list[str], sets: Path) -> None:
    with pytest.raises(ConfigError):
        main(["order", str(sets / "maze"), *options])


# --- repack ---------------------------------------------------------------------------------------


def rows_of(path: Path, split: str) -> dict[str, np.ndarray]:
    dataset = open_dataset(path)
    columns = list(dataset.index(split).columns)
    return dataset.read(split, columns, 0, dataset.split(split).examples)


@pytest.mark.parametrize(
    "name", ["arc-online", "arc-dense", "sudoku-online", "sudoku-dense", "maze"]
)
def test_repacked_rows_are_equal_in_order(
    name: str, sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--chunk-examples", "5", "--shard-bytes", "9k", "--compression", "zst"]
    assert main(["repack", str(sets / name), str(tmp_path / "out"), *options]) == 0
    before, after = open_dataset(sets / name), open_dataset(tmp_path / "out")
    for split, info in before.meta.splits.items():
        old, new = rows_of(before.path, split), rows_of(after.path, split)
        assert old.keys() == new.keys()
        assert all(np.array_equal(old[column], new[column]) for column in old)
        made = after.split(split)
        assert len(made.stripe_records) == len(info.stripe_records)
        assert (made.groups, made.puzzles) == (info.groups, info.puzzles)
    assert after.index("train").columns["inputs"].codec == "zst"
    assert after.split("train").shards > before.split("train").shards
    assert after.identifiers() == before.identifiers()
    assert main(["lint", str(tmp_path / "out"), "--strict"]) == 0
    # And back: the same set again, to the byte.
    sizes = ["--chunk-examples", "8" if "arc" in name else "16", "--compression", "none"]
    main(["repack", str(tmp_path / "out"), str(tmp_path / "back"), *sizes])
    shard = "train/shard-00000.tar"
    assert (tmp_path / "back" / shard).read_bytes() == (sets / name / shard).read_bytes()


def test_arc_storage_there_and_back(
    sets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Online to dense to online: the same bytes; the dense set holds every variant."""
    dense, online = tmp_path / "dense", tmp_path / "online"
    main(["repack", str(sets / "arc-online"), str(dense), "--storage", "dense"])
    main(["repack", str(dense), str(online), "--storage", "online", "--chunk-examples", "8"])
    assert main(["lint", str(dense), "--strict"]) == 0
    assert open_dataset(dense).split("train").puzzles == 4 * (ARC_COUNT + 1)
    for split in ("train", "test"):
        shard = f"{split}/shard-00000.tar"
        assert (online / shard).read_bytes() == (sets / "arc-online" / shard).read_bytes()
    assert np.array_equal(open_dataset(online).augmentations(), arc_tables())


def test_sudoku_becomes_dense_but_not_online(sets: Path, tmp_path: Path) -> None:
    dense = tmp_path / "dense"
    main(["repack", str(sets / "sudoku-online"), str(dense), "--storage", "dense"])
    assert main(["lint", str(dense), "--strict"]) == 0
    assert open_dataset(dense).split("train").examples == 120
    with pytest.raises(ConfigError, match="cannot be told"):
        main(["repack", str(dense), str(tmp_path / "online"), "--storage", "online"])
    assert not (tmp_path / "online").exists()


def test_repack_overwrites_nothing_it_should_not(sets: Path, tmp_path: Path) -> None:
    copy = tmp_path / "maze"
    shutil.copytree(sets / "maze", copy)
    with pytest.raises(DataError, match="already exists"):
        main(["repack", str(sets / "maze"), str(copy)])
    with pytest.raises(ConfigError, match="is the data set itself"):
        main(["repack", str(copy), str(copy), "--overwrite"])
    assert main(["verify", str(copy)]) == 0


# --- damage of any kind ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["arc-dense", "sudoku-online", "maze"])
def test_random_damage_never_ends_in_a_traceback(name: str, sets: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    copy = tmp_path / "set"
    for _ in range(12):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(sets / name, copy)
        files = sorted(path for path in copy.rglob("*") if path.is_file())
        file = files[int(random.integers(len(files)))]
        content = bytearray(file.read_bytes())
        for at in random.integers(0, len(content), 4).tolist():
            content[at] = int(random.integers(256))
        file.write_bytes(content[: int(random.integers(1, len(content) + 1))])
        # Damage shows, but for bytes between members that nobody reads.
        with pytest.raises(DataError):
            main(["lint", str(copy), "--strict"])
