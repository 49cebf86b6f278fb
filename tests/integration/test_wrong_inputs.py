"""Wrong inputs as a user meets them: one clear line, the documented exit status, no traceback."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.runs import (
    ROOT,
    arguments,
    call,
    command,
    environment,
    error_lines,
    train_here,
)
from hrm_scale.base.errors import EXIT_CHECKPOINT, EXIT_CONFIG, EXIT_DATA, EXIT_ENVIRONMENT
from hrm_scale.data import open_dataset
from tests.support.small_disk import small_disk

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Places:
    """What a case may use: a data set of its own, and a trained run that it must not change."""

    data: Path
    run: Path
    trained: Path


def shard(data: Path) -> Path:
    return data / "train" / "shard-00000.tar"


def rewrite(data: Path, change: Callable[[tarfile.TarInfo, bytes], bytes]) -> None:
    """Write the training shard anew with every member passed through `change`, and no index."""
    out = io.BytesIO()
    with tarfile.open(shard(data)) as old, tarfile.open(fileobj=out, mode="w") as new:
        for member in old.getmembers():
            file = old.extractfile(member)
            assert file is not None
            content = change(member, file.read())
            member.size = len(content)
            new.addfile(member, io.BytesIO(content))
    shard(data).write_bytes(out.getvalue())
    (data / "train" / "index.json").unlink()


def truncate(places: Places) -> None:
    content = shard(places.data).read_bytes()
    shard(places.data).write_bytes(content[: len(content) // 2])


def flip_a_byte(places: Places) -> None:
    index = open_dataset(places.data).index("train")
    content = bytearray(shard(places.data).read_bytes())
    content[index.offset["inputs"][0] + 140] ^= 1
    shard(places.data).write_bytes(content)


class Bomb:
    """Unpickling it would end the process with a status that no error has."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        import os

        return (os._exit, (99,))


def pickled(places: Places) -> None:
    def change(member: tarfile.TarInfo, content: bytes) -> bytes:
        if not member.name.endswith("inputs.npy"):
            return content
        head = io.BytesIO()
        facts = {"descr": "|O", "fortran_order": False, "shape": (1,)}
        np.lib.format.write_array_header_1_0(head, facts)
        return head.getvalue() + pickle.dumps(Bomb())

    rewrite(places.data, change)


def traverse(places: Places) -> None:
    def change(member: tarfile.TarInfo, content: bytes) -> bytes:
        if member.name.endswith("inputs.npy"):
            member.name = f"../{member.name}"
        return content

    rewrite(places.data, change)


def foreign(places: Places) -> None:
    shutil.rmtree(places.data)
    places.data.mkdir()
    (places.data / "holiday.jpg").write_bytes(b"no puzzles")


def damage_checkpoint(places: Places) -> None:
    shutil.copytree(places.trained, places.run)
    for file in (places.run / "checkpoints").glob("*/model.safetensors"):
        file.write_bytes(file.read_bytes()[:-10])


def copy_run(places: Places) -> None:
    shutil.copytree(places.trained, places.run)


def nothing(places: Places) -> None:
    """The wrong input is on the command line."""


@dataclass(frozen=True)
class Case:
    name: str
    code: int
    words: tuple[str, ...]
    prepare: Callable[[Places], None] = nothing
    module: str = "hrm_scale.train"
    extra: tuple[str, ...] = ()


