"""How a value is written in messages and listings: as it would be typed on the command line."""

from __future__ import annotations

import json
import re

from hrm_scale.base.untrusted import printable
from hrm_scale.config.durations import format_duration

_LONGEST = 500  # characters of a text
_PLAIN = re.compile(r"[\w./:@+,*?%$~\\{}-]+")


def format_value(value: object, key: str = "") -> str:
    """One line of text for a value of any type; `key` chooses the spelling of times."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if key == "max_time" and isinstance(value, float):
        return format_duration(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        # A file from elsewhere may hold a text of any length, and this goes into messages.
        value = value if len(value) <= _LONGEST else f"{value[:_LONGEST]}..."
        return (
            value if _PLAIN.fullmatch(value) else printable(json.dumps(value, ensure_ascii=False))
        )
    text = printable(json.dumps(value, default=str, ensure_ascii=False))
    return text if len(text) <= 80 else f"{text[:77]}..."
