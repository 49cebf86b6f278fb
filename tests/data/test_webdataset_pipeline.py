"""Shards as a webdataset pipeline: the same columns as `Dataset.read`, nothing unchecked."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks.tiny.data_sets import write_dense
from hrm_scale.base.errors import ConfigError, DataError
from hrm_scale.data import as_webdataset, open_dataset

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["none", "zstd"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_dense(tmp_path / "d", shard_bytes=9000, compression=request.param)


def test_records_are_those_of_the_data_set(path: Path) -> None:
    dataset = open_dataset(path)
    index = dataset.index("train")
    assert len(index.shards) > 1
    records = list(as_webdataset(path, "train"))
    assert [len(record["inputs"]) for record in records] == index.examples.tolist()
    assert all(record.keys() == index.columns.keys() for record in records)
    for name, wanted in dataset.read("train", list(index.columns), 0, 10**6).items():
        found = np.concatenate([record[name] for record in records])
        assert found.dtype == wanted.dtype
        assert (found == wanted).all()
    records[0]["inputs"][0] = 0  # arrays are the caller's own


def test_examples_one_by_one(path: Path) -> None:
    dataset = open_dataset(path)
    wanted = dataset.read("train", ["inputs", "groups"], 0, 10**6)
    examples = list(as_webdataset(path, "train", unbatched=True))
    assert (np.stack([example["inputs"] for example in examples]) == wanted["inputs"]).all()
    assert [int(example["groups"]) for example in examples] == wanted["groups"].tolist()


def test_options_reach_webdataset(path: Path) -> None:
    index = open_dataset(path).index("train")
    pipeline = as_webdataset(path, "train", nodesplitter=lambda sources: list(sources)[1:2])
    of_shard = index.examples[index.shard == 1].tolist()
    assert [len(record["groups"]) for record in pipeline] == of_shard
    assert len(of_shard) < index.records


def test_damage_is_an_error(path: Path) -> None:
    shard = path / "train" / "shard-00001.tar"
    content = bytearray(shard.read_bytes())
    content[512 + 130] ^= 1
    shard.write_bytes(content)
    pipeline = iter(as_webdataset(path, "train"))
    next(pipeline)
    with pytest.raises(DataError, match=r"shard-00001\.tar: record .* damaged"):
        list(pipeline)
    shard.write_bytes(content[:-1])
    with pytest.raises(DataError, match="shard-00001"):
        as_webdataset(path, "train")


def test_hostile_headers_are_refused_before_webdataset_reads_them(path: Path) -> None:
    shard = path / "train" / "shard-00000.tar"
    content = bytearray(shard.read_bytes())
    link = tarfile.TarInfo("000000.groups.npy")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    content[:512] = link.tobuf(tarfile.USTAR_FORMAT)
    shard.write_bytes(content)
    with pytest.raises(DataError, match="not a regular file"):
        list(as_webdataset(path, "train"))


@pytest.mark.parametrize(
    ("name", "message"),
    [("000000.other.npy", "other is not in the index"), ("x.json", "has no column groups")],
)
def test_columns_that_contradict_the_index_are_an_error(
    path: Path, name: str, message: str
) -> None:
    shard = path / "train" / "shard-00000.tar"
    content = bytearray(shard.read_bytes())
    header = tarfile.TarInfo.frombuf(bytes(content[:512]), "utf-8", "strict")
    assert header.name.startswith("000000.groups.npy")
    header.name = name
    content[:512] = header.tobuf(tarfile.USTAR_FORMAT)
    shard.write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(as_webdataset(path, "train"))


def test_only_folders_of_shards(tmp_path: Path) -> None:
    write_dense(tmp_path / "a")
    (tmp_path / "mix.yaml").write_text("sources: [{path: a}]")
    with pytest.raises(ConfigError, match="not a folder of shards"):
        as_webdataset(tmp_path / "mix.yaml", "train")
    with pytest.raises(DataError, match="no split"):
        as_webdataset(tmp_path / "a", "other")


_WORKERS = """
import torch
from hrm_scale.data import as_webdataset
loader = torch.utils.data.DataLoader(as_webdataset({path!r}, "train"), None, num_workers=2)
print(sorted(number for record in loader for number in record["groups"].tolist()))
"""


def test_workers_share_the_shards(tmp_path: Path) -> None:
    path = write_dense(tmp_path / "d", shard_bytes=9000)
    wanted = open_dataset(path).read("train", ["groups"], 0, 10**6)["groups"]
    assert run(_WORKERS.format(path=str(path))) == f"{sorted(wanted.tolist())}\n"


def test_the_example_of_the_documents(tmp_path: Path) -> None:
    path = write_dense(tmp_path / "d", shard_bytes=9000)
    text = (ROOT / "docs" / "data-format.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)
    (example,) = [block for block in blocks if "as_webdataset" in block]
    lines = run(example.replace('"DIR"', repr(str(path)))).splitlines()
    dataset = open_dataset(path)
    records, examples = dataset.split("train").records, dataset.split("train").examples
    assert len(lines) == records + -(-examples // 32)
    assert lines[records] == "torch.Size([32, 16]) torch.Size([32, 16])"


def run(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
