"""How the ends of two runs of the same settings differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.tiny.runs import assert_same_bits, metrics_of, saved_steps, tensors_of


def unlearned(before: Path, after: Path) -> list[str]:
    """Moments that are the same bits in both runs: runs that do nothing have equal ends too."""
    old, new = tensors_of(before), tensors_of(after)
    names = [name for name in old if name.startswith("optimizer/")]
    return [name for name in names if old[name].equal(new[name])]


def differences(whole: Path, broken: Path) -> list[str]:
    """What differs between the ends of two runs, one line each."""
    found = []
    if (a := saved_steps(whole)[-1]) != (b := saved_steps(broken)[-1]):
        return [f"last checkpoint: step {a} and step {b}"]
    try:
        assert_same_bits(tensors_of(whole), tensors_of(broken))
    except AssertionError as error:
        found.append(f"tensors: {error}")
    ours, theirs = metrics_of(whole), metrics_of(broken)
    found += [f"metrics.jsonl: {a} and {b}" for a, b in zip(ours, theirs, strict=False) if a != b][
        :3
    ]
    if len(ours) != len(theirs):
        found.append(f"metrics.jsonl: {len(ours)} and {len(theirs)} lines")
    one, other = _state(whole, a), _state(broken, b)
    names = sorted(one.keys() | other.keys())
    found += [
        f"state.json: {name}: {one.get(name)} and {other.get(name)}"
        for name in names
        if one.get(name) != other.get(name)
    ]
    return found


def _state(run: Path, step: int) -> dict[str, Any]:
    """state.json without measured times and the name of the run folder."""
    text = (run / "checkpoints" / f"step-{step:08}" / "state.json").read_text()
    state: dict[str, Any] = json.loads(text.replace(str(run), "RUN"))
    del state["clock"]
    return state
