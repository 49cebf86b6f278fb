"""`python -m tools.checkpoint info DIR`, as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hrm_scale.base.errors import EXIT_CHECKPOINT, EXIT_OK, CheckpointError
from hrm_scale.checkpoint import CheckpointManager
from tools.checkpoint.cli import main

ROOT = Path(__file__).parents[2]


def save(run: Path, step: int, **state: object) -> Path:
    parts = {
        "model": {"a": torch.zeros(30, 40), "b": torch.zeros(34)},
        "puzzle_table": {"weights": torch.zeros(7, 16)},
    }
    clock = {"train": 3720.0, "paused": {}, "steps": step, "rates": None}
    return CheckpointManager(run, None).save(
        step, parts, {"samples": 32 * step, "clock": clock, **state}, {}
    )


def test_run_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2, command="python -m hrm_scale.train 'run_name=a b'")
    assert main(["info", str(tmp_path)]) == EXIT_OK
    text = capsys.readouterr().out
    assert "2 checkpoints, newest first" in text
    words = {tuple(line.split()) for line in text.splitlines()}
    assert ("step-00000001", "valid") in words
    assert ("step", "2") in words
    assert ("samples", "64", "trained", "on", "so", "far") in words
    assert ("parameters", "1,234", "buffers", "included") in words
    assert ("puzzle", "table", "7x16") in words
    assert any(line[:2] == ("training", "time") and line[2] == "1h02m" for line in words)
    assert "python -m hrm_scale.train 'run_name=a b'" in text


def test_one_checkpoint_without_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(save(tmp_path, 1))]) == EXIT_OK
    assert f"checkpoint_path={tmp_path}" in capsys.readouterr().out


def test_damaged_newest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path, 1)
    (save(tmp_path, 2) / "state.json").write_text("{}")
    assert main(["info", str(tmp_path)]) == EXIT_CHECKPOINT
    text = capsys.readouterr().out
    assert "step-00000002  NOT VALID: state.json is damaged" in text
    assert "goes on from step-00000001" in text


def test_nothing_valid(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    (path / "state.json").unlink()
    for argument in (path, tmp_path):
        with pytest.raises(CheckpointError, match=r"state\.json is missing|none of the 1"):
            main(["info", str(argument)])


def test_from_the_shell_without_torch(tmp_path: Path) -> None:
    save(tmp_path, 1)
    code = (
        "import sys, runpy; sys.modules['torch'] = None;"
        f" sys.argv = ['x', 'info', {str(tmp_path)!r}];"
        " runpy.run_module('tools.checkpoint', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == EXIT_OK, done.stderr
    done = subprocess.run(
        [sys.executable, "-m", "tools.checkpoint", "info", str(tmp_path / "no")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == EXIT_CHECKPOINT
    assert done.stderr.startswith("error: checkpoint ")
    assert len(done.stderr.splitlines()) == 1