CASES = [
    Case("unknown key", EXIT_CONFIG, ("learning_rte",), extra=("learning_rte=1",)),
    Case("misspelt key", EXIT_CONFIG, ("hiden_size", "hidden_size"), extra=("arch.hiden_size=64",)),
    Case(
        "wrong type", EXIT_CONFIG, ("global_batch_size", "many"), extra=("global_batch_size=many",)
    ),
    Case(
        "missing data",
        EXIT_DATA,
        ("no such data set", "shards.sudoku"),
        prepare=lambda places: shutil.rmtree(places.data),
    ),
    Case("foreign directory", EXIT_DATA, ("not a data set", "dataset.json"), foreign),
    Case("truncated tar", EXIT_DATA, ("shard-00000.tar", "truncated"), truncate),
    Case("flipped byte", EXIT_DATA, ("shard-00000.tar", "record 000000", "inputs"), flip_a_byte),
    Case("pickled npy", EXIT_DATA, ("shard-00000.tar", "pickled"), pickled),
    Case("path traversal", EXIT_DATA, ("shard-00000.tar", "path traversal"), traverse),
    Case(
        "unreadable checkpoint, evaluating",
        EXIT_CHECKPOINT,
        ("model.safetensors",),
        damage_checkpoint,
        "hrm_scale.evaluate",
    ),
    Case(
        "unreadable checkpoint, predicting",
        EXIT_CHECKPOINT,
        ("model.safetensors",),
        damage_checkpoint,
        "hrm_scale.predict",
        ("puzzle=1..4..1..1..4..1",),
    ),
    Case(
        "unreadable checkpoint, resuming",
        EXIT_CHECKPOINT,
        ("is valid, newest:", "model.safetensors"),
        damage_checkpoint,
        extra=("resume=must",),
    ),
    Case(
        "no checkpoint",
        EXIT_CHECKPOINT,
        ("does not exist",),
        module="hrm_scale.evaluate",
    ),
    Case(
        "bad puzzle",
        EXIT_DATA,
        ("15 cells",),
        copy_run,
        "hrm_scale.predict",
        ("puzzle=1..4..1..1..4..",),
    ),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A data set and a run of three steps on it."""
    folder = tmp_path_factory.mktemp("wrong")
    data = write_online(folder / "data", examples=40)
    train_here(data, folder / "run", max_steps=3)
    return data, folder / "run"


def check(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    lines = error_lines(done.stderr)
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in (done.stdout or "") + done.stderr
    # The error is the last thing said.
    assert done.stderr.strip().splitlines()[-1] == lines[0]
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_line_and_the_documented_status(
    case: Case, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    places = Places(tmp_path / "data", tmp_path / "run", trained[1])
    shutil.copytree(trained[0], places.data)
    case.prepare(places)
    if case.module == "hrm_scale.train":
        line = [*arguments(places.data, places.run, max_steps=8), *case.extra]
    else:
        line = [f"checkpoint={places.run}", *case.extra]
    check(call(case.module, *line), case.code, *case.words)
    # What failed has saved nothing that looks like a finished run.
    assert not (places.run / "checkpoints" / "step-00000008").exists()


@pytest.fixture
def disk_of(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    with ExitStack() as mounted:
        yield lambda size: mounted.enter_context(small_disk(tmp_path / "disk", size))


def test_no_disk_space_for_a_data_set(disk_of: Callable[[str], Path]) -> None:
    disk = disk_of("64k")
    line = ["--source", "generate", "--size", "4", "--count", "150", "--test-size", "20"]
    line += ["--num-aug", "50", "--storage", "dense"]
    done = call("shards.sudoku", *line, "--output-dir", disk / "data")
    check(done, EXIT_ENVIRONMENT, "space")
    assert list(disk.iterdir()) == []


def test_no_disk_space_for_the_last_checkpoint(
    trained: tuple[Path, Path], disk_of: Callable[[str], Path]
) -> None:
    disk = disk_of("256k")
    done = call("hrm_scale.train", *arguments(trained[0], disk / "run", max_steps=3))
    check(done, EXIT_CHECKPOINT, "space", "step 3")
    assert not list(disk.glob("run/checkpoints/step-*"))


def test_no_disk_space_in_between_is_a_warning_and_training_goes_on(
    trained: tuple[Path, Path], disk_of: Callable[[str], Path]
) -> None:
    disk = disk_of("256k")
    line = arguments(
        trained[0],
        disk / "run",
        max_steps=6,
        checkpoint__every_steps=2,
        checkpoint__at_end="false",
        log__console="line",
    )
    done = call("hrm_scale.train", *line)
    assert done.returncode == 0, done.stderr
    assert "no space left" in done.stdout + done.stderr
    assert "done: 6 steps" in done.stdout + done.stderr


def shell(line: str, *words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """A line of a shell in which `$@` is this Python's `-m` and the words."""
    return subprocess.run(
        ["bash", "-c", line, "bash", *command(*map(str, words))],
        cwd=ROOT,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


def test_a_run_without_any_standard_stream(trained: tuple[Path, Path], tmp_path: Path) -> None:
    line = arguments(trained[0], tmp_path / "run", max_steps=2, log__console="auto")
    done = shell('exec "$@" <&- >&- 2>&-', "hrm_scale.train", *line)
    assert done.returncode == 0
    assert (tmp_path / "run" / "checkpoints" / "step-00000002" / "manifest.json").exists()
    # Nothing that was to be printed has gone into a file that got the number of a closed stream.
    for text in (tmp_path / "run").glob("*.json*"):
        assert all(json.loads(record) for record in text.read_text().splitlines())


def test_a_prediction_without_standard_output(trained: tuple[Path, Path]) -> None:
    words = (f"checkpoint={trained[1]}", "puzzle=1..4..1..1..4..1")
    assert shell('exec "$@" >&-', "hrm_scale.predict", *words).returncode == 0


def test_exit_codes_do_not_need_a_standard_stream(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    info = ("tools.checkpoint", "info", tmp_path)
    assert shell('exec "$@" 2>&-', *info).returncode == EXIT_CHECKPOINT
    assert shell('exec "$@" >&- 2>&-', *info).returncode == EXIT_CHECKPOINT
    # What is printed is still in memory when the program is at its end.
    line = 'unset PYTHONUNBUFFERED; exec "$@" >/dev/full'
    full = shell(line, "tools.checkpoint", "info", trained[1])
    check(full, EXIT_ENVIRONMENT, "space")


def test_too_few_open_files(trained: tuple[Path, Path], tmp_path: Path) -> None:
    line = arguments(trained[0], tmp_path / "run", max_steps=2)
    done = shell('ulimit -n 8; exec "$@"', "hrm_scale.train", *line, stdout=subprocess.PIPE)
    check(done, EXIT_ENVIRONMENT, "ulimit -n")


def test_several_mistakes_are_reported_at_once(trained: tuple[Path, Path], tmp_path: Path) -> None:
    line = arguments(trained[0], tmp_path / "run", max_steps=8)
    done = call("hrm_scale.train", *line, "lr=high", "arch.num_heads=0")
    assert done.returncode == EXIT_CONFIG
    assert "Traceback" not in done.stderr
    assert "lr" in done.stderr
    assert "num_heads" in done.stderr
