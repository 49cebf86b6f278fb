"""Broken off and started again, runs end bit for bit as undisturbed ones: some rows of the table
that `python -m benchmarks.reliability.exact` prints whole."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.reliability.exact import Matrix, Row, rows
from benchmarks.reliability.ways import DDP_2, ONE, ZERO_1, ZERO_2, ZERO_3, differences

pytestmark = [pytest.mark.slow, pytest.mark.multi]

CHOSEN = (
    Row(ONE, 4, "on_halt", "evaluation", signal.SIGKILL),
    Row(DDP_2, 4, "on_halt", "epoch edge"),
    Row(ZERO_1, 1, "always", "mid-epoch", signal.SIGKILL),
    Row(ZERO_2, 4, "on_halt", "evaluation", table="sharded"),
    Row(ZERO_3, 1, "always", "mid-epoch"),
)


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    return Matrix(tmp_path_factory.mktemp("exact"))


@pytest.mark.parametrize("row", CHOSEN, ids=lambda row: " ".join(str(row).split()))
def test_a_broken_run_ends_as_an_undisturbed_one(row: Row, matrix: Matrix) -> None:
    assert row in set(rows())
    assert matrix.verdict(row) == "ok"


def test_the_comparison_sees_one_bit_one_count_and_one_line(matrix: Matrix, tmp_path: Path) -> None:
    """...of the ends that the rows above were compared by."""
    whole, other = matrix.undisturbed(CHOSEN[0]), tmp_path / "other"
    for part, said in (("optimizer", "optimizer: 1 of"), ("carry-00000004-00000008", "carry: 1")):
        shutil.copytree(whole, other)
        file = sorted((other / "checkpoints").glob(f"step-*/{part}.safetensors"))[-1]
        tensors = load_file(file)
        name = next(name for name in tensors if tensors[name].dtype == torch.float32)
        tensors[name].view(torch.int32).view(-1)[-1] ^= 1
        save_file(tensors, file)
        _rehash(file)
        (found,) = differences(whole, other)
        assert found.startswith(said)
        shutil.rmtree(other)

    shutil.copytree(whole, other)
    file = sorted((other / "checkpoints").glob("step-*/state.json"))[-1]
    file.write_text(json.dumps({**json.loads(file.read_text()), "evaluated": 3}))
    _rehash(file)
    lines = (other / "metrics.jsonl").read_text().splitlines()
    changed = {**json.loads(lines[1]), "eval/accuracy": 0.5}
    (other / "metrics.jsonl").write_text("\n".join([lines[0], json.dumps(changed), *lines[2:]]))
    state, metrics = differences(whole, other)
    assert state.startswith("state.evaluated: ")
    assert metrics.endswith("eval/accuracy")


def _rehash(file: Path) -> None:
    """Make the manifest agree with a file again."""
    import hashlib

    manifest = file.with_name("manifest.json")
    document = json.loads(manifest.read_text())
    data = file.read_bytes()
    entry = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    document["files"][file.name] |= entry
    manifest.write_text(json.dumps(document))
