"""The listing of ``--show``: every setting, its value, and where the value came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hrm_scale.config.keys import SECTIONS, section_of
from hrm_scale.config.leaves import leaves
from hrm_scale.config.values import format_value

if TYPE_CHECKING:
    from hrm_scale.config.compose import Resolved

_LONGEST_ALIGNED = 60


def render_show(resolved: Resolved[Any]) -> str:
    """Lines ``key = value    # where it came from``, grouped by section, in columns.

    The part before ``#`` of each line is a valid override of the same run.
    """
    rows = [
        (key, f"{key} = {format_value(value, key)}", resolved.provenance[key])
        for key, value in leaves(resolved.run)
    ]
    # One very long path must not push every comment out of sight.
    width = max(len(text) for _, text, _ in rows if len(text) <= _LONGEST_ALIGNED)
    lines: list[str] = []
    section = None
    for key, text, source in rows:
        if section_of(key) != section:
            section = section_of(key)
            title = SECTIONS[section]
            lines += ["", f"# {section}: {title}" if section else f"# {title}"]
        lines.append(f"{text:<{width}}    # {source}")
    return "\n".join(lines[1:])
