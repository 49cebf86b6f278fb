"""No text from a file, a name or a command line steers a terminal or fakes a line of its own."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.tiny.data_sets import columns, puzzles, sudoku_meta
from benchmarks.tiny.runs import arguments, main_of, train_here
from hrm_scale.base.errors import ConfigError, DataError, HrmError, run_cli
from hrm_scale.base.untrusted import printable, printable_lines
from hrm_scale.data import DatasetWriter
from hrm_scale.data.format.meta import canonical_json, fingerprint, meta_to_json, read_meta
from hrm_scale.reporting.banner import render_banner
from hrm_scale.reporting.sinks import Reporter, Sink

EVIL = "x\x1b[31m\x1b[2J\nerror: faked\r\x9b1A\u202egnp\u2066\x07\x00"
PUZZLE = "1..4..1..1..4..1"
Show = Callable[..., str]
hostile = st.text(st.characters(), max_size=40) | st.just(EVIL)


def harmless(text: str) -> bool:
    lines = text.split("\n")
    return all(line.isprintable() and not line.startswith("error: faked") for line in lines)


@given(hostile, st.integers(1, 60))
def test_printable_is_one_line_of_what_prints(text: str, limit: int) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown
    assert shown == text or not text.isprintable()
    assert printable(text, limit).startswith(printable(text[:limit]))
    assert printable(text, limit).endswith("...") or len(text) <= limit
    assert printable_lines(text).count("\n") == text.count("\n")


@given(st.lists(hostile, min_size=1, max_size=4))
def test_an_error_has_a_line_for_each_problem(problems: list[str]) -> None:
    for kind in (ConfigError, DataError):
        assert len(str(kind(*problems)).split("\n")) == len(problems)
        assert harmless(str(kind(*problems)))
        assert kind(*problems).line.isprintable()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(hostile, min_size=1, max_size=3))
def test_the_printed_error(capsys: pytest.CaptureFixture[str], problems: list[str]) -> None:
    def main(_: list[str]) -> int:
        raise HrmError(*problems)

    with pytest.raises(SystemExit):
        run_cli(main, [])
    lines = capsys.readouterr().err.removesuffix("\n").split("\n")
    assert len(lines) == len(problems)
    assert all(line.isprintable() for line in lines)
    assert [line[:7] for line in lines] == ["error: ", *["       "] * (len(problems) - 1)]


class Kept(Sink):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def message(self, text: str, *, warning: bool) -> None:
        assert not warning or "\n" not in text
        self.texts.append(text)

    def close(self, exit_code: int, text: str) -> None:
        self.texts.append(text)


@given(hostile, hostile)
def test_banners_and_messages_of_a_run(name: str, text: str) -> None:
    rows = [("a", "b", "c"), (name, text, ""), ("d", text, "")]
    shown = render_banner(name, rows)
    assert harmless(shown)
    assert len(shown.split("\n")) == 4 + ("c" not in shown.split("\n")[1])
    sink = Kept()
    reporter = Reporter([sink])
    reporter.say(name, text)
    reporter.warn(text)
    reporter.close(1, text)
    assert all(line.isprintable() for said in sink.texts for line in said.split("\n"))
    assert "\n" not in sink.texts[2]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, and a data set whose every free text is hostile: its names too."""
    root = tmp_path_factory.mktemp("hostile")
    inputs, labels = puzzles(4, 20)
    meta = sudoku_meta(
        4,
        "dense",
        augmentation={"kind": "none", EVIL: EVIL},
        builder={"name": EVIL, EVIL: {EVIL: [EVIL]}},
        extra={"sources": [EVIL, f"2{EVIL}"], EVIL: EVIL},
        num_puzzle_identifiers=2,
    )
    rows = {
        **columns(inputs, labels, np.arange(20)),
        "puzzle_identifiers": np.ones(20, np.int32),
        "sources": np.arange(20, dtype=np.uint8) % 2,
    }
    with DatasetWriter(root / "set", meta) as writer:
        writer.write_split("train", [rows])
        writer.write_split("test", [rows])
        writer.write_identifiers([EVIL, EVIL])
    train_here(root / "set", root / "run", max_steps=1)
    return root


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str]) -> Show:
    """What a program prints, on both streams; checked."""

    def show(module: str, *words: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit):
            run_cli(main_of(module), list(map(str, words)))
        text = "\n".join(capsys.readouterr())
        assert harmless(text), [line for line in text.split("\n") if not harmless(line)]
        return text

    return show


