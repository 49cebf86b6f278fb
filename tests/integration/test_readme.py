"""Promises of README and docs: commands run as written, tables and links are true."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.tiny.runs import main_of
from hrm_scale.base import errors

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands(document: Path) -> list[list[str]]:
    """Every command of every shell block, without its comment."""
    text = document.read_text(encoding="utf-8")
    found = []
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        lines = block.replace("\\\n", " ").splitlines()
        found += [words for line in lines if (words := shlex.split(line, comments=True))]
    return found


README = commands(ROOT / "README.md")


def modules() -> list[str]:
    every = [words for document in DOCUMENTS for words in commands(document)]
    return sorted({w[w.index("-m") + 1] for w in every if "-m" in w})


def arguments_of(module: str) -> list[list[str]]:
    return [w[w.index("-m") + 2 :] for w in README if "-m" in w and w[w.index("-m") + 1] == module]


def run(words: list[str], folder: Path) -> str:
    words = [sys.executable if word == "python" else word for word in words]
    done = subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_two_commands_come_first() -> None:
    assert README[:2] == [["./launch.sh", "demo"], ["./launch.sh", "test"]]


def test_launch_commands_exist() -> None:
    listed = run(["bash", str(ROOT / "launch.sh"), "help"], ROOT)
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        used = set(re.findall(r"\./launch\.sh ([a-z]+)", text))
        for command in used:
            assert re.search(rf"^  {command} ", listed, re.MULTILINE), f"{document.name}: {command}"


@pytest.mark.parametrize("module", modules())
def test_modules_exist_and_explain_themselves(module: str) -> None:
    assert "usage" in run(["python", "-m", module, "--help"], ROOT)


@pytest.mark.parametrize("base", ["train", "evaluate", "predict"])
def test_configurations_are_accepted(base: str) -> None:
    from hrm_scale.config.compose import compose

    module = f"hrm_scale.{base}"
    told = arguments_of(module)
    assert told, f"the README shows no {module}"
    for arguments in told:
        compose([word for word in arguments if word not in ("--show", "--dry-run")], base=base)


def test_run_folder_is_where_the_readme_looks_for_it() -> None:
    """Each `checkpoint=...` is the folder that a `train` command writes, or any run's."""
    from hrm_scale.config.compose import compose

    written = {compose(a).run.checkpoint_path for a in arguments_of("hrm_scale.train") if named(a)}
    read = [word for words in README for word in words if word.startswith("checkpoint=")]
    folders = {word.partition("=")[2] for word in read} - {"checkpoints/PROJECT/RUN"}
    assert folders - written == {"checkpoints/demo"}
    assert len(folders) == 4


def named(arguments: list[str]) -> bool:
    return any(word.startswith("run_name=") for word in arguments)


def test_the_tiny_model_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built, trained (for fewer steps), evaluated and asked; the page is tested elsewhere."""
    monkeypatch.chdir(tmp_path)
    tiny = [words for words in README if any("/tiny" in word for word in words)]
    short = {"hrm_scale.train": ["max_steps=2", "evaluation.full_at_end=false"]}
    short["hrm_scale.evaluate"] = ["limit=8"]
    done = []
    for _, _, module, *arguments in tiny:
        if module != "hrm_scale.play":
            assert not main_of(module)([*arguments, *short.get(module, [])])
            done.append(module)
    assert done == ["shards.sudoku", "hrm_scale.train", "hrm_scale.evaluate", "hrm_scale.predict"]


def test_exit_codes_are_all_told() -> None:
    text = (ROOT / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    table = text[text.index("## Codes") :].split("\n## ")[0]
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    assert told == {value for name, value in vars(errors).items() if name.startswith("EXIT_")}


def test_configuration_keys_exist() -> None:
    from hrm_scale.config import keys

    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    table = text[text.index("## Common keys") :].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
    told = {key for row in rows for key in re.findall(r"`([\w.]+)`", row)}
    assert len(told) > 15
    assert told <= set(keys.TRAIN), told - set(keys.TRAIN)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", document.read_text(encoding="utf-8"))
    for link in links:
        if not link.startswith("https://"):
            assert (document.parent / link).exists(), link
