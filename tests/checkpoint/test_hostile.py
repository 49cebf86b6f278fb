"""Hostile checkpoint folders: one line for each; nothing in them is run, nor waited for."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_scale.base.errors import EXIT_CHECKPOINT, CheckpointError
from hrm_scale.checkpoint import (
    CheckpointManager,
    carry_part_name,
    latest_valid,
    pack_optimizer,
    read_checkpoint,
    require_carry,
    require_fit,
    require_moments,
    require_resumable,
    require_table,
    require_tokens,
    table_part_name,
)
from hrm_scale.checkpoint.tensor_file import TensorFile, read_header

Change = Callable[[Path], None]


def save(run: Path, parts: dict[str, dict[str, torch.Tensor]] | None = None) -> Path:
    parts = parts or {"model": {"w": torch.arange(6.0).reshape(2, 3)}}
    return CheckpointManager(run).save(1, parts, {"samples": 8}, {"lr": 0.1})


def rehash(folder: Path) -> None:
    """Make the manifest agree with the files again, as somebody who means harm would."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in manifest["files"]:
        data = (folder / name).read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        manifest["files"][name] = {"bytes": len(data), "sha256": digest}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def refused(folder: Path, *words: str) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(folder)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 600
    assert caught.value.exit_code == EXIT_CHECKPOINT
    for word in words:
        assert word in message
    return message


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(tmp_path)


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def listed(name: str) -> Callable[[dict[str, Any]], object]:
    entry = {"bytes": 1, "sha256": "0" * 64}
    return lambda manifest: manifest["files"].__setitem__(name, entry)


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc/passwd",
        "a/b",
        "..",
        ".",
        "",
        ".hidden",
        "a\\b",
        "a\0b",
        "a\nb",
        "\x1b[2J",
        "-x",
        "manifest.json",
        "C:x",
        "x" * 300,
        "ä",
    ],
)
def test_names_that_are_not_plain(folder: Path, name: str) -> None:
    edit_manifest(folder, listed(name))
    refused(folder, "manifest.json is damaged", "file name is not valid")


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.__setitem__("step", True),
        lambda m: m.__setitem__("step", -1),
        lambda m: m.__setitem__("step", 1.0),
        lambda m: m.__setitem__("step", float("nan")),
        lambda m: m.__setitem__("step", 10**400),
        lambda m: m.__setitem__("step", "1"),
        lambda m: m.pop("step"),
        lambda m: m.__setitem__("schema", True),
        lambda m: m.__setitem__("schema", 0),
        lambda m: m.__setitem__("schema", 10**400),
        lambda m: m.__setitem__("files", []),
        lambda m: m["files"].__setitem__("model.safetensors", None),
        lambda m: m["files"]["model.safetensors"].__setitem__("bytes", -1),
        lambda m: m["files"]["model.safetensors"].__setitem__("bytes", "10"),
        lambda m: m["files"]["model.safetensors"].__setitem__("bytes", float("inf")),
        lambda m: m["files"]["model.safetensors"].__setitem__("sha256", "0" * 63),
        lambda m: m["files"]["model.safetensors"].__setitem__("sha256", "\x1b[2J"),
        lambda m: m["files"]["model.safetensors"].pop("sha256"),
        lambda m: m["files"].pop("state.json"),
    ],
)
def test_impossible_values_in_the_manifest(folder: Path, change: Any) -> None:
    edit_manifest(folder, change)
    refused(folder, str(folder))


@pytest.mark.parametrize("file", ["manifest.json", "state.json", "config.json", "versions.json"])
@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":' * 70 + b"1" + b"}" * 70,
        b'{"step": 1, "step": 2}',
        b"\xff\xfe{}",
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"1" * 5000,
        b"{} {}",
    ],
    ids=[
        "list-deep",
        "object-deep",
        "deep",
        "twice",
        "utf16",
        "empty",
        "null",
        "list",
        "text",
        "digits",
        "two",
    ],
)
def test_documents_that_are_none(folder: Path, file: str, text: bytes) -> None:
    (folder / file).write_bytes(text)
    if file != "manifest.json":
        rehash(folder)
    refused(folder, str(folder))


