"""The W&B sink really runs, offline, in a folder of its own, and never asks anything."""

from __future__ import annotations

import importlib.util
import os
import pty
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hrm_scale.reporting.wandb_sink import choose_mode, run_id

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("mode", "environ", "key", "expected"),
    [
        ("auto", {}, False, "offline"),
        ("auto", {}, True, "online"),
        ("auto", {"WANDB_MODE": "offline"}, True, "offline"),
        ("auto", {"WANDB_MODE": "disabled"}, True, "off"),
        ("online", {}, False, "offline"),
        ("online", {"WANDB_MODE": "offline"}, True, "online"),
        ("offline", {}, True, "offline"),
        ("off", {}, True, "off"),
    ],
)
def test_choice_of_mode(mode: str, environ: dict[str, str], key: bool, expected: str) -> None:
    chosen, reason = choose_mode(mode, environ, lambda: key)  # type: ignore[arg-type]
    assert chosen == expected
    assert reason


def test_run_id_is_made_once(tmp_path: Path) -> None:
    first = run_id(tmp_path)
    assert len(first) == 8
    assert run_id(tmp_path) == first
    (tmp_path / "wandb" / "run-id").write_text("")
    assert run_id(tmp_path) != ""


SCRIPT = """
    import sys
    from pathlib import Path
    from hrm_scale.reporting import open_reporter
    assert "wandb" not in sys.modules
    for resume in (None, 1):
        reporter = open_reporter(
            Path(sys.argv[1]), resume_step=resume, project="p", run_name="n", config={"lr": 1e-4}
        )
        reporter.start(resume or 0, 2)
        reporter.metrics((resume or 0) + 1, {"train/lm_loss": 0.5})
        reporter.close(0)
    print("end")
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="wandb is not installed")
def test_offline_without_a_key_on_a_terminal_never_prompts(tmp_path: Path) -> None:
    """Standard input and output are a terminal, where wandb would ask for a key."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith("WANDB")}
    home = tmp_path / "home"
    home.mkdir()
    environment = {**keep, "HOME": str(home), "PYTHONPATH": str(ROOT), "TERM": "dumb"}
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path / "run")]
    process = subprocess.Popen(
        command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path
    )
    os.close(theirs)
    output = b""
    try:
        while piece := os.read(ours, 4096):
            output += piece
    except OSError:
        pass  # how a terminal says that the other side has closed
    assert process.wait(timeout=60) == 0, output.decode()
    lines = output.decode().replace("\r", "").splitlines()
    assert len(lines) == 5, lines
    for line in (lines[0], lines[2]):
        assert line.startswith("wandb: offline (no API key found); to upload: wandb sync ")
        folder = Path(line.rsplit(" ", 1)[1])
        assert folder.parent == tmp_path / "run" / "wandb"
        assert list(folder.glob("run-*.wandb"))
    assert lines[1::2] == ["step 1/2 | loss 0.5000", "step 2/2 | loss 0.5000"]
    assert lines[4] == "end"
    stored = (tmp_path / "run" / "wandb" / "run-id").read_text().strip()
    runs = list((tmp_path / "run" / "wandb").glob("offline-run-*"))
    # offline-run-TIME-ID; W&B appends -1 when two sessions begin within the same second.
    assert {path.name.split("-")[3] for path in runs} == {stored}
    assert len(runs) == 2
    assert sorted(item.name for item in tmp_path.iterdir()) == ["home", "run"]
