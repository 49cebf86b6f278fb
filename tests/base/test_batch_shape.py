"""How a global batch is divided: every slot once, and one message where it cannot be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrm_scale.base.batch_shape import BatchShape
from hrm_scale.base.errors import ConfigError


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 9))
def test_slots_are_shared_out_without_gap_or_overlap(
    ranks: int, accumulation: int, rows: int
) -> None:
    size = ranks * accumulation * rows
    shape = BatchShape(size, accumulation, ranks)
    assert (shape.rows, shape.micro_batch_size) == (rows, rows * ranks)
    ranges = [shape.slots(micro, rank) for micro in range(accumulation) for rank in range(ranks)]
    assert [slot for start, stop in ranges for slot in range(start, stop)] == list(range(size))


@pytest.mark.parametrize(
    ("size", "accumulation", "world_size", "multiple"),
    [(64, 4, 3, 12), (10, 4, 1, 4), (0, 1, 2, 2), (6, 6, 4, 24), (7, 1, 2, 2)],
)
def test_a_batch_that_cannot_be_divided_is_refused(
    size: int, accumulation: int, world_size: int, multiple: int
) -> None:
    with pytest.raises(ConfigError, match=f"a multiple of {multiple}(,|$)") as caught:
        BatchShape(size, accumulation, world_size)
    assert f"global_batch_size={size}" in str(caught.value)
    assert (f"engine.accumulation={accumulation}" in str(caught.value)) == (accumulation > 1)


def test_the_message_speaks_of_the_setting_that_was_typed() -> None:
    with pytest.raises(ConfigError, match=r"^--batch=9 .* 2 processes with --accumulation=3:"):
        BatchShape(9, 3, 2, ("--batch", "--accumulation"))
