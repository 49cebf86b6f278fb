"""Mistakes at every entry point: one line, the documented exit code, no traceback.

Everything runs in this process, by `run_cli` as the programs do; what needs a process of its own is
in `tests/integration/test_wrong_inputs.py`.
"""

from __future__ import annotations

import errno
import json
import os
import random
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.runs import arguments, error_lines, main_of, train_here
from hrm_scale.base import machine
from hrm_scale.base.errors import (
    EXIT_CHECKPOINT,
    EXIT_CONFIG,
    EXIT_DATA,
    EXIT_ENVIRONMENT,
    EXIT_OK,
    describe,
    run_cli,
)
from hrm_scale.data.format.meta import fingerprint, meta_to_json, read_meta

ROOT = Path(__file__).resolve().parents[2]
PUZZLE = "1..4..1..1..4..1"
Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set `data`, a run `run`, and files that are none of these."""
    root = tmp_path_factory.mktemp("made")
    train_here(write_online(root / "data", examples=40), root / "run", max_steps=1)
    noise = random.Random(0).randbytes(2000)
    for name in ("file", "rand.gz", "rand.csv", "rand.tar.gz", "rand.npy", "rand.pt"):
        (root / name).write_bytes(noise)
    (root / "deep.json").write_bytes(b"[" * 100_000)
    (root / "deep.yaml").write_bytes(b"[" * 5000)
    (root / "self.yaml").write_text("sources: [{path: self.yaml}]")
    (root / "one.yaml").write_text("sources: [{path: two.yaml}]")
    (root / "two.yaml").write_text("sources: [{path: data}, {path: one.yaml}]")
    (root / "empty").mkdir()
    (root / "loop").symlink_to(root / "loop")
    os.mkfifo(root / "pipe")
    return root


@pytest.fixture
def run(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Run]:
    """(exit code, the error line) of `run(MODULE, WORD, ...)` in an empty folder; `MADE` in a word
    is `made`. A program that does not end is a failure."""
    monkeypatch.chdir(tmp_path)

    def tired(*_: object) -> None:
        raise AssertionError("it did not end within 30 s")

    def run(module: str, *words: object) -> tuple[int, str]:
        line = [str(word).replace("MADE", str(made)) for word in words]
        capsys.readouterr()
        signal.alarm(30)
        with pytest.raises(SystemExit) as left:
            run_cli(main_of(module), line)
        signal.alarm(0)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        errors = error_lines(err)
        code = int(str(left.value.code))
        assert len(errors) == (code != EXIT_OK), err
        assert all(line.isprintable() for line in errors)
        return code, "".join(errors)

    before = signal.signal(signal.SIGALRM, tired)
    yield run
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def train(**changes: object) -> list[str]:
    return arguments(Path("MADE/data"), Path("new"), **{"max_steps": 2, **changes})


# What writes a folder, and the words before its place.
FOLDERS = {
    "train": ("hrm_scale.train", *train(), "checkpoint_path="),
    "evaluate": ("hrm_scale.evaluate", "checkpoint=MADE/run", "output_dir="),
    "sudoku": ("shards.sudoku", "--source=generate", "--size=4", "--count=2", "--output-dir="),
    "maze": ("shards.maze", "--source=generate", "--size=6", "--count=2", "--output-dir="),
    "arc": ("shards.arc", "--dataset-dirs", "MADE/empty", "--output-dir="),
    "convert": ("shards.convert", "MADE/rand.csv", "--output-dir="),
    "fetch": ("shards.fetch", "arc1", "--from", "MADE/rand.tar.gz", "--to="),
    "repack": ("tools.shards", "repack", "MADE/data", ""),
    "export": ("tools.checkpoint", "convert", "MADE/run", "--to=safetensors", "--output="),
    "sweep": ("tools.sweep", "experiment=demo", "data_path=MADE/data", "--output-dir="),
    "slurm": ("tools.slurm", "--nodes=1", "--gpus-per-node=0", "experiment=demo", "--logs="),
}
NO_FOLDERS = (
    "MADE/file",
    "MADE/file/below",
    "MADE/loop",
    "MADE/pipe/below",
    "x" * 300,
    "y/" * 2100,
)


@pytest.mark.parametrize("writer", FOLDERS)
def test_a_folder_that_cannot_be_made(run: Run, tmp_path: Path, writer: str) -> None:
    *words, option = FOLDERS[writer]
    for place in NO_FOLDERS:
        code, line = run(*words, f"{option}{place}")
        assert code == EXIT_CONFIG, (place, line)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
@pytest.mark.parametrize("writer", sorted(FOLDERS.keys() - {"arc", "convert", "fetch"}))
def test_a_file_system_that_makes_no_folders(run: Run, writer: str) -> None:
    *words, option = FOLDERS[writer]
    assert run(*words, f"{option}/proc/none")[0] == EXIT_ENVIRONMENT


def test_an_evaluation_looks_at_its_folder_first(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from hrm_scale.evaluation.session import Session

    def never(*_: object) -> None:
        raise AssertionError("it opened the checkpoint")

    monkeypatch.setattr(Session, "__init__", never)
    code, line = run("hrm_scale.evaluate", "checkpoint=MADE/run", "output_dir=MADE/file")
    assert (code, "output_dir=" in line) == (EXIT_CONFIG, True)


FILES = {
    "predict": ("hrm_scale.predict", "checkpoint=MADE/run", f"puzzle={PUZZLE}", "output=", ".csv"),
    "plot": ("tools.run", "plot", "MADE/run", "--out=", ".png"),
    "view": ("tools.shards", "view", "MADE/data", "--html=", ".html"),
    "slurm": ("tools.slurm", "--nodes=1", "--gpus-per-node=0", "experiment=demo", "--output=", ""),
}


@pytest.mark.parametrize("writer", FILES)
def test_a_file_that_cannot_be_written(run: Run, made: Path, writer: str) -> None:
    *words, option, ending = FILES[writer]
    for place in ("MADE/file/x", "MADE/pipe/x", "x" * 300, "y/" * 2100, "MADE/folder"):
        made.joinpath(f"folder{ending}").mkdir(exist_ok=True)
        code, line = run(*words, f"{option}{place}{ending}")
        assert code == EXIT_CONFIG, (place, line)
        assert "mkdir" not in line, "a file is in the way: no folder can be made there"


def test_a_current_folder_that_was_removed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for module in ("hrm_scale.train", "tools.sweep"):
        code, line = run(module, "experiment=demo", "data_path=MADE/data")
        assert (code, "current folder" in line) == (EXIT_ENVIRONMENT, True)


NAMES = ["run_name", "project_name", "checkpoint_path", "data_path", "resume", "init_from"]


@pytest.mark.parametrize("key", [*NAMES, "data.cache", "engine.deepspeed"])
@pytest.mark.parametrize("value", ["./" + "é" * 150, "./" + "y/" * 2100], ids=["name", "path"])
def test_names_and_paths_that_are_too_long(run: Run, key: str, value: str) -> None:
    code, line = run("hrm_scale.train", *train(), f"{key}={value}")
    assert code == EXIT_CONFIG
    assert line.startswith(f"error: {key}=") or "project_name" in line


def test_a_path_that_leaves_no_room_for_a_checkpoint_is_refused_at_the_start(run: Run) -> None:
    here = len(os.getcwd())
    long = "y/" * ((4000 - here) // 2)
    code, line = run("hrm_scale.train", *train(), f"checkpoint_path={long}")
    assert (code, "too long" in line) == (EXIT_CONFIG, True)
    assert not Path("y").exists()


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
@pytest.mark.parametrize(
    "name", [".lock", "metrics.jsonl", "log.txt", "config.yaml", "events.jsonl"]
)
def test_a_folder_or_pipe_in_the_place_of_a_runs_file(
    run: Run, tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    (tmp_path / "new").mkdir()
    make(tmp_path / "new" / name)
    code, line = run("hrm_scale.train", *train())
    assert (code, f"new/{name} is a" in line) == (EXIT_CONFIG, True)
    if name in ("metrics.jsonl", "log.txt", "events.jsonl"):
        (tmp_path / "new" / "checkpoints").mkdir()
        assert run("tools.run", "status", "new")[0] == EXIT_DATA


@pytest.mark.parametrize("mixture", ["self", "one", "two"])
@pytest.mark.parametrize(
    "words",
    [
        ("hrm_scale.train", *train()),
        ("hrm_scale.evaluate", "checkpoint=MADE/run"),
        ("tools.plan", "experiment=demo"),
    ],
    ids=lambda words: words[0],
)
def test_a_mixture_that_holds_itself(run: Run, words: tuple[str, ...], mixture: str) -> None:
    code, line = run(*words, f"data_path=MADE/{mixture}.yaml")
    assert (code, "holds itself" in line) == (EXIT_CONFIG, True)


SIZES = [
    ("global_batch_size", 10**12, EXIT_CONFIG),
    ("global_batch_size", 2 * 10**9, EXIT_ENVIRONMENT),
    ("evaluation.batch_size", 10**9, EXIT_ENVIRONMENT),
    ("arch.hidden_size", 2**20, EXIT_ENVIRONMENT),
    *(
        (key, 2**40, EXIT_CONFIG)
        for key in ("arch.halt_max_steps", "arch.L_layers", "arch.L_cycles", "arch.hidden_size")
    ),
    ("data.prefetch", 10**9, EXIT_CONFIG),
    ("data.threads", 10**9, EXIT_CONFIG),
    ("arch.expansion", 1e-300, EXIT_CONFIG),
    ("arch.expansion", 1e300, EXIT_CONFIG),
    ("epochs", 10**400, EXIT_CONFIG),
    ("lr_warmup_steps", 10**400, EXIT_CONFIG),
    ("engine.timeout_minutes", 1e308, EXIT_CONFIG),
    ("data.cache_gb", 1e308, EXIT_CONFIG),
]


@pytest.mark.parametrize(("key", "size", "code"), SIZES)
def test_absurd_sizes(
    run: Run, monkeypatch: pytest.MonkeyPatch, key: str, size: float, code: int
) -> None:
    monkeypatch.setattr(machine, "memory_bytes", lambda: (16 << 30, 4 << 30))
    ended, line = run("hrm_scale.train", *train(), f"{key}={size}")
    assert ended == code
    assert code == EXIT_CONFIG or ("GiB" in line and "4.0 GiB" in line)


@pytest.mark.parametrize("module", ["evaluate", "predict", "play"])
def test_absurd_sizes_of_an_evaluation(
    run: Run, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    words = (f"hrm_scale.{module}", "checkpoint=MADE/run")
    if module == "predict":
        words += (f"puzzle={PUZZLE}",)
    assert run(*words, f"halt_max_steps={2**40}")[0] == EXIT_CONFIG
    if module == "evaluate":
        monkeypatch.setattr(machine, "memory_bytes", lambda: (16 << 30, 4 << 30))
        assert run(*words, "batch_size=1000000000")[0] == EXIT_ENVIRONMENT


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("shards.maze", "--source=generate", f"--test-size={10**30}"), EXIT_CONFIG),
        (("shards.maze", "--source=generate", f"--jobs={10**6}"), EXIT_CONFIG),
        (("tools.sweep", "experiment=demo", f"--parallel={10**6}"), EXIT_CONFIG),
        (("tools.shards", "order", "MADE/data", f"--batch={10**30}"), EXIT_CONFIG),
        (("tools.shards", "order", "MADE/data", f"--batch={10**9}"), EXIT_ENVIRONMENT),
        (("tools.shards", "order", "MADE/data", f"--count={10**9}"), EXIT_ENVIRONMENT),
    ],
)
def test_absurd_sizes_of_tools(
    run: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int
) -> None:
    monkeypatch.setattr(machine, "memory_bytes", lambda: (16 << 30, 4 << 30))
    assert run(*words)[0] == code


@pytest.mark.parametrize("count", [2**28, 2**31 - 1])
@pytest.mark.parametrize("placement", ["device", "host"])
def test_a_data_set_that_says_it_has_billions_of_identifiers(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, placement: str
) -> None:
    data = write_online(tmp_path / "data", examples=40)
    meta = read_meta(data)
    object.__setattr__(meta, "num_puzzle_identifiers", count)
    object.__setattr__(meta, "fingerprint", fingerprint(meta))
    (data / "dataset.json").write_text(meta_to_json(meta))
    monkeypatch.setattr(machine, "memory_bytes", lambda: (16 << 30, 4 << 30))
    words = train(data_path=data, engine__puzzle_table=placement)
    code, line = run("hrm_scale.train", *words)
    assert (code, f"{count:,}" in line, "4.0 GiB" in line) == (EXIT_ENVIRONMENT, True, True)


TYPED = [
    ("hrm_scale.train", ("nonsense",), EXIT_CONFIG),
    ("hrm_scale.train", (*train(), "data_path=MADE/file"), EXIT_DATA),
    ("hrm_scale.train", (*train(), "data_path=MADE/deep.yaml"), EXIT_CONFIG),
    ("hrm_scale.train", (*train(), "init_from=MADE/file"), EXIT_CHECKPOINT),
    ("hrm_scale.train", (*train(), "resume=MADE/pipe"), EXIT_CHECKPOINT),
    ("hrm_scale.train", (*train(), "engine.deepspeed=MADE/pipe"), EXIT_CONFIG),
    ("hrm_scale.train", (*train(), "engine.deepspeed=/dev/zero"), EXIT_CONFIG),
    ("hrm_scale.train", (*train(), "engine.deepspeed=MADE/deep.json"), EXIT_CONFIG),
    ("hrm_scale.evaluate", ("MADE/run",), EXIT_CONFIG),
    ("hrm_scale.evaluate", ("checkpoint=MADE/loop",), EXIT_CHECKPOINT),
    ("hrm_scale.evaluate", ("checkpoint=MADE/run", "data_path=MADE/empty"), EXIT_DATA),
    ("hrm_scale.predict", ("checkpoint=MADE/file", f"puzzle={PUZZLE}"), EXIT_CHECKPOINT),
    ("hrm_scale.predict", ("checkpoint=MADE/run", "file=MADE/rand.gz"), EXIT_DATA),
    ("hrm_scale.predict", ("checkpoint=MADE/run", "file=MADE/pipe"), EXIT_DATA),
    ("hrm_scale.predict", ("checkpoint=MADE/run", "file=MADE/deep.json"), EXIT_DATA),
    ("hrm_scale.play", ("MADE/run",), EXIT_CONFIG),
    ("hrm_scale.play", ("checkpoint=MADE/run", "port=99999"), EXIT_CONFIG),
    ("hrm_scale.demo", ("nonsense",), EXIT_CONFIG),
    ("hrm_scale.doctor", ("--jsno",), EXIT_CONFIG),
    ("hrm_scale.launch", ("--processes", "none"), EXIT_CONFIG),
    ("benchmarks.planner", ("--nope",), EXIT_CONFIG),
    ("shards.sudoku", ("--source=csv", "--input", "MADE/rand.csv"), EXIT_DATA),
    ("shards.sudoku", ("--source=csv", "--input", "MADE/pipe"), EXIT_DATA),
    ("shards.maze", ("--source=csv", "--input", "MADE/file"), EXIT_DATA),
    ("shards.arc", ("--dataset-dirs", "MADE/rand.gz"), EXIT_DATA),
    ("shards.arc", ("--dataset-dirs", "MADE/rand.tar.gz"), EXIT_DATA),
    ("shards.arc", ("--dataset-dirs", "MADE/loop"), EXIT_CONFIG),
    ("shards.convert", ("MADE/rand.npy",), EXIT_CONFIG),
    ("shards.fetch", ("arc1", "--from", "MADE/loop", "--to", "new"), EXIT_DATA),
    ("tools.shards", ("info", "MADE/file"), EXIT_DATA),
    ("tools.shards", ("preview", "MADE/data", "--nope"), EXIT_CONFIG),
    ("tools.shards", ("order", "MADE/data", "--state", "MADE/pipe"), EXIT_DATA),
    ("tools.checkpoint", ("info", "MADE/file"), EXIT_CHECKPOINT),
    (
        "tools.checkpoint",
        ("convert", "MADE/rand.pt", "--to=hrm_scale", "--output=o"),
        EXIT_CHECKPOINT,
    ),
    ("tools.plan", ("hardware=MADE/file",), EXIT_CONFIG),
    ("tools.run", ("status", "MADE/file"), EXIT_CONFIG),
    ("tools.run", ("plot", "MADE/run", "--output", "x"), EXIT_CONFIG),
    ("tools.slurm", ("--nodes", "none"), EXIT_CONFIG),
    ("tools.sweep", ("experiment=demo", "data_path=MADE/empty", "--dry-run"), EXIT_DATA),
    *((f"benchmarks.{name}", ("--nope",), EXIT_CONFIG) for name in ("step", "engines", "table")),
    *((f"benchmarks.{name}", ("--nope",), EXIT_CONFIG) for name in ("loader", "arc_build", "save")),
    ("benchmarks.reliability.exact", ("--nope",), EXIT_CONFIG),
    ("benchmarks.reliability.torture", ("--kills", "0"), EXIT_CONFIG),
    *(
        (f"benchmarks.{name}", ("--nope",), EXIT_CONFIG)
        for name in ("evaluation", "evaluation_memory")
    ),
]


@pytest.mark.parametrize(("module", "words", "code"), TYPED)
def test_what_was_typed_wrong(run: Run, module: str, words: tuple[str, ...], code: int) -> None:
    assert run(module, *words)[0] == code


def test_every_entry_point_is_in_the_table() -> None:
    tried = {module for module, _, _ in TYPED}
    for package in ("hrm_scale", "shards", "tools", "benchmarks"):
        for path in (ROOT / package).rglob("*.py"):
            if re.search(r"^ +run_cli\(main\)$", path.read_text(encoding="utf-8"), re.MULTILINE):
                module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
                assert module in tried, f"{module}: add a line to TYPED"


@pytest.mark.parametrize(
    ("module", "words", "hint"),
    [
        ("hrm_scale.play", ("MADE/run",), "'checkpoint=MADE/run'"),
        ("hrm_scale.play", ("RUN",), "'checkpoint=RUN'"),
        ("hrm_scale.evaluate", ("limt",), "'limit=VALUE'"),
        ("hrm_scale.predict", ("MADE/run", f"puzzle={PUZZLE}"), "'checkpoint=MADE/run'"),
        ("hrm_scale.train", ("MADE/data",), "'data_path=MADE/data'"),
        ("tools.shards", ("preview", "MADE/data", "--limit", "2"), "tools.shards preview --help"),
        ("tools.run", ("plot", "MADE/run", "--smoth", "2"), "--smooth"),
        ("tools.checkpoint", ("info", "MADE/run", "--nope"), "tools.checkpoint info --help"),
        ("hrm_scale.play", ("checkpoint=MADE/run", "port=99999"), "from 0 to 65535"),
        ("shards.arc", ("--dataset-dirs", "MADE/rand.gz"), "neither a folder nor an archive"),
        ("hrm_scale.predict", ("checkpoint=MADE/run", "file=MADE/rand.gz"), "nor gzip"),
    ],
)
def test_the_line_says_what_to_type(
    run: Run, made: Path, module: str, words: tuple[str, ...], hint: str
) -> None:
    assert hint.replace("MADE", str(made)) in run(module, *words)[1]


@pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE"])
@pytest.mark.parametrize("value", ["abc", "-1", "", "9" * 30])
def test_what_a_launcher_left_in_the_environment(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    code, line = run("hrm_scale.train", *train())
    assert (code, line.startswith(f"error: {name}=")) == (EXIT_CONFIG, True)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FileExistsError(errno.EEXIST, "", "x"), EXIT_CONFIG),
        (NotADirectoryError(errno.ENOTDIR, "", "x"), EXIT_CONFIG),
        (IsADirectoryError(errno.EISDIR, "", "x"), EXIT_CONFIG),
        (OSError(errno.ENAMETOOLONG, "", "x" * 5000), EXIT_CONFIG),
        (OSError(errno.ELOOP, "", b"x"), EXIT_CONFIG),
        (OSError(errno.EMFILE, ""), EXIT_ENVIRONMENT),
        (OSError(errno.EIO, "", "a\nb\x1b[2J"), EXIT_ENVIRONMENT),
        (OSError(errno.ENOSPC, ""), EXIT_ENVIRONMENT),
        (MemoryError(), EXIT_ENVIRONMENT),
        (MemoryError("Unable to allocate 7.28 TiB"), EXIT_ENVIRONMENT),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
            EXIT_ENVIRONMENT,
        ),
        (RecursionError(), EXIT_DATA),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_last_resort(error: Exception, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def main(_: list[str]) -> int:
        raise error

    with pytest.raises(SystemExit) as left:
        run_cli(main, [])
    (line,) = capsys.readouterr().err.splitlines()
    assert left.value.code == code
    assert line.startswith("error: ")
    assert line.isprintable()
    assert len(line) < 500


@pytest.mark.parametrize("fault", [KeyError("x"), RuntimeError("x"), OSError("x"), TypeError()])
def test_a_fault_of_the_program_keeps_its_traceback(fault: Exception) -> None:
    assert describe(fault) is None

    def main(_: list[str]) -> int:
        raise fault

    with pytest.raises(type(fault)):
        run_cli(main, [])


def test_a_run_records_the_exit_code_of_what_ended_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hrm_scale.training.trainer import Trainer

    def full(_: Trainer) -> None:
        raise OSError(errno.EMFILE, "")

    monkeypatch.setattr(Trainer, "run", full)
    assert run("hrm_scale.train", *train())[0] == EXIT_ENVIRONMENT
    end = json.loads((tmp_path / "new" / "events.jsonl").read_text().splitlines()[-1])
    assert (end["event"], end["exit_code"]) == ("end", EXIT_ENVIRONMENT)
