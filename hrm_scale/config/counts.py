"""Lists of numbers in one setting: ``steps=1,2,4,8``."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

_MOST = 10**6


def parse_counts(text: str) -> tuple[int, ...]:
    """The numbers of ``1,2,4``, ascending, each once."""
    return tuple(sorted({int(part) for part in text.split(",")}))


def _checked(value: object) -> object:
    if value is None:
        return None
    if isinstance(value, list | tuple):
        value = ",".join(map(str, value))
    text = str(value).strip().strip("[]").replace(" ", "")
    if not re.fullmatch(r"[0-9]{1,9}(,[0-9]{1,9})*", text):
        raise PydanticCustomError("counts", "is no list of numbers such as 1,2,4,8")
    if not all(1 <= number <= _MOST for number in parse_counts(text)):
        raise PydanticCustomError("counts", "has a number that is not between 1 and 1000000")
    return text


Counts = Annotated[
    str | None,
    BeforeValidator(_checked),
    Field(json_schema_extra={"allowed": "numbers with commas between them, such as 1,2,4,8"}),
]
