"""A run goes on with other processes or another engine: some rows of the table that
`python -m benchmarks.reliability.elastic` prints whole."""

from __future__ import annotations

import pytest

from benchmarks.parity.engines import BOUND
from benchmarks.reliability.elastic import CHANGES, Outcome, Shape, Table, compare
from benchmarks.reliability.ways import DDP_2, DDP_4, ONE, ZERO_3, End

pytestmark = [pytest.mark.slow, pytest.mark.multi]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    return Table(tmp_path_factory.mktemp("elastic"))


@pytest.mark.parametrize(
    ("old", "new", "refill"),
    [
        (Shape(DDP_2), Shape(ONE), "on_halt"),
        (Shape(DDP_2), Shape(ZERO_3), "on_halt"),
        (Shape(DDP_4, table="sharded"), Shape(DDP_2, table="sharded"), "always"),
    ],
    ids=str,
)
def test_it_draws_the_same_data_and_learns_the_same(
    old: Shape, new: Shape, refill: str, table: Table
) -> None:
    assert (old, new, refill) in CHANGES
    found = table.outcome(old, new, refill)
    assert found.same_data
    assert max(found.loss, found.parameters) <= BOUND, found


def test_another_sequence_of_data_is_seen(table: Table) -> None:
    one, other = (table.undisturbed(Shape(DDP_2), refill) for refill in ("on_halt", "always"))
    found = compare(End(one), End(other))
    assert not found.same_data
    assert found.loss > BOUND
    assert not Outcome(0.0, 2 * BOUND, same_data=True).ok
