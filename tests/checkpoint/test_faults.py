"""Whatever breaks a save or a file, the newest good checkpoint loads and the reason is named."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from hrm_scale.base.errors import EXIT_CHECKPOINT, CheckpointError
from hrm_scale.base.files import replace_file
from hrm_scale.checkpoint import (
    CheckpointManager,
    CheckpointNotSaved,
    latest_valid,
    mark_best,
    read_checkpoint,
    set_aside_after,
)
from tests.support.disk_calls import record_disk_calls
from tests.support.small_disk import small_disk

ROOT = Path(__file__).parents[2]


def parts(value: float, size: int = 64) -> dict[str, dict[str, torch.Tensor]]:
    return {"model": {"w": torch.full((size,), value)}, "optimizer": {"m": torch.full((4,), value)}}


def save(run: Path, step: int, keep: int | None = None) -> Path:
    return CheckpointManager(run, keep).save(step, parts(float(step)), {"samples": step}, {})


def value_of(path: Path) -> float:
    checkpoint = read_checkpoint(path)
    value = checkpoint.part("model")["w"][0].item()
    assert checkpoint.part("optimizer")["m"][0].item() == value == checkpoint.state["samples"]
    return value


def names(run: Path) -> list[str]:
    return sorted(item.name for item in (run / "checkpoints").iterdir())


class Crash(BaseException):
    """Stands for the process ending: no handler of the code under test may swallow it."""


def calls_of(action: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, function: str) -> int:
    """How often `os.<function>` is called by `action`."""
    count = 0
    real = getattr(os, function)

    def counting(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, function, counting)
        action()
    return count


def fail_at(patch: pytest.MonkeyPatch, function: str, call: int, error: BaseException) -> None:
    real = getattr(os, function)
    seen = 0

    def failing(*args: Any, **kwargs: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == call:
            raise error
        return real(*args, **kwargs)

    patch.setattr(os, function, failing)


@pytest.mark.parametrize("same_step", [False, True])
@pytest.mark.parametrize("function", ["fsync", "rename", "mkdir", "unlink"])
@pytest.mark.parametrize("crash", [True, False])
def test_failure_at_every_call_of_a_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, same_step: bool, crash: bool
) -> None:
    def prepare(run: Path) -> Callable[[], Path]:
        save(run, 1)
        save(run, 2)
        return lambda: CheckpointManager(run, 1).save(
            2 if same_step else 3, parts(9.0), {"samples": 9}, {}
        )

    total = calls_of(prepare(tmp_path / "count"), monkeypatch, function)
    assert total >= 1
    # Deleting calls unlink once a file, all alike: the first ones and the last tell them apart.
    for call in sorted({*range(1, min(total, 5) + 1), total}):
        run = tmp_path / f"run{call}"
        again = prepare(run)
        with monkeypatch.context() as patch:
            error = Crash() if crash else OSError(errno.EIO, "Input/output error")
            fail_at(patch, function, call, error)
            failed = False
            try:
                again()
            except (Crash, CheckpointNotSaved):
                failed = True
        newest, _ = latest_valid(run)
        assert newest is not None
        assert value_of(newest) in ((2.0, 9.0) if failed else (9.0,))
        # And the run goes on: the next save works and clears what was left.
        again()
        assert value_of(run) == 9.0
        assert names(run) == [f"step-0000000{2 if same_step else 3}"]


@pytest.mark.parametrize("same_step", [False, True])
def test_every_byte_and_name_is_durable_before_anything_rests_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same_step: bool
) -> None:
    """After a power cut at any point the newest checkpoint is whole: files, then the manifest,
    then the names inside the folder, then its own name, and only then an older one goes."""
    save(tmp_path, 1)
    with monkeypatch.context() as patch:
        calls = record_disk_calls(patch, tmp_path)
        final = save(tmp_path, 1 if same_step else 2, keep=1).relative_to(tmp_path)
    files = {"model.safetensors", "optimizer.safetensors", "state.json"}
    files |= {"config.json", "versions.json"}
    folder = str(Path(calls[0][1]).parent)
    assert {call[1] for call in calls[: len(files)]} == {f"{folder}/{file}" for file in files}
    assert {call[0] for call in calls[: len(files)]} == {"fsync"}
    rest = calls[len(files) :]
    assert rest[:2] == [("fsync", f"{folder}/manifest.json"), ("fsync", folder)]
    aside = rest.pop(2) if same_step else ("rename", str(final), "")
    assert aside[:2] == ("rename", str(final))
    assert rest[2:4] == [("rename", folder, str(final)), ("fsync", "checkpoints")]
    assert next(call for call in rest[4:] if call[0] == "unlink") == ("unlink", "manifest.json")
    assert names(tmp_path) == [final.name]


def test_new_contents_and_names_of_single_files_are_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (1, 2):
        save(tmp_path, step)
    with monkeypatch.context() as patch:
        calls = record_disk_calls(patch, tmp_path)
        replace_file(tmp_path / "config.yaml", [b"a", b"b"])
        temporary = calls[0][1]
        assert calls == [
            ("fsync", temporary),
            ("rename", temporary, "config.yaml"),
            ("fsync", "."),
        ]
        calls.clear()
        assert mark_best(tmp_path, 1) == []
        assert [call[0] for call in calls] == ["rename", "fsync"]
        calls.clear()
        (moved,) = set_aside_after(tmp_path, 1)
        assert calls == [
            ("rename", "checkpoints/step-00000002", f"checkpoints/{moved.name}"),
            ("fsync", "checkpoints"),
        ]


def test_failure_while_tensors_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hrm_scale.checkpoint import manager as module

    save(tmp_path, 1)
    real = module.write_tensors

    def full(path: Path, tensors: Any) -> Any:
        if path.name == "optimizer.safetensors":
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return real(path, tensors)

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_tensors", full)
        with pytest.raises(
            CheckpointNotSaved, match=r"step 2 not saved.*no space left.*optimizer\.safe"
        ) as info:
            save(tmp_path, 2)
    assert "\n" not in str(info.value)
    assert info.value.exit_code == EXIT_CHECKPOINT
    assert names(tmp_path) == ["step-00000001"]
    save(tmp_path, 2)
    assert value_of(tmp_path) == 2.0


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 512 << 10) as target:
        yield target


def test_disk_really_full(tiny_disk: Path) -> None:
    manager = CheckpointManager(tiny_disk, 1)
    big = {"model": {"w": torch.ones(70_000)}}  # 280 kB: one fits, two do not
    first = manager.save(1, big, {}, {})
    with pytest.raises(CheckpointNotSaved, match="no space left"):
        manager.save(2, big, {}, {})
    assert names(tiny_disk) == ["step-00000001"]
    assert manager.latest_valid()[0] == first
    shutil.rmtree(first)
    manager.save(3, big, {}, {})
    assert manager.latest_valid()[0] is not None


def damage_flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def damage_truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (damage_flip, "is damaged: expected sha256"),
        (damage_truncate, "is damaged: expected"),
        (Path.unlink, "is missing"),
    ],
)
@pytest.mark.parametrize("file", ["model.safetensors", "state.json", "config.json"])
def test_damaged_file_is_named_and_passed_over(
    tmp_path: Path, damage: Callable[[Path], None], reason: str, file: str
) -> None:
    good, bad = save(tmp_path, 1), save(tmp_path, 2)
    damage(bad / file)
    newest, refusals = latest_valid(tmp_path)
    assert newest == good
    assert len(refusals) == 1
    assert f"step-00000002: {file} {reason}" in refusals[0]
    with pytest.raises(CheckpointError, match=reason):
        read_checkpoint(bad)
    assert read_checkpoint(tmp_path).path == good


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "damaged"),
        ("[]", "foreign"),
        ('{"format": "other"}', "foreign"),
        ('{"format": "hrm_scale.checkpoint", "schema": 99}', "schema 99.*up to 1.*newer version"),
        ('{"format": "hrm_scale.checkpoint", "schema": 1, "step": 2}', "damaged"),
        (
            '{"format": "hrm_scale.checkpoint", "schema": 1, "step": 2,'
            ' "files": {"../x": {"bytes": 1, "sha256": ""}}}',
            "file name is not valid",
        ),
    ],
)
def test_bad_manifests(tmp_path: Path, text: str, reason: str) -> None:
    good, bad = save(tmp_path, 1), save(tmp_path, 2)
    (bad / "manifest.json").write_text(text)
    with pytest.raises(CheckpointError, match=reason) as info:
        read_checkpoint(bad)
    assert "\n" not in str(info.value)
    newest, refusals = latest_valid(tmp_path)
    assert newest == good
    assert len(refusals) == 1


def test_renamed_step_is_not_taken_for_newer(tmp_path: Path) -> None:
    good = save(tmp_path, 5)
    shutil.copytree(good, good.with_name("step-00000009"))
    newest, refusals = latest_valid(tmp_path)
    assert newest == good
    assert "says step 5" in refusals[0]


def test_nothing_to_load_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for path, reason in [
        ("no", "does not exist"),
        ("file", "is a file"),
        ("empty", "holds no checkpoint"),
    ]:
        with pytest.raises(CheckpointError, match=reason) as info:
            read_checkpoint(tmp_path / path)
        assert "\n" not in str(info.value)
    damage_flip(save(tmp_path / "run", 1) / "state.json")
    with pytest.raises(CheckpointError, match=r"1 damaged.*state\.json"):
        read_checkpoint(tmp_path / "run")


def test_pickle_is_never_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (os.mkdir, (str(tmp_path / "trapped"),))

    path = save(tmp_path, 1)
    torch.save(Trap(), path / "model.safetensors")
    manifest = json.loads((path / "manifest.json").read_text())
    data = (path / "model.safetensors").read_bytes()
    import hashlib

    manifest["files"]["model.safetensors"] = {
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        read_checkpoint(path)
    assert not (tmp_path / "trapped").exists()


def test_keep_last_and_foreign_folders(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    for foreign in ("notes", "step-00000000", "step-7", "best", ".step-backup"):
        (folder / foreign).mkdir(parents=True)
        (folder / foreign / "file").write_text("mine")
    manager = CheckpointManager(tmp_path, 2)
    for step in range(1, 6):
        manager.save(step, parts(float(step)), {"samples": step}, {})
    kept = {"step-00000004", "step-00000005"}
    assert set(names(tmp_path)) == kept | {
        "notes",
        "step-00000000",
        "step-7",
        "best",
        ".step-backup",
    }
    assert manager.warnings == []


def test_keep_last_one_has_two_while_saving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hrm_scale.checkpoint import manager as module

    manager = CheckpointManager(tmp_path, 1)
    manager.save(1, parts(1.0), {"samples": 1}, {})
    seen: list[list[str]] = []
    real = module.prune

    def looking(*args: Any) -> list[str]:
        seen.append(names(tmp_path))
        return real(*args)

    monkeypatch.setattr(module, "prune", looking)
    manager.save(2, parts(2.0), {"samples": 2}, {})
    assert seen == [["step-00000001", "step-00000002"]]
    assert names(tmp_path) == ["step-00000002"]


def test_damaged_newer_one_does_not_push_out_the_good(tmp_path: Path) -> None:
    save(tmp_path, 1)
    damage_truncate(save(tmp_path, 5) / "model.safetensors")
    save(tmp_path, 2, keep=2)  # a run that fell back to step 1 and went on
    assert names(tmp_path) == ["step-00000001", "step-00000002", "step-00000005"]
    newest, refusals = latest_valid(tmp_path)
    assert newest is not None
    assert newest.name == "step-00000002"
    assert len(refusals) == 1


def test_restart_from_an_older_step_sets_newer_ones_aside(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save(tmp_path, step)
    moved = set_aside_after(tmp_path, 1)
    assert sorted(path.name for path in moved) == [
        "superseded-0-step-00000002",
        "superseded-0-step-00000003",
    ]
    assert latest_valid(tmp_path) == (tmp_path / "checkpoints" / "step-00000001", [])
    assert read_checkpoint(moved[0]).step == 3
    save(tmp_path, 2)
    assert set_aside_after(tmp_path, 1)[0].name == "superseded-1-step-00000002"


def test_keep_last_zero_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one"):
        CheckpointManager(tmp_path, 0)


def test_failure_on_another_rank_fails_the_save_here(tmp_path: Path) -> None:
    from hrm_scale.checkpoint import Ranks
    from hrm_scale.checkpoint.manager import _Written

    def gather(value: Any) -> list[Any]:
        return [
            value,
            _Written(failure="disk quota exceeded") if isinstance(value, _Written) else None,
        ]

    manager = CheckpointManager(tmp_path, 1, Ranks(0, 2, gather))
    with pytest.raises(CheckpointNotSaved, match="quota"):
        manager.save(1, parts(1.0), {}, {})
    assert names(tmp_path) == []


FORKING = """
    import os, sys, torch
    from pathlib import Path
    from hrm_scale.checkpoint import CheckpointManager
    for _ in sys.stdin:  # one line: one process that saves until it is killed
        if child := os.fork():
            print(child, flush=True)
            os.waitpid(child, 0)
            print("dead", flush=True)
            continue
        manager = CheckpointManager(Path(sys.argv[1]), 2)
        found = manager.latest_valid()[0]
        step = 0 if found is None else int(found.name[5:])
        while True:
            step += 1
            w = torch.full((300_000,), float(step))
            tensors = {"model": {"w": w}, "optimizer": {"m": w[:4]}}
            manager.save(step, tensors, {"samples": step}, {})
