"""Arguments of programs: what is not a number of the allowed range is one line."""

from __future__ import annotations

import pytest

from hrm_scale.base.command_line import Parser, natural, positive, whole_number, workers
from hrm_scale.base.errors import ConfigError


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (natural, "0", ("-1", "x", "1.5", "", str(1 << 60))),
        (positive, "1", ("0", "x", "9" * 5000)),
        (workers, "1024", ("0", "1025")),
        (whole_number(3, 5), "5", ("2", "6")),
    ],
)
def test_number_types(kind: object, good: str, bad: tuple[str, ...]) -> None:
    parser = Parser(prog="program")
    parser.add_argument("--number", type=kind)  # type: ignore[arg-type]
    assert parser.parse_args([f"--number={good}"]).number == int(good)
    for text in bad:
        with pytest.raises(ConfigError) as caught:
            parser.parse_args([f"--number={text}"])
        assert "--number" in str(caught.value)
        assert len(str(caught.value)) < 200
