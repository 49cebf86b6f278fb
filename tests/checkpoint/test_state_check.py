"""A checkpoint whose documents were edited, hashes and all, loads or is refused: nothing between.

The manifest agrees in every case here, so only the meaning of the values can tell.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.runs import arguments, train_here
from hrm_scale.base.errors import EXIT_CHECKPOINT, CheckpointError, HrmError
from hrm_scale.checkpoint import (
    changed_settings,
    read_carry,
    read_checkpoint,
    require_resumable,
)
from hrm_scale.checkpoint.state_check import State
from hrm_scale.checkpoint.tensor_file import write_tensors
from hrm_scale.config.compose import compose
from hrm_scale.config.saved import from_dict, to_dict
from hrm_scale.config.schema import RunConfig
from hrm_scale.data import Loader, open_dataset
from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.evaluation.restore import restore
from hrm_scale.training.build import build_trainer
from hrm_scale.training.clock import Clock
from tools.checkpoint.cli import main as tool

CHANGES = {"max_steps": 3, "checkpoint__keep_last": 1}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(data set, checkpoint of a real run of three steps)."""
    root = tmp_path_factory.mktemp("trained")
    data = write_online(root / "data", examples=40)
    train_here(data, root / "run", **CHANGES)
    (checkpoint,) = (root / "run" / "checkpoints").glob("step-*")
    return data, checkpoint


