"""The Sudoku builder as a user runs it: same arguments, same bytes; errors leave nothing."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hrm_scale.data import open_dataset
from hrm_scale.puzzles.sudoku.board import GEOMETRIES
from hrm_scale.puzzles.sudoku.classes import class_keys
from hrm_scale.puzzles.sudoku.puzzle import Sudoku
from tests.support.sudoku_examples import HEADER, rows_of
from tools.shards.cli import main as tool

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "data" / "sudoku"


def run(*arguments: object, hash_seed: int = 0, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "shards.sudoku", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed), **environment},
    )


def contents(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def write_csv(path: Path, rows: list[list[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER + "".join(",".join(row) + "\n" for row in rows))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = rows_of(60)
    write_csv(tmp_path / "in" / "train.csv", rows[:40])
    write_csv(tmp_path / "in" / "test.csv", rows[40:])
    return tmp_path / "in"


@pytest.mark.parametrize("storage", ["online", "dense"])
@pytest.mark.parametrize("source", ["csv", "generate"])
def test_same_arguments_same_bytes(tmp_path: Path, folder: Path, source: str, storage: str) -> None:
    arguments: list[object] = [
        "--num-aug",
        5,
        "--storage",
        storage,
        "--seed",
        3,
        "--source",
        source,
    ]
    if source == "csv":
        arguments += ["--input", folder, "--subsample-size", 25, "--test-size", 7]
    else:
        arguments += ["--size", 6, "--count", 40, "--test-size", 10]
    results = []
    for number in (1, 2):
        result = run(*arguments, "--output-dir", tmp_path / f"out{number}", hash_seed=number)
        assert result.returncode == 0, result.stderr
        assert "python -m tools.shards info" in result.stderr.splitlines()[-1]
        assert result.stdout == ""
        results.append(contents(tmp_path / f"out{number}"))
    assert results[0] == results[1]
    assert "dataset.json" in results[0]
    assert "identifiers.json" in results[0]


def test_columns_and_meta_of_a_csv_build(tmp_path: Path, folder: Path) -> None:
    out = tmp_path / "out"
    assert run("--source", "csv", "--input", folder, "--output-dir", out).returncode == 0
    dataset = open_dataset(out)
    rows = rows_of(60)
    for split, expected in (("train", rows[:40]), ("test", rows[40:])):
        names = ["inputs", "labels", "puzzle_identifiers", "groups", "ratings", "sources"]
        columns = dataset.read(split, names, 0, 100)
        text = ["".join(".123456789"[t - 1] for t in row) for row in columns["inputs"]]
        assert text == [row[1] for row in expected]
        text = ["".join(".123456789"[t - 1] for t in row) for row in columns["labels"]]
        assert text == [row[2] for row in expected]
        assert columns["groups"].tolist() == list(range(len(expected)))
        assert not columns["puzzle_identifiers"].any()
        assert columns["ratings"].tolist() == [int(row[3]) for row in expected]
        sources = dataset.meta.extra["sources"]
        assert [sources[i] for i in columns["sources"]] == [row[0] for row in expected]
    assert dataset.meta.vocab_size == 11
    assert (dataset.meta.pad_id, dataset.meta.ignore_label_id) == (0, 0)
    assert str(tmp_path) not in (out / "dataset.json").read_text()


def test_dense_stripes_hold_each_augmentation_of_each_puzzle_once(
    tmp_path: Path, folder: Path
) -> None:
    online, dense = tmp_path / "online", tmp_path / "dense"
    base = ["--source", "csv", "--input", folder, "--num-aug", 6]
    assert run(*base, "--output-dir", online).returncode == 0
    assert run(*base, "--output-dir", dense, "--storage", "dense").returncode == 0
    originals = open_dataset(online).read("train", ["inputs", "labels"], 0, 40)
    stored = open_dataset(dense).read("train", ["inputs", "labels", "groups"], 0, 10_000)
    assert len(stored["inputs"]) == 7 * 40
    stripes = stored["groups"].reshape(7, 40)
    assert (stripes == np.arange(40)).all()
    symmetry = Sudoku.of_size(9).symmetry
    for group in range(40):
        expected = set()
        for index in range(7):
            inputs, labels = symmetry.augment(
                originals["inputs"][group][None],
                originals["labels"][group][None],
                np.array([group]),
                np.array([index]),
                0,
            )
            expected.add((inputs.tobytes(), labels.tobytes()))
        mine = stored["groups"] == group
        pairs = zip(stored["inputs"][mine], stored["labels"][mine], strict=True)
        assert {(i.tobytes(), a.tobytes()) for i, a in pairs} == expected
    first = stored["inputs"][:40]
    assert 0 < (first == originals["inputs"]).all(axis=1).sum() < 40
    laid_out = tmp_path / "laid_out"
    assert tool(["repack", str(online), str(laid_out), "--storage", "dense"]) == 0
    assert open_dataset(laid_out).meta.splits == open_dataset(dense).meta.splits


def test_one_file_is_split_without_equivalents_on_both_sides(tmp_path: Path) -> None:
    geometry = GEOMETRIES[9]
    rows = rows_of(40)
    boards = np.array([[int(c) for c in q.replace(".", "0")] for _, q, _, _ in rows], np.uint8)
    solved = np.array([[int(c) for c in a] for _, _, a, _ in rows], np.uint8)
    twins = Sudoku.of_size(9).symmetry.augment(
        boards + 1, solved + 1, np.arange(40), np.ones(40, int), 5
    )
    for question, answer in zip(twins[0] - 1, twins[1] - 1, strict=True):
        rows.append(["twin", "".join(map(str, question)), "".join(map(str, answer)), "0"])
    write_csv(tmp_path / "all.csv", rows)
    arguments = ["--source", "csv", "--input", tmp_path / "all.csv", "--test-size", 21]
    result = run(*arguments, "--output-dir", tmp_path / "out", "--subsample-size", 30)
    assert result.returncode == 0, result.stderr
    dataset = open_dataset(tmp_path / "out")
    keys = {}
    for split in ("train", "test"):
        columns = dataset.read(split, ["inputs", "labels"], 0, 1000)
        keys[split] = class_keys(columns["inputs"] - 1, columns["labels"] - 1, geometry)
    assert not np.isin(keys["test"], keys["train"]).any()
    assert len(keys["test"]) == 20  # whole classes of two
    assert len(keys["train"]) == 30


def test_generated_splits_share_no_puzzle_up_to_symmetry(tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["--source", "generate", "--size", 4, "--count", 800, "--test-size", 200]
    assert run(*arguments, "--output-dir", out).returncode == 0
    keys = []
    for split in ("train", "test"):
        columns = open_dataset(out).read(split, ["inputs", "labels"], 0, 1000)
        keys.append(class_keys(columns["inputs"] - 1, columns["labels"] - 1, GEOMETRIES[4]))
    assert (len(keys[0]), len(keys[1])) == (800, 200)
    assert len(np.unique(np.concatenate(keys))) == 1000


def test_a_16x16_set_is_built_augmented_drawn_and_linted(tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["--source", "generate", "--size", 16, "--count", 12, "--test-size", 4]
    stored = ["--num-aug", 2, "--storage", "dense"]
    assert run(*arguments, *stored, "--output-dir", out).returncode == 0
    meta = open_dataset(out).meta
    assert meta.splits["train"].examples == 36
    assert (meta.vocab_size, meta.seq_len) == (18, 256)
    assert meta.board == {"height": 16, "width": 16, "box_height": 4, "box_width": 4}
    for command, words in (("lint", "are sound"), ("preview", "F"), ("info", "16x16")):
        done = subprocess.run(
            [sys.executable, "-m", "tools.shards", command, str(out)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert words in done.stdout


def blank_out(question: str) -> str:
    return "." * 45 + question[45:]


def test_bad_rows_end_with_one_line_exit_3_and_no_folder(tmp_path: Path, folder: Path) -> None:
    rows = rows_of(20)
    rows[4][1] = blank_out(rows[4][1])
    write_csv(folder / "test.csv", rows)
    result = run("--source", "csv", "--input", folder, "--output-dir", tmp_path / "o" / "set")
    assert result.returncode == 3
    errors = [x for x in result.stderr.splitlines() if x.startswith("error:")]
    assert len(errors) == 1
    assert result.stderr.splitlines()[-1] == errors[0]
    assert "row 5 (line 6)" in errors[0]
    assert str(folder / "test.csv") in errors[0]
    assert not (tmp_path / "o").exists() or not list((tmp_path / "o").iterdir())


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--output-dir", "x", "--source", "csv"], 2),
        (["--output-dir", "shards", "--source", "generate", "--overwrite"], 3),
    ],
)
def test_exit_codes_of_wrong_arguments(arguments: list[str], code: int) -> None:
    result = run(*arguments)
    assert result.returncode == code
    assert "Traceback" not in result.stderr
    assert (ROOT / "shards" / "sudoku").is_dir()
    assert not (ROOT / "x").exists()


def test_overwrite_replaces_only_when_asked(tmp_path: Path) -> None:
    arguments = ["--source", "generate", "--size", 4, "--count", 20, "--output-dir", tmp_path / "o"]
    assert run(*arguments).returncode == 0
    before = contents(tmp_path / "o")
    refused = run(*arguments, "--seed", 1)
    assert refused.returncode == 3
    assert "--overwrite" in refused.stderr
    assert contents(tmp_path / "o") == before
    assert run(*arguments, "--seed", 1, "--overwrite").returncode == 0
    assert contents(tmp_path / "o") != before


def test_an_unreachable_hub_is_one_line_with_ways_out(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    result = run(
        "--output-dir",
        tmp_path / "o",
        HF_HOME=str(tmp_path / "hf"),
        HF_ENDPOINT="http://127.0.0.1:9",
    )
    assert result.returncode == 5
    (error,) = [x for x in result.stderr.splitlines() if x.startswith("error:")]
    assert "--source csv --input" in error
    assert "--source generate" in error
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "o").exists()


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data are not beside the project")
def test_the_real_set_builds_and_verifies(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(
        *("--source", "csv", "--input", REAL, "--output-dir", out),
        *("--num-aug", 1000, "--test-size", 500),
    )
    assert result.returncode == 0, result.stderr
    assert (open_dataset(out).split("train").groups, open_dataset(out).split("test").groups) == (
        1000,
        500,
    )
    verified = subprocess.run(
        [sys.executable, "-m", "tools.shards", "verify", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr
