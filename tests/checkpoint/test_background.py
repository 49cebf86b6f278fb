"""Saves in the background, the best checkpoint, and weights alone."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from hrm_scale.checkpoint import (
    BackgroundSaves,
    CheckpointManager,
    CheckpointNotSaved,
    latest_valid,
    mark_best,
    read_checkpoint,
    set_aside_after,
)
from hrm_scale.checkpoint.retention import clean_leftovers


def parts(value: float) -> dict[str, dict[str, torch.Tensor]]:
    return {"model": {"w": torch.full((1000,), value)}, "optimizer": {"m": torch.full((9,), value)}}


def names(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_what_changes_during_the_save_is_not_saved(tmp_path: Path) -> None:
    saves = BackgroundSaves(CheckpointManager(tmp_path))
    for step in (1, 2, 3):
        values = parts(float(step))
        saves.start(step, values, {}, {})
        for tensor in values["model"].values():
            tensor.fill_(-1.0)
        assert saves.busy
        assert saves.collect(wait=True) is None
        assert not saves.busy
        assert read_checkpoint(tmp_path).part("model")["w"].unique().tolist() == [step]


def test_training_goes_on_while_a_save_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager, may_write = CheckpointManager(tmp_path), threading.Event()
    original = manager._write_folder

    def slow(*args: Any) -> Any:
        assert may_write.wait(10)
        return original(*args)

    monkeypatch.setattr(manager, "_write_folder", slow)
    saves = BackgroundSaves(manager)
    saves.start(1, parts(1.0), {}, {})
    assert saves.collect() is None  # not yet, and it does not wait
    assert saves.busy
    assert latest_valid(tmp_path)[0] is None
    may_write.set()
    assert saves.collect(wait=True) is None
    assert latest_valid(tmp_path)[0] == manager.last_path


def test_a_failure_is_told_once_and_the_next_save_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saves = BackgroundSaves(CheckpointManager(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _no_space)
        saves.start(1, parts(1.0), {}, {})
        failure = saves.collect(wait=True)
    assert isinstance(failure, CheckpointNotSaved)
    assert "no space left" in str(failure)
    assert saves.collect(wait=True) is None
    saves.start(2, parts(2.0), {}, {})
    assert saves.collect(wait=True) is None
    assert names(tmp_path) == ["step-00000002"]


def _no_space(_: int) -> None:
    raise OSError(28, "No space left on device")


def test_a_fault_of_the_program_is_raised(tmp_path: Path) -> None:
    saves = BackgroundSaves(CheckpointManager(tmp_path))
    saves.start(1, parts(1.0), {"not JSON": object()}, {})
    with pytest.raises(TypeError):
        saves.collect(wait=True)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="thread priorities are Linux's")
def test_the_writer_gives_way_to_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manager, seen = CheckpointManager(tmp_path), []
    original = manager._write_folder

    def look(*args: Any) -> Any:
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return original(*args)

    monkeypatch.setattr(manager, "_write_folder", look)
    saves = BackgroundSaves(manager)
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    saves.start(1, parts(1.0), {}, {})
    saves.collect(wait=True)
    assert seen == [19]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_the_best_is_kept_and_named(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path, keep_last=1)
    for step in range(1, 6):
        manager.save(step, parts(float(step)), {}, {}, best=step in (2, 3))
    assert names(tmp_path) == ["best", "step-00000003", "step-00000005"]
    assert read_checkpoint(tmp_path / "checkpoints" / "best").step == 3
    # The run itself goes on from the newest.
    assert latest_valid(tmp_path)[0] == tmp_path / "checkpoints" / "step-00000005"
    assert manager.warnings == []


def test_the_best_may_be_saved_in_the_background(tmp_path: Path) -> None:
    saves = BackgroundSaves(CheckpointManager(tmp_path, keep_last=1))
    for step in (1, 2, 3):
        saves.start(step, parts(float(step)), {}, {}, best=step == 2)
        assert saves.collect(wait=True) is None
    assert names(tmp_path) == ["best", "step-00000002", "step-00000003"]
    assert read_checkpoint(tmp_path / "checkpoints" / "best").step == 2


def test_what_was_just_saved_stays_whatever_newer_ones_there_are(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path, keep_last=1)
    CheckpointManager(tmp_path, keep_last=None).save(9, parts(9.0), {}, {})
    assert manager.save(2, parts(2.0), {}, {}).is_dir()
    assert names(tmp_path) == ["step-00000002", "step-00000009"]


def test_a_mark_never_dangles(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path, keep_last=None)
    for step in (1, 2, 3):
        manager.save(step, parts(1.0), {}, {}, best=True)
    # Restarted from step 1 on purpose: 3 is renamed, the best up to 1 counts.
    set_aside_after(tmp_path, 1)
    assert mark_best(tmp_path, 1) == []
    assert read_checkpoint(tmp_path / "checkpoints" / "best").step == 1
    # One that was deleted by hand.
    (tmp_path / "checkpoints" / "step-00000001").rename(tmp_path / "elsewhere")
    assert mark_best(tmp_path, 1) == []
    assert "best" not in names(tmp_path)


def test_something_else_of_that_name_stays(tmp_path: Path) -> None:
    own = tmp_path / "checkpoints" / "best"
    own.mkdir(parents=True)
    (own / "notes.txt").write_text("mine")
    manager = CheckpointManager(tmp_path, keep_last=1)
    manager.save(1, parts(1.0), {}, {}, best=True)
    assert "not a link of this program's" in manager.warnings[0]
    assert (own / "notes.txt").read_text() == "mine"


def test_a_mark_that_was_cut_off_is_cleared_away(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path)
    manager.save(1, parts(1.0), {}, {}, best=True)
    (tmp_path / "checkpoints" / ".best.tmp-0000").symlink_to("step-00000001")
    clean_leftovers(tmp_path)
    assert names(tmp_path) == ["best", "step-00000001"]


def test_weights_alone_are_for_evaluation_until_a_whole_one_is_saved(tmp_path: Path) -> None:
    manager = CheckpointManager(tmp_path, keep_last=1)
    manager.save(5, parts(5.0), {}, {})
    path = manager.save_weights(9, {"model": parts(9.0)["model"]}, {}, {})
    assert path.name == "weights-00000009"
    # What is read for evaluation is the newest; what a run goes on from is whole.
    assert read_checkpoint(tmp_path).step == 9
    assert latest_valid(tmp_path)[0] == tmp_path / "checkpoints" / "step-00000005"
    assert manager.last_path == tmp_path / "checkpoints" / "step-00000005"
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    assert read_checkpoint(tmp_path).step == 5
    # Older weights never stand before a whole checkpoint.
    manager.save_weights(4, {"model": parts(4.0)["model"]}, {}, {})
    assert read_checkpoint(tmp_path).step == 5
    manager.save(9, parts(9.0), {}, {})
    assert names(tmp_path) == ["step-00000009"]


def test_a_cut_off_folder_of_weights_is_cleared_away(tmp_path: Path) -> None:
    CheckpointManager(tmp_path).save(1, parts(1.0), {}, {})
    (tmp_path / "checkpoints" / ".weights-00000009.tmp-ab").mkdir()
    clean_leftovers(tmp_path)
    assert names(tmp_path) == ["step-00000001"]
    assert json.loads((tmp_path / "checkpoints/step-00000001/manifest.json").read_text())["step"]


def test_waiting_for_a_save_that_was_never_started_is_at_once(tmp_path: Path) -> None:
    begun = time.monotonic()
    assert BackgroundSaves(CheckpointManager(tmp_path)).collect(wait=True) is None
    assert time.monotonic() - begun < 1
