"""The viewer as one file that needs no server: a part of the data inside, compressed."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

from hrm_scale.base.files import replace_file
from hrm_scale.web.assets import single_page

from .api import ViewerApi

COPIES = 8
"""Copies of each group in the file: the original and the first augmentations."""


def export(api: ViewerApi, out: Path, limit: int) -> str:
    """Write the first `limit` groups of every split (of ARC: with the pairs of the same tasks in
    other splits) and their first copies. Returns what is in the file, in words."""
    chosen = {name: _first_groups(api, name, limit) for name in api.splits}
    document: dict[str, Any] = {"about": api.about(), "splits": {}}
    if api.puzzle.has_tasks:
        _add_related(api, chosen)
    parts = []
    for split, groups in chosen.items():
        listed = [api.groups(split, ordinal, 1)[0] for ordinal in sorted(groups)]
        details = {}
        for place, line in enumerate(listed):
            near = [
                listed[at]["group"] if 0 <= at < len(listed) else None
                for at in (place - 1, place + 1)
            ]
            copies = _copies(api, split, line["group"])
            for copy in copies:
                copy["ordinal"] = line["o"] = place
                copy["previous"], copy["next"] = near
            details[line["group"]] = copies
        document["splits"][split] = {"list": listed, "groups": details}
        total = api.meta.splits[split].groups
        parts.append(f"{split} {len(listed)} of {total} groups")
    document["contents"] = ", ".join(parts) + f"; up to {COPIES} copies of each"
    packed = zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 9)
    page = single_page("dataset", base64.b64encode(packed).decode())
    replace_file(out, [page.encode()])
    return document["contents"]


def _first_groups(api: ViewerApi, split: str, limit: int) -> set[int]:
    """Ordinals of the groups to include."""
    return set(range(min(limit, api.meta.splits[split].groups)))


def _add_related(api: ViewerApi, chosen: dict[str, set[int]]) -> None:
    """Also the groups of other splits that belong to the tasks chosen, so that links work."""
    for split, ordinals in [(name, sorted(found)) for name, found in chosen.items()]:
        for ordinal in ordinals:
            run = api.splits[split].index().run(ordinal)
            assert run is not None
            for other in api.group(split, run.group)["related"]:
                found = api.splits[other["split"]].index().find(other["group"])
                assert found is not None
                chosen[other["split"]].add(found.ordinal)


def _copies(api: ViewerApi, split: str, group: int) -> list[dict[str, Any]]:
    """The first copies of a group, with predictions where there is a model."""
    first = api.group(split, group, 0)
    numbers = range(min(COPIES, first["copies"]))
    copies = [first, *(api.group(split, group, number) for number in numbers[1:])]
    for number, copy in enumerate(copies):
        copy["included"] = len(copies)
        if api.predictor is not None:
            copy["predicted"] = api.predict(split, group, number)
    return copies
