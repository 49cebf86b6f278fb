"""Kinds of puzzles from outside: found by --puzzle, checked before anything is written, and named
where they are missing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.tiny.runs import main_of
from hrm_scale.base.errors import EXIT_CONFIG, EXIT_DATA, ConfigError, run_cli
from hrm_scale.base.plugins import PUZZLE_FILES, take_plugins
from hrm_scale.data import Loader, open_dataset
from hrm_scale.puzzles import BoardSymmetry, puzzle_class

PLUGIN = """
from hrm_scale.puzzles import Fault, Generated, Puzzle, Relabel, Token
import numpy as np

class Twins(Puzzle):
    '''The answer of a cell is the token of the question.'''
    kind = "twins"

    def __init__(self, height, width):
        super().__init__(height, width)
        self.tokens = (Token("padding"), Token("one", "a"), Token("two", "b"))
        self.symbols = range(1, 3)
        self.symmetry = Relabel(self.symbols, 3, self.cells)

    def faults(self, inputs, answers):
        return [Fault(inputs != answers, "cell differs", "cells differ")]

    def generate(self, count, seed):
        boards = np.random.default_rng(seed).integers(1, 3, (count, self.cells)).astype(np.uint8)
        return Generated(boards, boards.copy())
"""


@pytest.fixture(autouse=True)
def _no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PUZZLE_FILES, "")


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    file = tmp_path / "twins.py"
    file.write_text(PLUGIN)
    return file


def generate(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end:
        run_cli(main_of("shards.generate"), arguments)
    return int(end.value.code or 0), capsys.readouterr().err


def test_a_file_adds_a_kind_that_is_built_and_read(
    plugin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    words = ["twins", "--size", "4", "--count", "30", "--num-aug", "5", "--output-dir", str(folder)]
    code, err = generate([*words, "--puzzle", str(plugin)], capsys)
    assert code == 0, err
    dataset = open_dataset(folder)
    assert dataset.meta.builder["puzzle"] == {"source": "twins.py", "class": "Twins"}
    assert type(dataset.meta.puzzle).__name__ == "Twins"
    (batch,) = next(Loader(dataset, "train", seed=0, global_batch_size=8).batches(0))
    assert (batch.inputs == batch.labels).all()
    assert len(np.unique(batch.inputs)) == 2
    symmetry = dataset.meta.puzzle.symmetry
    assert isinstance(symmetry, BoardSymmetry)
    rows = [
        dataset.read(split, ["inputs", "labels"], 0, count)
        for split, count in (("train", 30), ("test", 7))
    ]
    keys = [symmetry.keys(row["inputs"], row["labels"]) for row in rows]
    assert len(np.unique(np.concatenate(keys))) == 37  # no puzzle twice, none in both splits


def test_online_equals_dense(
    plugin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["twins", "--size", "3", "--count", "4", "--num-aug", "3", "--puzzle", str(plugin)]
    for storage in ("online", "dense"):
        line = [*words, "--storage", storage, "--output-dir", str(tmp_path / storage)]
        code, err = generate(line, capsys)
        assert code == 0, err
    stored = open_dataset(tmp_path / "dense").read("train", ["inputs", "groups"], 0, 16)
    online = open_dataset(tmp_path / "online")
    originals = online.read("train", ["inputs"], 0, 4)["inputs"]
    symmetry = online.meta.puzzle.symmetry
    assert isinstance(symmetry, BoardSymmetry)
    groups, index = np.repeat(np.arange(4), 4), np.tile(np.arange(4), 4)
    made = symmetry.augment(originals[groups], originals[groups], groups, index, 0)[0]
    assert sorted(map(bytes, made)) == sorted(map(bytes, stored["inputs"]))


def test_a_data_set_names_the_plugin_that_is_missing(
    plugin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    words = ["twins", "--size", "4", "--count", "9", "--num-aug", "1", "--output-dir", str(folder)]
    assert generate([*words, "--puzzle", str(plugin)], capsys)[0] == 0
    os.environ[PUZZLE_FILES] = ""
    dataset = open_dataset(folder)
    with pytest.raises(ConfigError, match=r"twins.py.*--puzzle"):
        Loader(dataset, "train", seed=0, global_batch_size=4)
    # What a data set says is never imported.
    content = json.loads((folder / "dataset.json").read_text())
    assert str(tmp_path) not in json.dumps(content)


@pytest.mark.parametrize(
    ("change", "code", "expected"),
    [
        (
            ("import numpy as np", "import nothing_of_this_name"),
            EXIT_CONFIG,
            "nothing_of_this_name",
        ),
        (("class Twins(Puzzle):", "class Twins(Puzzle)"), EXIT_CONFIG, "SyntaxError"),
        (("class Twins(Puzzle):", "class Twins:"), EXIT_CONFIG, "defines no kind"),
        (("def faults", "def other"), EXIT_CONFIG, "`faults` or `solved`"),
        (("def generate", "def other"), EXIT_CONFIG, "no generator"),
        (('kind = "twins"', 'kind = "sudoku"'), EXIT_CONFIG, "exists already"),
        (('kind = "twins"', "kind = 7"), EXIT_CONFIG, "kind must be a name"),
        (("inputs != answers", "inputs == answers"), EXIT_DATA, "contradict"),
        (('"b"', '"a"'), EXIT_DATA, "glyph 'a'"),
        (('"b"', '""'), EXIT_DATA, "too large for its glyphs"),
        (('"b"', '"long"'), EXIT_DATA, "not one character"),
        (("(1, 3, (count", "(1, 9, (count"), EXIT_DATA, "token"),
        (("self.cells)).astype(np.uint8)", "7)).astype(np.uint8)"), EXIT_DATA, "expected uint8"),
        (("return [Fault", "raise KeyError('x')\n        return [Fault"), EXIT_DATA, "KeyError"),
    ],
)
def test_a_bad_plugin_is_one_line(
    plugin: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: tuple[str, str],
    code: int,
    expected: str,
) -> None:
    bad = tmp_path / f"bad{abs(hash(change))}.py"
    bad.write_text(PLUGIN.replace(*change))
    assert bad.read_text() != PLUGIN
    folder = tmp_path / "data"
    words = ["twins", "--size", "4", "--output-dir", str(folder), "--puzzle", str(bad)]
    found, err = generate(words, capsys)
    lines = [line for line in err.splitlines() if line.startswith(("error", "Traceback"))]
    assert (found, len(lines)) == (code, 1), err
    assert expected in lines[0]
    assert not folder.exists()


def test_unknown_kinds_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--size", "4", "--output-dir", str(tmp_path / "data")]
    code, err = generate(["sudokus", *words], capsys)
    assert (code, "'sudoku'" in err) == (EXIT_CONFIG, True)
    code, err = generate(["twins", *words, "--puzzle", str(tmp_path / "none.py")], capsys)
    assert (code, "none.py" in err) == (EXIT_CONFIG, True)
    code, err = generate(["twins", *words, "--puzzle"], capsys)
    assert code == EXIT_CONFIG
    assert not (tmp_path / "data").exists()


def test_files_are_handed_on_to_processes(plugin: Path) -> None:
    assert take_plugins(["a", f"--puzzle={plugin}", "b"]) == ["a", "b"]
    assert os.environ[PUZZLE_FILES] == str(plugin)
    assert puzzle_class("twins").kind == "twins"


def test_an_installed_package_adds_kinds(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site"
    info = package / "twins_kind-1.0.dist-info"
    info.mkdir(parents=True)
    (package / "twins_kind.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: twins-kind\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hrm_scale.puzzles]\ntwins = twins_kind:Twins\n")
    monkeypatch.syspath_prepend(str(package))
    from hrm_scale.puzzles import registry

    registry._kinds.cache_clear()
    try:
        assert puzzle_class("twins").__module__ == "twins_kind"
    finally:
        registry._kinds.cache_clear()