@pytest.mark.parametrize(
    "words",
    [
        ("tools.shards", "info"),
        ("tools.shards", "info", "--json"),
        ("tools.shards", "preview"),
        ("tools.shards", "preview", "--json"),
        ("tools.shards", "preview", "--id", EVIL),
        ("tools.shards", "verify"),
        ("tools.shards", "lint"),
        ("tools.shards", "lint", "--json"),
        ("tools.shards", "order"),
        ("tools.shards", "order", "--json"),
    ],
    ids=lambda words: " ".join(map(ascii, words)),
)
def test_tools_that_show_a_data_set(show: Show, root: Path, words: tuple[str, ...]) -> None:
    module, command, *options = words
    shown = show(module, command, root / "set", *options)
    assert command != "info" or "--json" in options or "x1b[2J" in shown


def test_programs_that_read_a_data_set(show: Show, root: Path, tmp_path: Path) -> None:
    show("tools.shards", "repack", root / "set", tmp_path / EVIL.replace("\0", ""))
    show("tools.shards", "view", root / "set", "--html", tmp_path / "\x1b[2J.html")
    show("tools.plan", "experiment=demo", f"data_path={root / 'set'}")
    table = show("hrm_scale.evaluate", f"checkpoint={root / 'run'}", f"data_path={root / 'set'}")
    assert "x1b[2J" in table.partition("source")[2]
    line = arguments(root / "set", tmp_path / "\x1b[2J\nerror: faked", max_steps=1)
    show("hrm_scale.train", *line, "log.console=line", "run_name=\x1b[2J\u202e")
    log = next(tmp_path.glob("*faked/log.txt")).read_text(encoding="utf-8")
    assert harmless(log)


