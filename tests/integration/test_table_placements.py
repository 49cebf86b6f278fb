"""Placements of the puzzle table over real processes, in training, and in the benchmark."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch

from benchmarks.table import parse
from benchmarks.tiny.data_sets import write_grouped
from benchmarks.tiny.ranks import run_ranks
from benchmarks.tiny.runs import assert_same_bits, call, make_halting_likely, tensors_of, train_here
from hrm_scale.base.errors import ConfigError
from hrm_scale.checkpoint import read_checkpoint, read_table
from hrm_scale.engine import PlainEngine
from hrm_scale.modelling import TABLE
from hrm_scale.optim.open_table import open_table
from hrm_scale.optim.puzzle_table import DeviceTable
from tests.support.table_walk import Walk, run_step, same_bits

pytestmark = [pytest.mark.slow, pytest.mark.multi]

CPU = torch.device("cpu")


def walks(ranks: int) -> list[Walk]:
    """More rows than ranks, fewer, and a last rank that owns less than the others."""
    return [Walk(seed=num, ranks=ranks, num=num, steps=5) for num in (40, 7, 2, 1)]


def walk_as_rank(folder: Path) -> None:
    """Walk as one of several processes and leave behind what was seen."""
    engine = PlainEngine("cpu")
    seen = []
    for walk in walks(engine.ranks):
        table = open_table("sharded", walk.num, walk.width, CPU, engine)
        lo, hi = table.owned
        table.load_rows(walk.start()[lo:hi])
        got = [run_step(table, step, engine.rank) for step in walk]
        found = table.lookup(torch.arange(walk.num).int().roll(engine.rank))
        seen.append((torch.stack(got), found, table.owned_rows().clone()))
    torch.save(seen, folder / f"{engine.rank}.pt")
    engine.close()


@pytest.mark.parametrize("ranks", [2, 3])
def test_a_table_over_processes_is_the_table_of_one(ranks: int, tmp_path: Path) -> None:
    run_ranks(ranks, partial(walk_as_rank, tmp_path))
    seen = [torch.load(tmp_path / f"{rank}.pt") for rank in range(ranks)]
    for number, walk in enumerate(walks(ranks)):
        for rank in range(ranks):
            got, found, _ = seen[rank][number]
            device = DeviceTable(walk.num, walk.width, CPU)
            device.load_rows(walk.start())
            assert same_bits(torch.stack([run_step(device, step, rank) for step in walk]), got)
            assert same_bits(device.owned_rows().roll(rank, 0), found)
        assert same_bits(torch.cat([part[number][2] for part in seen]), device.owned_rows())


def train(data: Path, run: Path, steps: int, placement: str) -> None:
    train_here(
        data,
        run,
        prepare=None if (run / "checkpoints").exists() else make_halting_likely,
        max_steps=steps,
        puzzle_emb_lr=1e-2,
        data__refill="on_halt",
        engine__accumulation=2,
        engine__puzzle_table=placement,
        # A table is read between steps, too.
        evaluation__every_steps=7,
        checkpoint__every_steps=5,
        evaluation__full_at_end="false",
    )


def test_a_run_that_changes_its_placement_is_the_run_that_keeps_it(tmp_path: Path) -> None:
    data = write_grouped(tmp_path / "data", [[2, 1], [1], [1, 1, 1], [3]] * 3)
    kept, changed = tmp_path / "kept", tmp_path / "changed"
    for run, parts in (
        (kept, [(9, "device"), (20, "device")]),
        (changed, [(9, "sharded"), (14, "host"), (20, "sharded")]),
    ):
        for steps, placement in parts:  # each goes on with busy slots
            run_ranks(2, partial(train, data, run, steps, placement))
    expected, found = tensors_of(kept), tensors_of(changed)
    name = f"puzzle_table/{TABLE}"
    rows = len(expected[name])
    assert expected[name].any()
    pieces = sorted(part for part in found if part.startswith("puzzle_table"))
    assert len(pieces) == 2
    assert {len(found.pop(part)) for part in pieces} == {rows // 2, rows - rows // 2}
    checkpoint = read_checkpoint(changed)
    found[name] = read_table(checkpoint, TABLE, 0, rows)
    assert_same_bits(expected, found)
    for start, stop in ((0, 1), (rows // 2 - 1, rows // 2 + 2), (rows, rows)):
        part = read_table(checkpoint, TABLE, start, stop)
        assert_same_bits({"rows": part}, {"rows": expected[name][start:stop]})


def test_the_benchmark_finds_equal_rows_half_the_memory_and_few_collectives(
    tmp_path: Path,
) -> None:
    output = tmp_path / "figures.json"
    size = ("--rows", 300_000, "--width", 64, "--ranks", 2, "--batch", 32, "--steps", 3)
    done = call("benchmarks.table", *size, "--device", "cpu", "--output", output)
    assert done.returncode == 0, done.stderr
    rows = {row["placement"]: row for row in json.loads(output.read_text())["rows"]}
    assert list(rows) == ["device", "host", "sharded"]
    table = 300_000 * 64 * 4
    for name, row in rows.items():
        assert row["max_difference"] == 0
        assert row["sampled"] > 4096
        assert row["kept_bytes"] == (table // 2 if name == "sharded" else table)
        # A table that was never written would not be in memory; a second copy would be. Code that
        # is loaded at its first use takes some megabytes, too.
        assert row["kept_bytes"] < row["peak_bytes"] < row["kept_bytes"] + table // 2 + (24 << 20)
        assert row["median_s"] >= row["min_s"] > 0
        assert name in done.stdout
    assert [row["collectives"] for row in rows.values()] == [1, 1, 3]
    half, row_bytes = 16, 4 * 64
    assert rows["device"]["wire_bytes"] == half * (row_bytes + 4)
    assert rows["sharded"]["wire_bytes"] == 2 * half * (row_bytes + 4)


@pytest.mark.parametrize(
    "options", ["--rows 0", "--ranks 0", "--batch 5 --ranks 2", "--placements disk"]
)
def test_the_benchmark_refuses_what_cannot_be_run(options: str) -> None:
    with pytest.raises(ConfigError):
        parse(options.split())


def test_the_benchmark_says_that_gpus_are_missing() -> None:
    ranks = torch.cuda.device_count() + 1
    done = call(
        "benchmarks.table", "--rows", 9, "--ranks", ranks, "--batch", ranks, "--device", "cuda"
    )
    assert done.returncode == 5
    assert "type --device cpu" in done.stderr
    assert "Traceback" not in done.stderr
