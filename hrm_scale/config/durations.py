"""Times as people write them: 45s, 30m, 2h, 1h30m, 1d, or a number of seconds."""

from __future__ import annotations

import math
import re

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_NUMBER = r"\d+(?:\.\d+)?"
_PARTS = re.compile("".join(rf"(?:({_NUMBER}){unit})?" for unit in _UNITS))

DURATION_FORM = "a time such as 45s, 30m, 2h or 1h30m, or a number of seconds, above 0"


def parse_duration(value: object) -> float:
    """Seconds of a time. Raises ValueError when it is not one, or not above zero."""
    if isinstance(value, bool):
        raise ValueError("is not a time")
    if isinstance(value, int | float):
        seconds = float(value)
    else:
        text = str(value).replace(" ", "").lower()
        match = _PARTS.fullmatch(text)
        if re.fullmatch(_NUMBER, text):
            seconds = float(text)
        elif text and match is not None:
            pairs = zip(match.groups(), _UNITS.values(), strict=True)
            seconds = sum(float(number) * unit for number, unit in pairs if number)
        else:
            raise ValueError("is not a time")
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError("is not a time above zero")
    return seconds


def format_duration(seconds: float) -> str:
    """The shortest spelling that `parse_duration` reads back as the same number of seconds."""
    if seconds != int(seconds) or seconds >= 1e15:
        return repr(seconds)
    rest, parts = int(seconds), []
    for unit, size in _UNITS.items():
        count, rest = divmod(rest, int(size))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
