"""Damaged and hostile data sets: one clear line each, never a wrong batch."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xxhash
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_scale.data import Loader, open_dataset, rebuild_index
from hrm_scale.data.members import MemberError, decompress, parse_npy
from hrm_scale.errors import DataError
from tests.unit.data_sets import write_dense, write_online


def read_everything(path: Path, **options: object) -> None:
    dataset = open_dataset(path)
    loader = Loader(dataset, "train", seed=0, global_batch_size=10, **options)  # type: ignore[arg-type]
    loader.fetch(0, dataset.split("train").examples)


def expect(path: Path, *words: str, action: Callable[[Path], object] = read_everything) -> None:
    with pytest.raises(DataError) as caught:
        action(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_online(tmp_path / "d", chunk_examples=16)


def shard(path: Path) -> Path:
    return path / "train" / "shard-00000.tar"


Change = Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes]]


def rewrite(path: Path, change: Change) -> None:
    """Write the shard anew with every member passed through `change`; drop the index."""
    out = io.BytesIO()
    with tarfile.open(shard(path)) as old, tarfile.open(fileobj=out, mode="w") as new:
        for member in old.getmembers():
            content = old.extractfile(member).read()  # type: ignore[union-attr]
            member, content = change(member, content)
            member.size = len(content) if member.isreg() else 0
            new.addfile(member, io.BytesIO(content) if member.isreg() else None)
    shard(path).write_bytes(out.getvalue())
    (path / "train" / "index.json").unlink()


def test_missing_or_foreign_folder(tmp_path: Path) -> None:
    expect(tmp_path / "nowhere", "no such data set", "shards.sudoku", action=open_dataset)
    (tmp_path / "photos").mkdir()
    expect(tmp_path / "photos", "not a data set", "dataset.json", action=open_dataset)


def test_damaged_dataset_json(dataset: Path) -> None:
    file = dataset / "dataset.json"
    good = file.read_text()
    for bad in ("", "{", "[]", "{}", '{"schema_version": 1}', good.replace('"train"', '"../x"')):
        file.write_text(bad)
        expect(dataset, "dataset.json", action=open_dataset)
    file.write_text(good.replace('"vocab_size": 6', '"vocab_size": 7'))
    expect(dataset, "fingerprint", action=open_dataset)
    file.write_text(good.replace('"schema_version": 1', '"schema_version": 2'))
    expect(dataset, "schema_version is 2", action=open_dataset)


def test_damaged_or_stale_index(dataset: Path) -> None:
    file = dataset / "train" / "index.json"
    good = json.loads(file.read_text())
    for change in (
        lambda i: i.pop("records"),
        lambda i: i["records"]["members"]["inputs"]["offset"].__setitem__(0, 10**9),
        lambda i: i["records"]["members"]["inputs"]["offset"].__setitem__(0, -5),
        lambda i: i["records"]["examples"].__setitem__(0, 10**6),
        lambda i: i["shards"][0].__setitem__("name", "../../etc/passwd"),
        lambda i: i["columns"]["inputs"].__setitem__("dtype", "|O"),
        lambda i: i["shards"][0].__setitem__("sha256", "0" * 64),
    ):
        index = json.loads(json.dumps(good))
        change(index)
        file.write_text(json.dumps(index))
        expect(dataset, "index", "tools.shards verify")


def test_truncated_tar(dataset: Path) -> None:
    content = shard(dataset).read_bytes()
    shard(dataset).write_bytes(content[: len(content) // 2])
    expect(dataset, "shard-00000.tar", "truncated", "record 000003", "tools.shards verify")
    (dataset / "train" / "index.json").unlink()
    expect(dataset, "shard-00000.tar", "truncated")


def test_missing_shard(dataset: Path) -> None:
    shard(dataset).unlink()
    expect(dataset, "shard-00000.tar", "missing")


def test_flipped_byte_names_shard_and_record(dataset: Path) -> None:
    index = open_dataset(dataset).index("train")
    content = bytearray(shard(dataset).read_bytes())
    content[index.offset["labels"][2] + 140] ^= 1
    shard(dataset).write_bytes(content)
    expect(dataset, "shard-00000.tar", "record 000002", "labels", "xxh3", "tools.shards verify")
    expect(dataset, "sha256", action=rebuild_index)


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_any_flipped_bit_of_a_member_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = write_dense(tmp_path_factory.mktemp("f") / "d", groups=12, count=1)
    index = open_dataset(path).index("train")
    column = data.draw(st.sampled_from(["inputs", "labels"]))
    record = data.draw(st.integers(0, index.records - 1))
    at = int(index.offset[column][record])
    at += data.draw(st.integers(0, int(index.size[column][record]) - 1))
    content = bytearray(shard(path).read_bytes())
    content[at] ^= 1 << data.draw(st.integers(0, 7))
    shard(path).write_bytes(content)
    loader = Loader(open_dataset(path), "train", seed=0, global_batch_size=12)
    with pytest.raises(DataError, match=f"record {record:06d}"):
        loader.fetch(0, 24)


def test_pickled_array_is_refused_and_never_loaded(dataset: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (pytest.fail, ("the pickle was loaded",))

    def change(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
        if member.name == "000001.inputs.npy":
            head = io.BytesIO()
            array_header = {"descr": "|O", "fortran_order": False, "shape": (1,)}
            np.lib.format.write_array_header_1_0(head, array_header)
            content = head.getvalue() + pickle.dumps(Bomb())
        return member, content

    keep = (dataset / "train" / "index.json").read_bytes()
    rewrite(dataset, change)
    expect(dataset, "shard-00000.tar", "record 000001", "inputs", "pickled")
    (dataset / "train" / "index.json").write_bytes(keep)
    expect(dataset, "shard-00000.tar")


def test_pickled_array_behind_a_matching_index_is_refused(dataset: Path) -> None:
    """In place, same size, hash updated: nothing but the header tells."""
    index_file = dataset / "train" / "index.json"
    index = json.loads(index_file.read_text())
    entry = index["records"]["members"]["inputs"]
    offset, size = entry["offset"][0], entry["size"][0]
    content = bytearray(shard(dataset).read_bytes())
    member = bytes(content[offset : offset + size]).replace(b"'|u1'", b"'|O' ", 1)
    content[offset : offset + size] = member
    entry["xxh3"][0] = f"{xxhash.xxh3_64_intdigest(member):016x}"
    shard(dataset).write_bytes(content)
    index_file.write_text(json.dumps(index))
    expect(dataset, "record 000000", "pickled")
    expect(dataset, "record 000000", "pickled", action=lambda p: read_everything(p, verify=False))


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("../000000.inputs.npy", tarfile.REGTYPE, "path traversal"),
        ("/etc/000000.inputs.npy", tarfile.REGTYPE, "path traversal"),
        ("000000.inputs.npy", tarfile.SYMTYPE, "not a regular file"),
        ("000000.inputs.npy", tarfile.LNKTYPE, "not a regular file"),
        ("000000.inputs.npy", tarfile.CHRTYPE, "not a regular file"),
        ("000000.inputs.pkl", tarfile.REGTYPE, "not named"),
        ("000000.INPUTS.npy", tarfile.REGTYPE, "not named"),
    ],
)
def test_hostile_members(dataset: Path, name: str, kind: bytes, words: str) -> None:
    def change(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
        if member.name == "000000.inputs.npy":
            member.name, member.type, member.linkname = name, kind, "/etc/passwd"
        return member, content

    rewrite(dataset, change)
    expect(dataset, "shard-00000.tar", words)
    expect(dataset, "shard-00000.tar", words, action=rebuild_index)


def test_tokens_out_of_range_are_found(tmp_path: Path) -> None:
    path = write_online(tmp_path / "d", examples=20)
    index_file = path / "train" / "index.json"
    index = json.loads(index_file.read_text())
    entry = index["records"]["members"]["inputs"]
    offset, size = entry["offset"][0], entry["size"][0]
    content = bytearray(shard(path).read_bytes())
    content[offset + size - 1] = 77
    member = bytes(content[offset : offset + size])
    entry["xxh3"][0] = f"{xxhash.xxh3_64_intdigest(member):016x}"
    shard(path).write_bytes(content)
    index_file.write_text(json.dumps(index))
    expect(path, "record 000000", "inputs holds 77, allowed is 0 to 5")


def test_unpacking_is_capped() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 20))
    with pytest.raises(MemberError, match="unpack"):
        decompress(bomb, 1000)
    chunks = zstandard.ZstdCompressor().compressobj()
    unsized = chunks.compress(bytes(1 << 20)) + chunks.flush()
    with pytest.raises(MemberError, match="unpack"):
        decompress(unsized, 1000)
    with pytest.raises(MemberError, match="zstd"):
        decompress(b"not zstd at all", 1000)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=300), st.booleans())
def test_npy_parser_survives_any_bytes(junk: bytes, prefixed: bool) -> None:
    content = b"\x93NUMPY\x01\x00" + junk if prefixed else junk
    with pytest.raises(MemberError):
        parse_npy(content)


def damage(path: Path, record: int) -> None:
    index = open_dataset(path).index("train")
    content = bytearray(shard(path).read_bytes())
    content[index.offset["inputs"][record] + 130] ^= 1
    shard(path).write_bytes(content)


def test_mask_hides_rows_keeps_shapes_and_counts(dataset: Path) -> None:
    clean = Loader(open_dataset(dataset), "train", seed=0, global_batch_size=10, window=2)
    expected = clean.fetch(0, 100)
    damage(dataset, 1)
    loader = Loader(
        open_dataset(dataset),
        "train",
        seed=0,
        global_batch_size=10,
        window=2,
        on_error="mask",
        mask_budget=0.2,
    )
    batch = loader.fetch(0, 100)
    masked = (batch.labels == -100).all(axis=1)
    assert masked.sum() == loader.masked.masked_examples == 16
    assert (batch.inputs[masked] == 0).all()
    assert (batch.inputs[~masked] == expected.inputs[~masked]).all()
    assert (batch.labels[~masked] == expected.labels[~masked]).all()


def test_mask_stops_above_its_budget(dataset: Path) -> None:
    damage(dataset, 1)
    expect(
        dataset, "16 of 100", "record 000001", action=lambda p: read_everything(p, on_error="mask")
    )