"""


@pytest.fixture
def memory_folder() -> Iterator[Path]:
    """In memory where the system has such a place: many saves without waiting for a disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


def test_killed_in_the_middle_of_saves(memory_folder: Path) -> None:
    """SIGKILL at six moments of a save; each process goes on in the folder the last one left."""
    tmp_path = memory_folder
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", textwrap.dedent(FORKING), str(tmp_path)]
    folder = tmp_path / "checkpoints"
    cut_off, reached = 0, 0
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        for moment in range(6):
            parent.stdin.write("go\n")
            parent.stdin.flush()
            child = int(parent.stdout.readline())
            until = time.monotonic() + 20
            while time.monotonic() < until:
                saving = list(folder.glob(".step-*.tmp-*/model.safetensors"))
                if saving and (folder / f"step-{reached + 1:08d}").exists():
                    break
                time.sleep(0.0002)
            time.sleep(0.0005 * moment)
            os.kill(child, signal.SIGKILL)
            assert parent.stdout.readline() == "dead\n"
            cut_off += len(list(folder.glob(".step-*")))
            newest, refusals = latest_valid(tmp_path)
            assert newest is not None
            assert refusals == []
            assert value_of(newest) >= reached + 1
            reached = int(value_of(newest))
        parent.stdin.close()
    assert cut_off > 0, "no kill hit a save"
    save(tmp_path, 10_000, keep=1)
    assert names(tmp_path) == ["step-00010000"]
