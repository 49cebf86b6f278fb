"""Damaged and hostile data sets: one clear line each, never a wrong batch."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import pickle
import struct
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.tiny.data_sets import write_dense, write_online
from hrm_scale.base.errors import ConfigError, DataError
from hrm_scale.data import Loader, open_dataset, rebuild_index
from hrm_scale.data.format.members import MemberError, decompress, parse_npy, safe_members
from hrm_scale.data.format.meta import DatasetMeta, SplitInfo, fingerprint, meta_to_json, read_meta


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


def test_a_split_is_not_the_data_set(dataset: Path, tmp_path: Path) -> None:
    wanted = ("one split of a data set", f"folder above it, {dataset}")
    expect(dataset / "train", *wanted, action=open_dataset)
    published = tmp_path / "published" / "test"
    published.mkdir(parents=True)
    (published / "dataset.json").write_text('{"vocab_size": 11}')
    (published / "all__inputs.npy").touch()
    expect(published, "one split", str(published.parent), action=open_dataset)


def test_damaged_dataset_json(dataset: Path) -> None:
    file = dataset / "dataset.json"
    good = file.read_text()
    for bad in ("", "{", "[]", "{}", '{"schema_version": 1}', good.replace('"train"', '"../x"')):
        file.write_text(bad)
        expect(dataset, "dataset.json", action=open_dataset)
    file.write_text(good.replace('"ignore_label_id": 0', '"ignore_label_id": 1'))
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
        ("000000.inputs.npy", tarfile.BLKTYPE, "not a regular file"),
        ("000000.inputs.npy", tarfile.FIFOTYPE, "not a regular file"),
        ("000000.inputs.npy", tarfile.DIRTYPE, "not a regular file"),
        ("000000.inputs.npy", tarfile.CONTTYPE, "not a regular file"),
        ("shards/../../x.json", tarfile.REGTYPE, "path traversal"),
        ("a\\..\\x.json", tarfile.REGTYPE, "path traversal"),
        ("inner.tar", tarfile.REGTYPE, "not named"),
        ("000000.inputs.npy.zst.zst", tarfile.REGTYPE, "not named"),
        ("000000.inputs.npy\nx", tarfile.REGTYPE, "not named"),
        ("\x1b[2J.npy", tarfile.REGTYPE, "not named"),
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
    assert masked.sum() == loader.masked_examples == 16
    assert (batch.inputs[masked] == 0).all()
    assert (batch.inputs[~masked] == expected.inputs[~masked]).all()
    assert (batch.labels[~masked] == expected.labels[~masked]).all()


def test_mask_stops_above_its_budget(dataset: Path) -> None:
    damage(dataset, 1)
    expect(
        dataset, "16 of 100", "record 000001", action=lambda p: read_everything(p, on_error="mask")
    )


def raw_header(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)[-512:]


def members_of(path: Path, content: bytes, sparse: int = 0) -> list[str]:
    file = path / "x.tar"
    file.write_bytes(content)
    if sparse:
        os.truncate(file, sparse)  # the rest is a hole and takes no room on the disk
    return [member.name for member in safe_members(file)]


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
        tarfile.GNUTYPE_SPARSE,
    ],
)
def test_extended_headers_are_refused_unread(tmp_path: Path, kind: bytes) -> None:
    """A reader that believes them would read gigabytes into memory."""
    with pytest.raises(DataError, match="extended header"):
        members_of(tmp_path, raw_header("x", kind, 40 << 30), sparse=60 << 30)


def test_a_tar_with_long_or_foreign_names_is_refused(tmp_path: Path) -> None:
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as archive:
            archive.addfile(tarfile.TarInfo("000000.inputs.npy" + "x" * 300))
        with pytest.raises(DataError, match="extended header"):
            members_of(tmp_path, out.getvalue())


@pytest.mark.parametrize("size", [(1 << 30) + 1, 1 << 40, 1 << 62])
def test_huge_members_are_refused(tmp_path: Path, size: int) -> None:
    with pytest.raises(DataError, match="allowed are"):
        members_of(tmp_path, raw_header("000000.inputs.npy", size=size), sparse=60 << 30)


def test_negative_sizes_do_not_run_backwards(tmp_path: Path) -> None:
    block = bytearray(raw_header("000000.inputs.npy"))
    block[124:136] = b"\xff" * 10 + b"\xfe\x00"  # -512 as GNU tar writes negative numbers
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    with pytest.raises(DataError, match=r"-512 bytes"):
        members_of(tmp_path, bytes(block) * 3)


def test_a_member_beyond_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="member 0 ends beyond the file"):
        members_of(tmp_path, raw_header("000000.inputs.npy", size=1 << 20) + bytes(512))


def test_many_members_take_no_memory(tmp_path: Path) -> None:
    content = b"".join(raw_header(f"{i:06d}.inputs.npy") for i in range(3_000))
    file = tmp_path / "x.tar"
    file.write_bytes(content + bytes(1024))
    tracemalloc.start()
    assert sum(1 for _ in safe_members(file)) == 3_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000


@pytest.mark.parametrize("content", [b"", b"\0" * 512, b"not a tar at all" * 64, b"\0" * 100])
def test_what_is_no_tar(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match="damaged or truncated tar"):
        members_of(tmp_path, content)


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_any_header_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    block = bytearray(raw_header("000000.inputs.npy", size=3))
    for _ in range(data.draw(st.integers(1, 5))):
        block[data.draw(st.integers(0, 511))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
    message = ""
    try:
        members_of(tmp_path_factory.mktemp("t"), bytes(block) + bytes(1536))
    except DataError as error:
        message = str(error)
    assert message.isprintable()


@pytest.mark.parametrize("name", ["shard-00000.tar", "index.json"])
def test_a_pipe_is_not_waited_for(dataset: Path, name: str) -> None:
    (dataset / "train" / name).unlink()
    os.mkfifo(dataset / "train" / name)
    if name == "index.json":
        read_everything(dataset)  # as when there is none: the shards are read instead
    else:
        expect(dataset, name)
        expect(dataset, name, action=lambda p: read_everything(p, on_error="mask"))
    (dataset / "dataset.json").unlink()
    os.mkfifo(dataset / "dataset.json")
    expect(dataset, "not a data set", action=open_dataset)


def test_links_to_shards_are_followed(dataset: Path, tmp_path: Path) -> None:
    """Caches of downloads keep the files elsewhere and link to them."""
    for path in (shard(dataset), dataset / "train" / "index.json", dataset / "dataset.json"):
        path.rename(tmp_path / path.name)
        path.symlink_to(tmp_path / path.name)
    read_everything(dataset)


def zst(content: bytes, **options: Any) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(content)


@pytest.mark.parametrize(
    "content",
    [
        zst(b"a" * 100) + zst(b"b" * 100),
        zst(b"a" * 100) + zst(bytes(1 << 20)),
        zst(b"a" * 100) + b"junk",
        zst(b"a" * 100)[:-1],
        struct.pack("<II", 0x184D2A50, 4) + b"skip" + zst(b"a" * 100),
        struct.pack("<II", 0x184D2A50, 1 << 31),
        zst(b"a" * 100, write_content_size=False),
        b"",
    ],
    ids=["two", "bomb-behind", "junk", "cut", "skippable", "skippable-only", "undeclared", "empty"],
)
def test_anything_but_one_whole_frame_is_refused(content: bytes) -> None:
    assert decompress(zst(b"a" * 100), 1000) == b"a" * 100
    with pytest.raises(MemberError):
        decompress(content, 1000)


def test_a_frame_that_lies_about_its_size(dataset: Path) -> None:
    """The declared size is small, what comes out is not."""
    bomb = bytearray(zst(bytes(1 << 20)))
    honest = zstandard.get_frame_parameters(bytes(bomb))
    assert honest.content_size == 1 << 20
    at = bytes(bomb).index(struct.pack("<I", 1 << 20))
    bomb[at : at + 4] = struct.pack("<I", 500)
    with pytest.raises(MemberError):
        decompress(bytes(bomb), 1000)


def npy(descr: Any, shape: Any, fortran: Any = False, content: bytes = b"", pad: int = 0) -> bytes:
    text = f"{{'descr': {descr!r}, 'fortran_order': {fortran!r}, 'shape': {shape!r}, }}"
    text += " " * pad + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + content


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npy("|u1", (-2, -3), content=bytes(6)), "impossible shape"),
        (npy("|u1", (-1,)), "impossible shape|bytes"),
        (npy("|u1", (2**40, 2**40)), "bytes"),
        (npy("|u1", (10**400,)), "bytes"),
        (npy("|u1", (2, 3), fortran=True, content=bytes(6)), "Fortran"),
        (npy("|O", (1,), content=pickle.dumps([])), "pickled"),
        (npy([("a", "|O")], (1,), content=bytes(8)), "pickled"),
        (npy("|V1000000000", (1,)), "bytes"),
        (npy(">i4", (1,), content=bytes(4)), "dtype"),
        (npy("|u1", (), content=bytes(1)), "scalar"),
        (npy("|u1", (1,), content=bytes(1), pad=5000), "valid"),
        (npy("|u1", "(" * 2000), "valid"),
        (b"\x93NUMPY\x01\x00" + struct.pack("<H", 3000) + b"(" * 3000, "valid"),
        (b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{}", "valid"),
        (b"\x93NUMPY\x03\x00" + struct.pack("<I", 4) + b"{}  ", "version"),
        (b"\x93NUMPY\x01\x00" + struct.pack("<H", 30) + b"__import__('os').getpid()     ", "valid"),
    ],
)
def test_npy_headers_that_lie(content: bytes, words: str) -> None:
    with pytest.raises(MemberError, match=words) as caught:
        parse_npy(content)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "change",
    [
        lambda i: i["records"].__setitem__("examples", [2**62] * 7),
        lambda i: i["records"].__setitem__("examples", [[1]] * 7),
        lambda i: i["records"].__setitem__("examples", [16.5] * 7),
        lambda i: i["records"].__setitem__("examples", ["16"] * 7),
        lambda i: i["records"].__setitem__("examples", {"0": 1}),
        lambda i: i["records"].__setitem__("examples", []),
        lambda i: i["records"].__setitem__("shard", [0.0] * 7),
        lambda i: i["records"].__setitem__("shard", [2**70] * 7),
        lambda i: i["records"]["members"]["inputs"]["offset"].__setitem__(0, 2**63 - 1),
        lambda i: i["records"]["members"]["inputs"]["size"].__setitem__(0, -(2**62)),
        lambda i: i["records"]["members"]["inputs"]["xxh3"].__setitem__(0, "-1"),
        lambda i: i["records"]["members"]["inputs"]["xxh3"].__setitem__(0, 5),
        lambda i: i["records"]["members"].pop("labels"),
        lambda i: i["columns"]["inputs"].__setitem__("row_shape", [4]),
        lambda i: i["columns"]["inputs"].__setitem__("row_shape", []),
        lambda i: i["columns"]["inputs"].__setitem__("row_shape", [2**62, 4]),
        lambda i: i["columns"]["inputs"].__setitem__("row_shape", "16"),
        lambda i: i["columns"]["inputs"].__setitem__("codec", "gz"),
        lambda i: i["columns"]["inputs"].__setitem__("dtype", ["|u1"]),
        lambda i: i["columns"].__setitem__("../x", i["columns"]["inputs"]),
        lambda i: i["shards"][0].__setitem__("bytes", "10"),
        lambda i: i["shards"][0].__setitem__("bytes", 2**63),
        lambda i: i["shards"][0].__setitem__("bytes", None),
        lambda i: i["shards"][0].__setitem__("name", 5),
        lambda i: i.__setitem__("version", None),
        lambda i: i.__setitem__("records", None),
        lambda i: i.__setitem__("columns", []),
    ],
)
def test_hostile_index(dataset: Path, change: Callable[[Any], object]) -> None:
    file = dataset / "train" / "index.json"
    index = json.loads(file.read_text())
    change(index)
    file.write_text(json.dumps(index))
    expect(dataset, "train", "row" if "row_shape" in str(change) else "")


def test_zstd_columns_cannot_claim_more_than_a_member_holds(tmp_path: Path) -> None:
    path = write_online(tmp_path / "d", chunk_examples=16, compression="zst")
    file = path / "train" / "index.json"
    index = json.loads(file.read_text())
    assert index["columns"]["inputs"]["codec"] == "zst"
    index["records"]["examples"] = [1 << 27] * len(index["records"]["examples"])
    file.write_text(json.dumps(index))
    expect(path, "more than a member can hold")


@pytest.mark.parametrize("text", ["[" * 5000, '{"a":' * 5000, '{"version": 1, "version": 1}', "1"])
@pytest.mark.parametrize("name", ["dataset.json", "train/index.json"])
def test_json_that_is_none(dataset: Path, name: str, text: str) -> None:
    (dataset / name).write_text(text)
    expect(dataset, name)


def rewrite_meta(path: Path, **changes: Any) -> None:
    """A `dataset.json` with values changed and the fingerprint made to agree."""
    meta = dataclasses.replace(read_meta(path), **changes)
    meta = dataclasses.replace(meta, fingerprint=fingerprint(meta))
    (path / "dataset.json").write_text(meta_to_json(meta))


@pytest.mark.parametrize(
    "changes",
    [
        {"vocab_size": 2**40},
        {"vocab_size": 257},
        {"vocab_size": True},
        {"seq_len": 0},
        {"seq_len": 2**40},
        {"seq_len": 17},
        {"pad_id": 6},
        {"pad_id": -1},
        {"pad_id": 2**70},
        {"pad_id": None},
        {"ignore_label_id": "0"},
        {"ignore_label_id": 2**40},
        {"num_puzzle_identifiers": 2**31},
        {"num_puzzle_identifiers": 1.0},
        {"blank_identifier_id": 1},
        {"board": []},
        {"board": {"height": "4"}},
        {"board": {"height": 5, "width": 5, "box_height": 5, "box_width": 1}},
        {"augmentation": None},
        {"augmentation": {"kind": "sudoku"}},
        {"augmentation": {"kind": "sudoku", "count": -1, "seed": 0}},
        {"augmentation": {"kind": "sudoku", "count": 2**40, "seed": 0}},
        {"augmentation": {"kind": "sudoku", "count": 1, "seed": 2**63}},
        {"builder": "x"},
        {"kind": None},
        {"storage": ["online"]},
    ],
)
def test_hostile_values_of_a_data_set(dataset: Path, changes: dict[str, Any]) -> None:
    rewrite_meta(dataset, **changes)
    expect(dataset, "")


@pytest.mark.parametrize(
    "changes",
    [
        {"stripes": [[2**40, 0], [1, 7]]},
        {"stripes": [[2**40, 1]], "records": 2**40},
        {"stripes": [[1]]},
        {"stripes": [[1, -7]]},
        {"stripes": [[1.0, 7]]},
        {"stripes": "x"},
        {"stripes": []},
        {"puzzles": 0},
        {"groups": -1},
        {"groups": 2**60},
        {"examples": 2**62},
        {"examples": 99},
        {"records": True},
        {"shards": 2},
        {"shards": 0, "sha256": []},
        {"sha256": [5]},
        {"sha256": None},
    ],
)
def test_hostile_counts_of_a_split(dataset: Path, changes: dict[str, Any]) -> None:
    splits: dict[str, SplitInfo] = dict(read_meta(dataset).splits)
    splits["train"] = dataclasses.replace(splits["train"], **changes)
    rewrite_meta(dataset, splits=splits)
    expect(dataset, "")


def test_identifiers_are_texts(dataset: Path) -> None:
    for text in ("[5]", "{}", '["a", "b"]', "[" * 5000, "null"):
        (dataset / "identifiers.json").write_text(text)
        expect(dataset, "identifiers.json", action=lambda p: open_dataset(p).identifiers())


@pytest.mark.parametrize(
    "address",
    [
        "pipe:touch /tmp/x",
        "pipe:cat x | sh",
        "s3://user:SECRET@host/data",
        "ftp://user:SECRET@host/x?token=SECRET",
        "file:///etc/passwd",
    ],
)
def test_addresses_are_refused_and_not_shown(address: str) -> None:
    for path in (address, Path(address)):
        with pytest.raises(ConfigError, match=r"data sets are not read|credentials") as caught:
            open_dataset(path)
        assert "SECRET" not in str(caught.value)


def test_values_that_are_right_pass(dataset: Path) -> None:
    assert isinstance(read_meta(dataset), DatasetMeta)
    rewrite_meta(dataset, extra={"from": {"the": ["future", 1]}})
    read_everything(dataset)