Change = Callable[[dict[str, Any]], object]
CHANGES: dict[str, Change] = {
    "key": lambda document: document.update({EVIL: 1}),
    "kind": lambda document: document.update(kind=EVIL),
    "storage": lambda document: document.update(storage=EVIL),
    "version": lambda document: document.update(schema_version=EVIL),
    "split": lambda document: document["splits"].update({EVIL: document["splits"]["train"]}),
    "key of a split": lambda document: document["splits"]["train"].update({EVIL: 1}),
    "board": lambda document: document["board"].update({EVIL: -1}),
    "number": lambda document: document.update(seq_len=EVIL),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_wrong_in_a_data_set(show: Show, root: Path, tmp_path: Path, change: str) -> None:
    data = tmp_path / "set"
    shutil.copytree(root / "set", data)
    document = json.loads((data / "dataset.json").read_text())
    CHANGES[change](document)
    content = {
        key: value for key, value in document.items() if key not in ("builder", "fingerprint")
    }
    document["fingerprint"] = hashlib.sha256(canonical_json(content)).hexdigest()
    (data / "dataset.json").write_text(json.dumps(document))
    for command in ("info", "lint", "order"):
        show("tools.shards", command, data)
    show("hrm_scale.train", *arguments(data, tmp_path / "run", max_steps=1))
    show("hrm_scale.evaluate", f"checkpoint={root / 'run'}", f"data_path={data}")


def test_a_checkpoint(show: Show, root: Path, tmp_path: Path) -> None:
    run = tmp_path / "\x1b[2J\nerror: faked"
    shutil.copytree(root / "run", run)
    (folder,) = (run / "checkpoints").glob("step-*")
    manifest = json.loads((folder / "manifest.json").read_text())

    def put(name: str, **changes: Any) -> None:
        document = json.loads((folder / name).read_text()) | changes
        data = json.dumps(document).encode()
        (folder / name).write_bytes(data)
        entry = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        manifest["files"][name] = entry
        (folder / "manifest.json").write_text(json.dumps(manifest))

    put("state.json", command=EVIL)
    put("versions.json", python=EVIL, packages={EVIL: EVIL}, git={"commit": EVIL, "changed": True})
    put("config.json", data_path=EVIL.replace("\0", ""), run_name=EVIL, lr=2e-4)
    shown = show("tools.checkpoint", "info", run)
    assert "x1b[2J" in shown
    show("hrm_scale.predict", f"checkpoint={run}", f"puzzle={PUZZLE}")
    show("hrm_scale.evaluate", f"checkpoint={run}", f"data_path={root / 'set'}")
    line = arguments(root / "set", run, max_steps=2, log__console="line")
    assert "x1b[2J" in show("hrm_scale.train", *line)
    put("config.json", **{EVIL: EVIL})
    show("hrm_scale.predict", f"checkpoint={run}", f"puzzle={PUZZLE}")


def test_the_status_of_a_run(show: Show, root: Path, tmp_path: Path) -> None:
    run = tmp_path / "\x1b[2J\nerror: faked"
    shutil.copytree(root / "run", run)
    events = [
        {"event": "start", "step": 0, "time": 1.0, "host": EVIL},
        {"event": "warning", "step": 0, "time": 1.0, "text": EVIL},
        {"event": "end", "step": 0, "time": 2.0, "exit_code": 1, "text": EVIL},
    ]
    (run / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    beat = {"time": 1.0, "host": EVIL, "phase": EVIL, "step": 0, "pid": 1}
    (run / "heartbeat.json").write_text(json.dumps(beat))
    assert "x1b[31m" in show("tools.run", "status", run)
    show("tools.run", "status", run, root / "run")
    show("tools.run", "status", run, "--json")


def test_what_was_typed(show: Show, root: Path, tmp_path: Path) -> None:
    typed = EVIL.replace("\0", "")
    for module in ("hrm_scale.train", "hrm_scale.evaluate", "hrm_scale.predict", "hrm_scale.play"):
        show(module, typed)
        show(module, f"{typed}=1")
        show(module, f"checkpoint={tmp_path / typed}", f"data_path={tmp_path / typed}")
    show("hrm_scale.train", f"run_name={typed}", "--show")
    show("hrm_scale.predict", f"checkpoint={root / 'run'}", f"puzzle={typed}")
    (tmp_path / "a.txt").write_text(EVIL)
    (tmp_path / "a.csv").write_text(f"question\n{EVIL}\n")
    (tmp_path / "a.json").write_text(json.dumps({EVIL: {"train": EVIL, "test": []}}))
    for name in ("a.txt", "a.csv", "a.json"):
        show("hrm_scale.predict", f"checkpoint={root / 'run'}", f"file={tmp_path / name}")
        show("shards.convert", tmp_path / name, "--charset", "ABC", "--output-dir", tmp_path / "o")
    for module in ("shards.sudoku", "shards.maze", "shards.arc", "tools.sweep", "tools.run"):
        show(module, typed)
    (tmp_path / "arc" / typed).mkdir(parents=True)
    (tmp_path / "arc" / typed / f"{typed}.json").write_text("{}")
    show("shards.arc", "--dataset-dirs", tmp_path / "arc", "--output-dir", tmp_path / "o")


def test_the_fingerprint_here_is_that_of_the_program(root: Path) -> None:
    """Else the tests above would see no more than "its fingerprint does not match"."""
    meta = read_meta(root / "set")
    assert meta.fingerprint == fingerprint(dataclasses.replace(meta))
    assert json.loads(meta_to_json(meta))["builder"]["name"] == EVIL
