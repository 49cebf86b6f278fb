"""docs/scale.md beside what `python -m hrm_scale.planning.scale` prints, and the sums behind it."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

from hrm_scale.planning.fleet import ZERO_BUCKET, cases, collectives, latency, sent, step
from hrm_scale.planning.scale import LOADER, TABLES, main

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "scale.md"


def test_the_documents_tables_are_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    text = DOCUMENT.read_text(encoding="utf-8")
    for make in TABLES.values():
        table = "\n".join(make())
        assert table in text
        assert set(table.splitlines()) <= set(printed)


def test_the_loaders_rates_are_the_measured_ones() -> None:
    for task, name in (("Sudoku", "loader"), ("ARC", "loader-arc")):
        file = ROOT / "benchmarks" / "results" / f"{name}-2core-cpu.json"
        readers = json.loads(file.read_text(encoding="utf-8"))["readers"]
        for reader, way in (("ours, online, no thread", "online"), ("ours, no thread", "dense")):
            assert readers[reader]["samples_per_s"] == pytest.approx(LOADER[task][way], rel=0.01)


def test_buckets_are_those_of_the_configurations() -> None:
    for name in ("h100_8x", "h100_multinode"):
        text = (ROOT / "ds_configs" / f"{name}.json").read_text(encoding="utf-8")
        zero = json.loads(text)["zero_optimization"]
        assert zero["reduce_bucket_size"] == zero["allgather_bucket_size"] == ZERO_BUCKET


@pytest.mark.parametrize(("stage", "per_parameter"), [(None, 8), (0, 8), (1, 10), (2, 10), (3, 6)])
def test_bytes_a_parameter(stage: int | None, per_parameter: int) -> None:
    case = cases()[0]
    gradients, parameters, table = sent(case, 1024, stage, 1024, "device")
    assert gradients + parameters == pytest.approx(
        per_parameter * case.parameters * 1023 / 1024, abs=4
    )
    assert table == 1023 * 4 * (case.width + 1)


def test_a_ring_grows_with_the_ranks_and_a_tree_with_their_logarithm() -> None:
    assert latency("all-gather", 1024, "bulk") == pytest.approx((896 * 3.4 + 127 * 9.6) / 1e6)
    assert latency("all-reduce", 1024, "bulk") == pytest.approx(2 * (7 * 28 + 7 * 50) / 1e6)
    assert latency("all-reduce", 8, "bulk") == pytest.approx(2 * 7 * 3.4 / 1e6)


def test_a_step_is_its_parts_and_never_below_the_launches() -> None:
    case = cases()[0]
    full, thin = step(case, 8, 768), step(case, 1024, 1024)
    assert full.total == full.compute + full.wire + full.latency
    assert thin.compute < thin.floor
    assert thin.total == thin.floor + thin.exchange
    assert thin.slow_wire == pytest.approx(8 * thin.wire)
    # More numbers than a bucket holds take more collectives.
    large = cases()[-1]
    assert math.ceil(large.parameters / ZERO_BUCKET) == 6
    assert collectives(large, 64, 1) > 5 * collectives(case, 64, 1) / 2


def test_linked_configurations_exist() -> None:
    links = re.findall(r"\]\(\.\./(ds_configs/[a-z0-9_]+\.yaml)\)", DOCUMENT.read_text("utf-8"))
    assert len(set(links)) == len(list((ROOT / "ds_configs").glob("*.yaml")))
    assert all((ROOT / link).is_file() for link in links)
