"""Range checks of the columns the trainer reads."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from hrm_scale.data.format.meta import DatasetMeta


def out_of_range(columns: Mapping[str, np.ndarray], meta: DatasetMeta) -> str | None:
    """What is wrong in words ("inputs holds 12, allowed is 0 to 10"), or None."""
    side = math.isqrt(meta.seq_len)
    limits = {
        "inputs": meta.vocab_size,
        "labels": meta.vocab_size,
        "puzzle_identifiers": meta.num_puzzle_identifiers,
        "groups": 1 << 31,
        "puzzles": 1 << 31,
        "variants": meta.num_puzzle_identifiers + 1,
        "shapes": side + 1,
        "offsets": side,
    }
    for name, array in columns.items():
        limit = limits.get(name)
        if limit is None or array.size == 0:
            continue
        top = int(array.max())
        bottom = int(array.min()) if array.dtype.kind == "i" else 0
        if name == "labels" and top == meta.ignore_label_id:
            top = int(array[array != top].max(initial=0))
        if top >= limit or bottom < 0:
            return f"{name} holds {top if top >= limit else bottom}, allowed is 0 to {limit - 1}"
    return None
