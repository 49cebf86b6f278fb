"""A real run with secrets around it: not one byte of them in what it leaves or says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.runs import ROOT, arguments, call, command, environment
from hrm_scale.base.errors import EXIT_CONFIG

# In the environment, where secrets belong.
ENVIRONMENT = {
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
    "HF_TOKEN": "hf_PLANTEDenvironmentABCDEFGHIJKLMN",
    "AWS_SECRET_ACCESS_KEY": "PLANTED/environment+aws",
    "SOME_PASSWORD": "PLANTED-environment-password",
}
# On the command line, where they do not.
TYPED = (
    "run_name=of https://someone:PLANTED-password@host/x?api_key=PLANTED-api-key&sig=PLANTED-sig",
    "project_name=my_token=PLANTED-token",
)
PLANTED = [b"PLANTED", ENVIRONMENT["WANDB_API_KEY"].encode()]


def run(home: Path, *settings: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in environment().items() if not name.startswith("WANDB")}
    return subprocess.run(
        command("hrm_scale.train", *settings),
        cwd=cwd,
        env={**kept, **ENVIRONMENT, "HOME": str(home), "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
    )


def leaks(folder: Path) -> list[str]:
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            found += [f"{path.relative_to(folder)}: {p!r}" for p in PLANTED if p in content]
        found += [str(path.relative_to(folder)) for p in PLANTED if p in os.fsencode(path.name)]
    return found


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A working folder that is a git clone whose remote has a token in its address."""
    folder = tmp_path / "clone"
    folder.mkdir()
    (folder / "notes.txt").write_text("PLANTED-in-a-changed-file")
    for words in (
        ["init", "-q"],
        ["remote", "add", "origin", "https://PLANTED-remote@host/x.git"],
        ["add", "notes.txt"],
    ):
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, timeout=20)
        if done.returncode != 0:
            pytest.skip("git is not installed")
    return folder


@pytest.mark.slow
def test_nothing_planted_is_found_anywhere(tmp_path: Path, clone: Path) -> None:
    data = write_online(tmp_path / "data", examples=40)
    home = tmp_path / "home"
    home.mkdir()
    folder = tmp_path / "run"
    settings = arguments(
        data, folder, max_steps=3, log__wandb="offline", log__console="line", engine__accumulation=1
    )
    for steps in (3, 5):  # the second start resumes, and tells what has changed
        wanted = [s if not s.startswith("max_steps=") else f"max_steps={steps}" for s in settings]
        done = run(home, *wanted, *TYPED, cwd=clone)
        assert done.returncode == 0, done.stderr
        assert "PLANTED" not in done.stdout + done.stderr
        assert ENVIRONMENT["WANDB_API_KEY"] not in done.stdout + done.stderr
    assert list(folder.rglob("*.wandb"))
    assert leaks(folder) == []
    assert leaks(home) == []
    assert b"***" in (folder / "config.yaml").read_bytes()


@pytest.mark.slow
def test_a_password_in_an_address_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    address = "data_path=s3://someone:PLANTED-password@host"
    done = call("hrm_scale.train", address, f"checkpoint_path={tmp_path / 'run'}", "log.wandb=off")
    assert done.returncode == EXIT_CONFIG
    assert done.stderr.count("\n") == 1
    assert "PLANTED" not in done.stdout + done.stderr
    assert leaks(tmp_path) == []
    shown = call("hrm_scale.train", address, "--show")
    assert shown.returncode == 0
    assert "PLANTED" not in shown.stdout + shown.stderr