def edited(checkpoint: Path, target: Path, file: str, change: Callable[[Any], Any]) -> Path:
    """A copy with one document changed and the manifest made to agree (unless it is that)."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in checkpoint.iterdir():
        if path.name not in (file, "manifest.json"):
            os.link(path, target / path.name)
    data = json.dumps(change(json.loads((checkpoint / file).read_text()))).encode()
    (target / file).write_bytes(data)
    if file != "manifest.json":
        manifest = json.loads((checkpoint / "manifest.json").read_text())
        digest = hashlib.sha256(data).hexdigest()
        manifest["files"][file] = {"bytes": len(data), "sha256": digest}
        (target / "manifest.json").write_text(json.dumps(manifest))
    return target


@functools.cache
def opened(data: Path) -> tuple[RunConfig, Loader]:
    run = compose(arguments(data, data, **CHANGES)).run
    return run, Loader(open_dataset(data), "train", seed=0, global_batch_size=8)


def resume_parts(data: Path, folder: Path) -> None:
    """Everything of a resumed start that looks at the documents."""
    found = read_checkpoint(folder)
    require_resumable(found)
    run, loader = opened(data)
    position = loader.resume(found.state["data"])
    loader.fetch(position, position + 8)
    clock = Clock()
    clock.load_state_dict(found.state["clock"])
    clock.tick(8)
    assert clock.total_seconds >= 0
    assert clock.eta_seconds(10) is None or clock.eta_seconds(10) >= 0  # type: ignore[operator]
    json.dumps(clock.state_dict())
    read_carry(found, 0, 8)
    sums = [torch.tensor(v, dtype=torch.float64) for v in found.state["sums"].values()]
    assert len(sums) == len(found.state["sums"])
    assert found.state["evaluated"] + found.state["sum_steps"] >= 0
    assert all(line.isprintable() for line in changed_settings(found.config, to_dict(run)))
    from_dict(found.config, "config.json")
    DatasetMeta(**found.state["dataset"])


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from places(inner, (*path, key))


def put(value: Any, path: tuple[Any, ...], new: Any, delete: bool) -> Any:
    if not path:
        return new
    value = copy.deepcopy(value)
    at = value
    for key in path[:-1]:
        at = at[key]
    if delete:
        del at[path[-1]]
    else:
        at[path[-1]] = new
    return value


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


NUMBERS = [0, -1, 1, 2, 2**31, 2**53, 2**63, 2**64, -(2**70), 10**400, 0.5, -0.0, 5e-324, 1e308]
NOT_NUMBERS = [None, True, False, float("nan"), float("inf"), float("-inf")]
TEXTS = ["", "3", "x" * 100_000, "a\nb", "\x1b]0;x\x07", "\ud800"]
CONTAINERS = [[], {}, [[]], {"": None}, nested(30), nested(100), ["a"], [1, 2], [0, 0], {"a": {}}]
VALUES = st.one_of(
    st.sampled_from([*NUMBERS, *NOT_NUMBERS, *TEXTS, *CONTAINERS]),
    st.integers(-10, 10),
    st.floats(width=32),
    st.text(max_size=5),
)


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_edited_value_works_or_is_refused(
    trained: tuple[Path, Path], tmp_path: Path, data: st.DataObject
) -> None:
    dataset, checkpoint = trained
    file = data.draw(
        st.sampled_from(["state.json", "state.json", "config.json", "versions.json"])
        | st.just("manifest.json")
    )
    document = json.loads((checkpoint / file).read_text())
    path = data.draw(st.sampled_from(sorted(places(document), key=str)))
    new, delete = data.draw(VALUES), data.draw(st.booleans())
    target = tmp_path / "run" / "checkpoints" / checkpoint.name
    folder = edited(checkpoint, target, file, lambda value: put(value, path, new, delete))
    message = ""
    try:
        resume_parts(dataset, folder)
    except HrmError as error:
        message = str(error)
    assert len(message) < 3000
    assert all(line.isprintable() for line in message.splitlines())


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_edited_value_gives_a_model_or_the_exit_code_of_checkpoints(
    trained: tuple[Path, Path], tmp_path: Path, data: st.DataObject
) -> None:
    _, checkpoint = trained
    file = data.draw(st.sampled_from(["config.json", "config.json", "state.json"]))
    document = json.loads((checkpoint / file).read_text())
    path = data.draw(st.sampled_from(sorted(places(document), key=str)))
    new, delete = data.draw(VALUES), data.draw(st.booleans())
    target = tmp_path / "run" / "checkpoints" / checkpoint.name
    folder = edited(checkpoint, target, file, lambda value: put(value, path, new, delete))
    code, message = EXIT_CHECKPOINT, ""
    try:
        restore(folder, device=torch.device("cpu"))
    except HrmError as error:
        code, message = error.exit_code, str(error)
    assert code == EXIT_CHECKPOINT
    assert not message or message.isprintable()


@pytest.mark.parametrize("key", sorted(State.model_fields))
def test_a_missing_key_is_named(trained: tuple[Path, Path], tmp_path: Path, key: str) -> None:
    folder = edited(
        trained[1],
        tmp_path / trained[1].name,
        "state.json",
        lambda state: {name: value for name, value in state.items() if name != key},
    )
    with pytest.raises(CheckpointError, match=f"lacks '{key}'"):
        require_resumable(read_checkpoint(folder))


EDITS: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("clock", lambda s: s.__setitem__("clock", None)),
    ("clock.rates", lambda s: s["clock"].__setitem__("rates", [0, 0])),
    ("clock.rates", lambda s: s["clock"].__setitem__("rates", [1.0])),
    ("clock.train", lambda s: s["clock"].__setitem__("train", float("nan"))),
    ("clock.train", lambda s: s["clock"].__setitem__("train", "5")),
    ("clock.paused.x", lambda s: s["clock"].__setitem__("paused", {"x": []})),
    ("data.position", lambda s: s["data"].__setitem__("position", -1)),
    ("data.position", lambda s: s["data"].__setitem__("position", True)),
    ("data.position", lambda s: s["data"].__setitem__("position", 2**52)),
    ("data.fingerprint", lambda s: s["data"].__setitem__("fingerprint", 5)),
    ("sums.lm_loss", lambda s: s.__setitem__("sums", {"lm_loss": "0"})),
    ("sums", lambda s: s.__setitem__("sums", [])),
    ("evaluated", lambda s: s.__setitem__("evaluated", 99)),
    ("sum_steps", lambda s: s.__setitem__("sum_steps", 99)),
    ("step", lambda s: s.__setitem__("step", 99)),
    ("command", lambda s: s.__setitem__("command", ["rm"])),
    ("dataset.vocab_size", lambda s: s["dataset"].__setitem__("vocab_size", 2**40)),
    ("dataset.board.height", lambda s: s["dataset"]["board"].__setitem__("height", "9")),
    ("clock", lambda s: s.pop("clock")),
    ("sums", lambda s: s.pop("sums")),
]


@pytest.mark.parametrize(("where", "edit"), EDITS)
def test_each_edit_is_named(
    trained: tuple[Path, Path], tmp_path: Path, where: str, edit: Callable[[Any], Any]
) -> None:
    def change(state: dict[str, Any]) -> dict[str, Any]:
        edit(state)
        return state

    folder = edited(trained[1], tmp_path / trained[1].name, "state.json", change)
    with pytest.raises(CheckpointError) as caught:
        require_resumable(read_checkpoint(folder))
    assert where in str(caught.value)
    assert str(folder / "state.json") in str(caught.value)


def test_unknown_keys_and_sums_that_are_nan_pass(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    def change(state: dict[str, Any]) -> dict[str, Any]:
        sums = {"lm_loss": [float("nan")], "count": [3]}
        return {**state, "from_the_future": {"a": [1]}, "sums": sums}

    folder = edited(trained[1], tmp_path / trained[1].name, "state.json", change)
    resume_parts(trained[0], folder)


@pytest.mark.parametrize("number", [1, 4, 6, 10, 18])
def test_a_real_start_refuses_before_anything_is_written(
    trained: tuple[Path, Path], tmp_path: Path, number: int
) -> None:
    data, checkpoint = trained
    run = tmp_path / "run"

    def change(state: dict[str, Any]) -> dict[str, Any]:
        EDITS[number][1](state)
        return state

    edited(checkpoint, run / "checkpoints" / checkpoint.name, "state.json", change)
    resolved = compose(arguments(data, run, **CHANGES))
    with pytest.raises(CheckpointError) as caught:
        build_trainer(resolved.run, resolved.presets)
    assert "\n" not in str(caught.value)
    assert not (run / "metrics.jsonl").exists()


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("state.json", lambda s: {**s, "samples": [], "clock": 3}),
        ("versions.json", lambda v: {**v, "git": {"commit": 5, "changed": True}}),
        ("versions.json", lambda v: {**v, "git": {"changed": True}}),
        ("versions.json", lambda v: {**v, "packages": {"torch": ["x"]}}),
        ("versions.json", lambda v: {**v, "packages": "torch"}),
    ],
)
def test_the_tool_refuses(
    trained: tuple[Path, Path], tmp_path: Path, file: str, change: Callable[[Any], Any]
) -> None:
    folder = edited(trained[1], tmp_path / trained[1].name, file, change)
    with pytest.raises(CheckpointError, match=rf"{file} is damaged"):
        tool(["info", str(folder)])


def rewritten(
    trained: tuple[Path, Path], run: Path, part: str, change: Callable[[dict[str, Tensor]], object]
) -> list[str]:
    """Arguments of a run whose checkpoint has one tensor file changed, hashes and all."""
    data, checkpoint = trained
    target = run / "checkpoints" / checkpoint.name
    tensors = dict(read_checkpoint(checkpoint).part(part).items())
    change(tensors)
    shutil.copytree(checkpoint, target)
    (target / f"{part}.safetensors").unlink()
    entry = write_tensors(target / f"{part}.safetensors", tensors)
    manifest = json.loads((target / "manifest.json").read_text())
    manifest["files"][f"{part}.safetensors"] = dataclasses.asdict(entry)
    (target / "manifest.json").write_text(json.dumps(manifest))
    return arguments(data, run, **CHANGES)


CARRY = "carry-00000000-00000008"


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        (CARRY, lambda t: t["data/puzzle_identifiers"].fill_(7), "puzzle_identifiers"),
        (CARRY, lambda t: t["data/inputs"].fill_(-1), "data/inputs"),
        (CARRY, lambda t: t["data/labels"].fill_(99), "data/labels"),
        (CARRY, lambda t: t.__setitem__("z/0", t["z/0"][:, :-1]), "z/0"),
        (CARRY, lambda t: t.__setitem__("z/2", t["z/1"]), "z/2"),
        (CARRY, lambda t: t.__setitem__("halted", t["halted"].float()), "halted"),
        (CARRY, lambda t: t.pop("steps"), "steps"),
        ("optimizer", lambda t: t.pop(sorted(t)[0]), "lacks 'exp_avg/"),
        ("optimizer", lambda t: t.__setitem__(sorted(t)[0], torch.zeros(())), "shape"),
        ("puzzle_table", lambda t: t.__setitem__("more", torch.zeros(1)), "puzzle_table"),
        ("model", lambda t: t.popitem(), "model.safetensors"),
    ],
)
def test_tensors_that_do_not_fit_stop_a_real_start(
    trained: tuple[Path, Path], tmp_path: Path, part: str, change: Any, words: str
) -> None:
    resolved = compose(rewritten(trained, tmp_path / "run", part, change))
    with pytest.raises(CheckpointError) as caught:
        build_trainer(resolved.run, resolved.presets)
    assert words in str(caught.value)
    assert str(caught.value).isprintable()
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_an_unchanged_checkpoint_is_gone_on_from(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    """The tests above would pass as well if everything were refused."""
    for part in (CARRY, "optimizer", "puzzle_table", "model"):
        settings = rewritten(trained, tmp_path / part, part, lambda tensors: None)
        resolved = compose(settings)
        trainer = build_trainer(resolved.run, resolved.presets)
        assert trainer.parts.state.step == 3
        trainer.parts.reporter.close()
        assert trainer.lock is not None
        trainer.lock.close()


@pytest.mark.parametrize(
    ("file", "section", "key", "value"),
    [
        ("config.json", "arch", "hidden_size", 2**30),
        ("config.json", "arch", "hidden_size", 10**30),
        ("config.json", "arch", "L_layers", 50),
        ("config.json", "arch", "expansion", 1e30),
        ("config.json", "arch", "puzzle_emb_ndim", 2**40),
        ("state.json", "dataset", "vocab_size", 2**31 - 1),
    ],
)
def test_sizes_that_the_tensors_do_not_have_take_no_memory(
    trained: tuple[Path, Path], tmp_path: Path, file: str, section: str, key: str, value: Any
) -> None:
    def change(document: dict[str, Any]) -> dict[str, Any]:
        return put(document, (section, key), value, False)

    folder = edited(trained[1], tmp_path / trained[1].name, file, change)
    with pytest.raises(CheckpointError) as caught:
        restore(folder, device=torch.device("cpu"))
    assert str(caught.value).isprintable()
