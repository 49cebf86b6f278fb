"""Options that several builders share: what does not go together is one line, before any work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hrm_scale.base.errors import ConfigError, DataError, HrmError
from shards.builder.split import choose_test
from shards.maze.cli import main as maze
from shards.sudoku.cli import main as sudoku

Main = Callable[[list[str]], int]


@pytest.mark.parametrize("main", [sudoku, maze])
@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (["--source", "csv"], ConfigError, "needs --input"),
        (["--source", "csv", "--input", "/nowhere/at/all"], DataError, "no such file or folder"),
        (["--input", "x"], ConfigError, "--input goes with --source csv"),
        (["--count", "5"], ConfigError, "--count goes with --source generate"),
        (["--test-size", "0"], ConfigError, "--test-size 0 goes with"),
        (["--source", "generate", "--subsample-size", "3"], ConfigError, "use --count"),
        (["--source", "generate", "--size", "3"], ConfigError, "--size"),
        (["--seed", "-1"], ConfigError, "--seed"),
        (["--sise", "4"], ConfigError, "Did you mean '--size'"),
    ],
)
def test_mistakes_leave_nothing(
    tmp_path: Path, main: Main, arguments: list[str], kind: type[HrmError], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught:
        main(["--output-dir", str(tmp_path / "o"), *arguments])
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "o").exists()


def test_all_that_does_not_go_with_the_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        maze(["--output-dir", str(tmp_path / "o"), "--min-path", "20", "--jobs", "2"])
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("wanted", [1, 6])
def test_a_test_split_is_of_whole_classes_or_refused(wanted: int) -> None:
    keys = np.array([4, 4, 7, 7, 7, 4])  # two classes of three
    with pytest.raises(ConfigError, match="cannot be split off"):
        choose_test(keys, 0, wanted, Path("a.csv"))
    chosen = choose_test(keys, 0, 4, Path("a.csv"))
    assert chosen.sum() == 3
    assert len(set(keys[chosen])) == 1