@pytest.mark.parametrize("file", ["manifest.json", "state.json"])
def test_gigabytes_are_not_read(folder: Path, file: str) -> None:
    with (folder / file).open("r+b") as stream:
        stream.truncate(3 << 30)  # a hole: takes no room on the disk
    if file != "manifest.json":
        edit_manifest(folder, lambda m: m["files"][file].__setitem__("bytes", 3 << 30))
        with pytest.raises(CheckpointError, match="allowed are"):
            read_checkpoint(folder, check="none")
        return
    refused(folder, "manifest.json is damaged", "allowed are")


def to_link(path: Path) -> None:
    elsewhere = path.parents[2] / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def to_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def to_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def to_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


@pytest.mark.parametrize("change", [to_link, to_pipe, to_folder, to_device, to_loop])
@pytest.mark.parametrize("file", ["manifest.json", "state.json", "model.safetensors"])
@pytest.mark.parametrize("check", ["sha256", "size", "none"])
def test_only_regular_files(folder: Path, change: Change, file: str, check: Any) -> None:
    change(folder / file)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(folder, check=check)
    assert str(caught.value).isprintable()
    assert latest_valid(folder.parents[1])[0] is None


def test_a_link_to_the_folder_is_followed(folder: Path) -> None:
    (folder.parent / "best").symlink_to(folder.name)
    assert read_checkpoint(folder.parent / "best").step == 1


class Trap:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("the pickle was loaded",))


def header(entries: dict[str, Any], values: bytes = b"", length: int | None = None) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + values


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(Trap()),
        b"",
        b"\x01\x02",
        struct.pack("<Q", 2**63),
        struct.pack("<Q", 2**64 - 1) + b"{}",
        struct.pack("<Q", 99 << 20) + b"{}",
        header({"a": entry()}, bytes(8), length=10_000),
        header({"a": entry()}, bytes(7)),
        header({"a": entry()}, bytes(9)),
        header({"a": entry(offsets=[0, 4])}, bytes(8)),
        header({"a": entry(offsets=[4, 12])}, bytes(12)),
        header({"a": entry(offsets=[8, 0])}, bytes(8)),
        header({"a": entry(offsets=[-8, 0])}, bytes(8)),
        header({"a": entry(offsets=[0, 2**70])}, bytes(8)),
        header({"a": entry(offsets=[0.0, 8.0])}, bytes(8)),
        header({"a": entry(offsets="08")}, bytes(8)),
        header({"a": entry(offsets=[0, 8, 16])}, bytes(8)),
        header({"a": entry(), "b": entry()}, bytes(8)),
        header({"a": entry(), "b": entry(offsets=[4, 12])}, bytes(12)),
        header({"a": entry(), "b": entry(offsets=[16, 24])}, bytes(24)),
        header({"a": entry(shape=[-2])}, bytes(8)),
        header({"a": entry(shape=[-1, -2])}, bytes(8)),
        header({"a": entry(shape=[True, 2])}, bytes(8)),
        header({"a": entry(shape=[2.0])}, bytes(8)),
        header({"a": entry(shape=2)}, bytes(8)),
        header({"a": entry(shape=[2**32, 2**32])}, bytes(8)),
        header({"a": entry(shape=[0, 2**62, 2**62], offsets=[0, 0])}),
        header({"a": entry(shape=[1] * 100 + [2])}, bytes(8)),
        header({"a": entry(dtype="F4")}, bytes(8)),
        header({"a": entry(dtype=None)}, bytes(8)),
        header({"a": entry(dtype=["F32"])}, bytes(8)),
        header({"a": None}, bytes(8)),
        header({"a": {}}, bytes(8)),
        header({"a": {**entry(), "more": 1}}, bytes(8)),
        header({"a\nb": entry()}, bytes(8)),
        header({"x" * 5000: entry()}, bytes(8)),
        header({"__metadata__": 1, "a": entry()}, bytes(8)),
        struct.pack("<Q", 140)
        + b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
        + b'"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'.ljust(86)
        + bytes(8),
        struct.pack("<Q", 50_000) + b"[" * 50_000,
        struct.pack("<Q", 2) + b"\xff\xff",
        struct.pack("<Q", 2) + b"[]",
    ],
)
def test_hostile_safetensors(folder: Path, data: bytes) -> None:
    (folder / "model.safetensors").write_bytes(data)
    rehash(folder)
    refused(folder, "model.safetensors is not a readable safetensors file")


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_any_changed_header_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """What passes our check, the library that reads the values accepts as well."""
    path = tmp_path_factory.mktemp("h") / "x.safetensors"
    good = {"a": entry(), "b": entry(dtype="I64", shape=[1, 2], offsets=[8, 24])}
    text = bytearray(json.dumps(good).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + 1] = data.draw(st.sampled_from([b"0", b"9", b"", b"[", b'"', b"-", b"8"]))
    path.write_bytes(struct.pack("<Q", len(text)) + bytes(text) + bytes(24))
    try:
        file = TensorFile(path)
    except CheckpointError as error:
        assert "\n" not in str(error)  # noqa: PT017 (it need not be raised)
        return
    for name in file:
        assert tuple(file[name].shape) == file.infos[name].shape


