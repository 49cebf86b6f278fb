"""Ranks agree one call late, and many of them at every few calls only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.tiny.ranks import run_ranks

pytestmark = pytest.mark.multi


@pytest.mark.parametrize(
    ("ranks_per_call", "expected"),
    # Rank r says 10 r + call at call 1, 2, ...; the largest is rank 1's.
    [(8, [0, 11, 12, 13, 14]), (1, [0, 0, 12, 0, 14])],
)
def test_the_largest_number_arrives_one_call_later(
    ranks_per_call: int, expected: list[int], tmp_path: Path
) -> None:
    def work() -> None:
        from hrm_scale.engine import PlainEngine, engine

        engine._RANKS_PER_CALL = ranks_per_call
        process = PlainEngine("cpu")
        heard = [process.agree(10 * process.rank + call, 0) for call in range(1, 6)]
        (tmp_path / f"{process.rank}.json").write_text(json.dumps(heard))
        process.close()

    run_ranks(2, work, seconds=60)
    for rank in range(2):
        heard = json.loads((tmp_path / f"{rank}.json").read_text())
        assert [first for first, _ in heard] == expected
        assert {second for _, second in heard} == {0}


def test_one_process_hears_itself_at_once() -> None:
    from hrm_scale.engine import PlainEngine

    assert PlainEngine("cpu").agree(3, 1) == [3, 1]
