"""The block at the start of a run: what was decided, and why."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from hrm_scale.base.untrusted import printable

Row = tuple[str, str, str]


def render_banner(title: str, rows: Sequence[Row], width: int = 100) -> str:
    """Aligned lines `name  value  reason` under a title.

    rows: (name, value, reason); an empty reason is for values the user gave. Reasons that do
    not fit are wrapped below themselves, or start a line of their own after a long value.
    """
    rows = [(printable(name), printable(value), printable(why)) for name, value, why in rows]
    names = max((len(name) for name, _, _ in rows), default=0)
    values = min(max((len(value) for _, value, _ in rows), default=0), 32)
    indent = 2 + names + 2 + values + 2
    lines = [printable(title)]
    for name, value, reason in rows:
        head = f"  {name:<{names}}  {value:<{values}}".rstrip()
        wrapped = textwrap.wrap(reason, max(width - indent, 24)) if reason else []
        if wrapped and len(head) <= indent - 2:
            head = f"{head:<{indent}}{wrapped.pop(0)}"
        lines.append(head)
        lines += [" " * indent + line for line in wrapped]
    return "\n".join(lines)