def test_a_file_that_is_changed_after_opening_is_one_line(folder: Path) -> None:
    part = read_checkpoint(folder).part("model")
    part.path.write_bytes(b"short")
    with pytest.raises(CheckpointError, match="cannot be read"):
        part["w"]
    with pytest.raises(CheckpointError, match="cannot be read"):
        part.rows("w", 0, 1)


def carry(low: int, high: int, **changes: torch.Tensor) -> dict[str, torch.Tensor]:
    rows = high - low
    return {
        "z/0": torch.zeros(rows, 3, 4),
        "steps": torch.zeros(rows, dtype=torch.int32),
        "halted": torch.ones(rows, dtype=torch.bool),
        **changes,
    }


SLOT = carry(0, 1)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([(0, 4, {}), (5, 8, {})], "slot 4"),
        ([(0, 4, {}), (3, 8, {})], "slot 4"),
        ([(1, 8, {})], "slot 0"),
        ([(0, 4, {"z/0": torch.zeros(3, 3, 4)})], "z/0"),
        ([(0, 4, {"z/0": torch.zeros(4, 3, 5)})], "z/0"),
        ([(0, 4, {"z/0": torch.zeros(4, 3, 4, dtype=torch.int32)})], "type I32"),
        ([(0, 4, {"halted": torch.ones(4, dtype=torch.uint8)})], "type U8"),
        ([(0, 4, {"steps": torch.tensor(1, dtype=torch.int32)})], "steps"),
        ([(0, 4, {"more": torch.zeros(4)})], "more"),
    ],
)
def test_a_carry_that_does_not_fit(tmp_path: Path, parts: list[Any], words: str) -> None:
    named = {carry_part_name(a, b): carry(a, b, **changes) for a, b, changes in parts}
    checkpoint = read_checkpoint(save(tmp_path, {"model": {}, **named}))
    with pytest.raises(CheckpointError, match=words):
        require_carry(checkpoint, SLOT)


