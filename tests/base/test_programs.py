"""Commands in messages can be typed in a clone and where a wheel is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from hrm_scale.base import programs

TEXT = "type `python -m tools.shards lint DIR`, or `python -m shards.sudoku`; see tools.html"


def test_in_a_clone_names_are_as_they_are() -> None:
    assert programs.as_typed(TEXT) == TEXT
    assert programs.load("shards.sudoku.cli").__name__ == "shards.sudoku.cli"


def test_in_a_wheel_they_are_inside_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("tools", "shards"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(programs, "PACKAGE", tmp_path)
    assert programs.as_typed(TEXT) == (
        "type `python -m hrm_scale.tools.shards lint DIR`, or `python -m hrm_scale.shards.sudoku`;"
        " see tools.html"
    )
