"""Whatever happens to a run's files between two starts is named in one line; the run goes on from
the checkpoint before where that is right, and refuses where it is not.

Damage to a save itself and to single files is in tests/checkpoint/test_faults.py.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.reliability.ways import DDP_2, SETTINGS, train, write_data
from benchmarks.tiny.runs import arguments, saved_steps, train_here
from hrm_scale.base.errors import EXIT_CHECKPOINT, EXIT_DATA
from tests.support.started import Started

pytestmark = [pytest.mark.slow, pytest.mark.multi]

BEFORE, DAMAGED, END = 5, 10, 12
RUN: dict[str, Any] = {
    **SETTINGS,
    "checkpoint__every_steps": 5,
    "evaluation__full_at_end": "false",
    "engine__accumulation": 2,
}
Damage = Callable[[Path], str]
"""Does something to a checkpoint folder; returns the name of the file that is to be blamed."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("damage") / "data")


@pytest.fixture(scope="module")
def undamaged(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two ranks, each with files of its own for carry and table, with two checkpoints."""
    run = tmp_path_factory.mktemp("undamaged") / "run"
    settings = {**RUN, "max_steps": DAMAGED, "engine__puzzle_table": "sharded"}
    assert train(DDP_2, data, run, **settings)
    assert saved_steps(run) == [BEFORE, DAMAGED]
    return run


@pytest.fixture
def run(undamaged: Path, tmp_path: Path) -> Path:
    shutil.copytree(undamaged, tmp_path / "run")
    return tmp_path / "run"


def newest(run: Path) -> Path:
    return run / "checkpoints" / f"step-{DAMAGED:08d}"


def go_on(data: Path, run: Path, **changes: Any) -> str:
    """Start the run again, here; what it says, on the console and in the log."""
    train_here(data, run, **{**RUN, "max_steps": END, "log__console": "line", **changes})
    return (run / "log.txt").read_text()


def refusal(data: Path, run: Path, code: int, **changes: Any) -> str:
    """The one line with which a start is refused, no checkpoint being changed."""
    before = _contents(run / "checkpoints")
    line = arguments(data, run, **{**RUN, "max_steps": END, **changes})
    started = Started(line, run.parent / "out")
    assert started.codes() == [code], started.output()
    assert "Traceback" not in started.output()
    assert _contents(run / "checkpoints") == before
    (text,) = started.errors()
    return text


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def told_once(log: str, *parts: str) -> None:
    lines = [line for line in log.splitlines() if all(part in line for part in parts)]
    assert len(lines) == 1, log


# --- damage ---------------------------------------------------------------------------------------


def truncate(folder: Path) -> str:
    file = folder / "optimizer.safetensors"
    os.truncate(file, file.stat().st_size - 3)
    return file.name


def flip(folder: Path) -> str:
    return flip_a_byte(folder / "state.json")


def flip_a_byte(file: Path) -> str:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)
    return file.name


def delete(folder: Path) -> str:
    (folder / "model.safetensors").unlink()
    return "model.safetensors"


def swap(folder: Path, pattern: str) -> str:
    """Exchange the files of two ranks; they have the same size."""
    one, other = sorted(folder.glob(pattern))[:2]
    assert one.stat().st_size == other.stat().st_size
    assert one.read_bytes() != other.read_bytes()
    for old, new in ((one, "aside"), (other, one.name), (folder / "aside", other.name)):
        old.rename(folder / new)
    return one.name


def swap_carry(folder: Path) -> str:
    return swap(folder, "carry-*.safetensors")


def swap_table(folder: Path) -> str:
    return swap(folder, "puzzle_table-*.safetensors")


def from_the_other_checkpoint(folder: Path) -> str:
    """A file of the same run and size, of another step."""
    name = "model.safetensors"
    shutil.copy(folder.with_name(f"step-{BEFORE:08d}") / name, folder / name)
    return name


@pytest.mark.parametrize(
    "damage",
    [truncate, flip, delete, swap_carry, swap_table, from_the_other_checkpoint],
    ids=lambda damage: damage.__name__,
)
def test_damage_is_named_and_the_checkpoint_before_is_used(
    damage: Damage, data: Path, run: Path
) -> None:
    blamed = damage(newest(run))
    # Asked for by name, it is refused: what was asked for is not there.
    text = refusal(data, run, EXIT_CHECKPOINT, resume=newest(run))
    assert newest(run).name in text
    assert blamed in text
    log = go_on(data, run)
    told_once(log, "passed over", newest(run).name, blamed)
    told_once(log, f"resumed at step {BEFORE}")
    # Step 10 was saved again, in place of the damaged one.
    assert saved_steps(run) == [DAMAGED, END]
    train_here(data, run, **{**RUN, "max_steps": END, "resume": newest(run)})


def test_two_ranks_pass_over_the_files_of_one_together(data: Path, run: Path) -> None:
    blamed = swap_carry(newest(run))
    settings = {**RUN, "max_steps": END, "log__console": "line", "engine__puzzle_table": "sharded"}
    started = Started(arguments(data, run, **settings), run.parent / "out", ranks=2)
    assert started.codes() == [0, 0], started.output()
    told_once(started.output(), "passed over", newest(run).name, blamed)
    told_once(started.output(), f"resumed at step {BEFORE}")


def test_nothing_valid_is_left(data: Path, run: Path) -> None:
    for folder in (run / "checkpoints").glob("step-*"):
        truncate(folder)
    before = saved_steps(run)
    # Neither does it begin anew over what may still be mended.
    for resume in ("must", "auto"):
        text = refusal(data, run, EXIT_CHECKPOINT, resume=resume)
        assert f"none of the {len(before)} checkpoints of {run} is valid" in text
        assert "optimizer.safetensors" in text
    assert saved_steps(run) == before
    (run / "checkpoints").rename(run / "damaged")
    assert "resumed at step" not in go_on(data, run)


# --- other settings, other data -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"global_batch_size": 32}, "global_batch_size=16"),
        ({"arch__hidden_size": 64}, "the checkpoint is of another model"),
        ({"arch__L_layers": 2}, "the checkpoint is of another model"),
        ({"arch__puzzle_emb_ndim": 32}, "the model needs"),
    ],
    ids=str,
)
def test_settings_with_which_it_cannot_go_on(
    changes: dict[str, Any], said: str, data: Path, run: Path
) -> None:
    text = refusal(data, run, EXIT_CHECKPOINT, **changes)
    assert said in text
    assert newest(run).name in text


def test_settings_with_which_it_goes_on_are_told(data: Path, run: Path) -> None:
    log = go_on(data, run, lr=2e-3, weight_decay=0.2, engine__accumulation=4)
    told_once(log, "settings differ", "lr: 0.001 -> 0.002", "weight_decay: 0.1 -> 0.2")
    told_once(log, f"resumed at step {DAMAGED}")


def test_other_data_are_refused_under_any_name(data: Path, run: Path, tmp_path: Path) -> None:
    moved = tmp_path / "data"
    shutil.copytree(data, moved)
    # The same data elsewhere are the same data...
    go_on(moved, run)
    # ...and others of the same shape in their place are not.
    shutil.rmtree(moved)
    write_data(moved, labels=3)
    text = refusal(moved, run, EXIT_DATA, max_steps=END + 2)
    assert "was trained on data set" in text
    assert "data_path" in text


def test_a_byte_of_a_shard_is_named_with_its_record(data: Path, run: Path, tmp_path: Path) -> None:
    moved = tmp_path / "data"
    shutil.copytree(data, moved)
    shard = sorted((moved / "train").glob("*.tar"))[0]
    content = bytearray(shard.read_bytes())
    # Past the header of the member and that of the array.
    content[content.find(b"inputs.npy") + 512 + 200] ^= 1
    shard.write_bytes(content)
    text = refusal(moved, run, EXIT_DATA, max_steps=END + 10)
    assert shard.name in text
    assert "record" in text
    # With the shard as it was, the same command goes on from where the run is.
    shutil.copy(data / "train" / shard.name, shard)
    (run / "log.txt").unlink()
    told_once(go_on(moved, run), f"resumed at step {DAMAGED}")