def test_a_carry_that_fits(tmp_path: Path) -> None:
    parts = {carry_part_name(a, b): carry(a, b) for a, b in ((0, 4), (4, 6))}
    parts[carry_part_name(4, 6)]["z/0"] = torch.zeros(2, 3, 4, dtype=torch.bfloat16)
    checkpoint = read_checkpoint(save(tmp_path, parts))
    require_carry(checkpoint, SLOT)
    require_tokens(checkpoint, {"steps": (0, 5)})
    with pytest.raises(CheckpointError, match="'steps' holds values from 0 to 0, allowed are 1"):
        require_tokens(checkpoint, {"steps": (1, 5)})


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"puzzle_table": {"other": torch.zeros(6, 2)}}, "has no table"),
        ({"puzzle_table": {"t": torch.zeros(())}}, "has no table"),
        ({"puzzle_table": {"t": torch.zeros(6)}}, "the model needs"),
        ({"puzzle_table": {"t": torch.zeros(6, 3)}}, "the model needs"),
        ({"puzzle_table": {"t": torch.zeros(5, 2)}}, "shape"),
        ({"puzzle_table": {"t": torch.zeros(6, 2), "u": torch.zeros(1)}}, "holds"),
        ({table_part_name(0, 3, False): {"t": torch.zeros(3, 2)}}, "shape"),
        (
            {
                table_part_name(0, 3, False): {"t": torch.zeros(3, 2)},
                table_part_name(4, 6, False): {"t": torch.zeros(2, 2)},
            },
            "row 3",
        ),
        ({table_part_name(0, 6, False): {"t": torch.zeros(2, 2)}}, "the model needs"),
        ({}, "no puzzle table"),
    ],
)
def test_a_table_that_does_not_fit(tmp_path: Path, parts: Any, words: str) -> None:
    checkpoint = read_checkpoint(save(tmp_path, {"model": {}, **parts}))
    with pytest.raises(CheckpointError, match=words):
        require_table(checkpoint, "t", (6, 2))


def test_moments_are_complete_or_refused(tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(torch.zeros(2, 3))
    optimizer = torch.optim.Adam([parameter])
    parameter.grad = torch.ones(2, 3)
    optimizer.step()
    good = pack_optimizer([("w", parameter)], optimizer)
    shapes = {"w": (2, 3)}
    require_moments(read_checkpoint(save(tmp_path / "none", {"optimizer": {}})), shapes)
    require_moments(read_checkpoint(save(tmp_path / "good", {"optimizer": good})), shapes)
    for number, bad in enumerate(
        [
            {name: value for name, value in good.items() if name != "exp_avg/w"},
            {**good, "exp_avg/w": torch.zeros(3, 2)},
            {**good, "exp_avg/w": torch.zeros(())},
            {**good, "step/w": torch.zeros(2, 3)},
            {**good, "exp_avg/other": torch.zeros(2, 3)},
            {**good, "w": torch.zeros(2, 3)},
            {**good, "more/w": torch.zeros(2, 3)},
        ]
    ):
        checkpoint = read_checkpoint(save(tmp_path / f"bad{number}", {"optimizer": bad}))
        with pytest.raises(CheckpointError, match=r"optimizer\.safetensors"):
            require_moments(checkpoint, shapes)


def test_what_a_run_needs_is_named_when_it_is_missing(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no optimizer\.safetensors"):
        require_resumable(read_checkpoint(folder))
    parts = {"model": {"w": torch.zeros(2)}, "optimizer": {}}
    with pytest.raises(CheckpointError, match="lacks 'sum_steps'"):
        require_resumable(read_checkpoint(save(tmp_path / "b", parts)))


def test_the_wrong_model_changes_nothing(folder: Path) -> None:
    model = torch.nn.Linear(3, 2, bias=False)
    before = model.weight.detach().clone()
    with pytest.raises(CheckpointError):
        require_fit(read_checkpoint(folder), "model", {"weight": (2, 3)})
    assert torch.equal(before, model.weight)


def test_headers_are_read_without_values(folder: Path) -> None:
    assert read_header(folder / "model.safetensors")["w"].shape == (2, 3)


def test_what_a_link_leads_to_is_never_deleted(tmp_path: Path) -> None:
    parts = {"model": {"w": torch.zeros(2)}, "optimizer": {}}
    elsewhere = save(tmp_path / "other", parts)
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "step-00000001").symlink_to(elsewhere)
    (run / "checkpoints" / ".step-00000001.trash-00").symlink_to(elsewhere)
    manager = CheckpointManager(run, 1)
    for step in (2, 3):
        manager.save(step, parts, {}, {})
    assert manager.warnings == []
    assert read_checkpoint(elsewhere).step == 1
