"""Numbers about a split, from all its records or a sample: fields, tokens, shapes, shards."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hrm_scale.base.counter import make_key, permutation
from hrm_scale.data import Dataset, DatasetMeta

SAMPLE_BYTES = 64 << 20
"""Decoded bytes of a split that a description looks at without `full`."""
_MOST_SHAPES = 10
_RATING_EDGES = (0, 1, 3, 11, 31, 61, 101)
_SAMPLE_PURPOSE = 7  # the stream of subsets; any fixed choice would do


def describe_split(dataset: Dataset, split: str, *, full: bool) -> dict[str, Any]:
    """Everything `info` says of a split, as JSON types."""
    meta, info, index = dataset.meta, dataset.split(split), dataset.index(split)
    reader = dataset.reader(split)
    reader.check_sizes()
    records = _sample(index.records, index.examples, index.columns, full=full)
    values: dict[str, list[np.ndarray]] = {}
    tokens = {name: np.zeros(256, np.int64) for name in ("inputs", "labels")}
    puzzle = meta.puzzle
    clues: Counter[int] = Counter()
    filled: Counter[int] = Counter()
    kept = [name for name in ("ratings", "sources", "shapes", "variants") if name in index.columns]
    for record in records:
        columns = reader.columns(record, [*tokens, *kept])
        for name, total in tokens.items():
            total += np.bincount(columns[name].ravel(), minlength=256)
        if puzzle.blank is not None:
            given = (columns["inputs"] != puzzle.blank) & (columns["inputs"] != meta.pad_id)
            clues.update(given.sum(axis=1).tolist())
        if not puzzle.has_tasks:
            filled.update((columns["inputs"] != columns["labels"]).sum(axis=1).tolist())
        for name in kept:
            values.setdefault(name, []).append(np.array(columns[name]))
    joined = {name: np.concatenate(parts) for name, parts in values.items()}
    examined = int(index.examples[records].sum())
    result: dict[str, Any] = {
        "groups": info.groups,
        "puzzles": info.puzzles,
        "examples": info.examples,
        "records": info.records,
        "stripes": len(info.stripe_records),
        "shards": info.shards,
        "bytes": sum(shard.bytes for shard in index.shards),
        "examined": {"records": len(records), "of": index.records, "examples": examined},
        "fields": _fields(index),
        "shard_table": _shards(index),
        "sha256": info.sha256,
        "columns": {
            name: f"{spec.dtype} {list(spec.row_shape)}" for name, spec in index.columns.items()
        },
        "tokens": {name: total[: meta.vocab_size].tolist() for name, total in tokens.items()},
        "pad_share": {
            name: round(int(total[meta.pad_id]) / max(1, int(total.sum())), 6)
            for name, total in tokens.items()
        },
    }
    if isinstance(stated := meta.extra.get("augmented"), dict) and split in stated:
        result["augmented"] = stated[split]
    if clues:
        result["clues"] = {str(n): clues[n] for n in sorted(clues)}
    if filled:
        result["filled"] = spread(np.array(list(filled.elements())))
    if "ratings" in joined:
        result["ratings"] = _ratings(joined["ratings"], puzzle.rating_edges or _RATING_EDGES)
    if "sources" in joined:
        result["sources"] = _sources(joined["sources"], meta)
    if "shapes" in joined:
        result["shapes"] = _shapes(joined["shapes"])
    if "variants" in joined:
        result["variants"] = spread(joined["variants"])
    return result


def _sample(records: int, examples: np.ndarray, columns: Mapping[str, Any], *, full: bool) -> Any:
    """Numbers of the records to look at, in order: all, or a fixed random choice of some."""
    row = sum(spec.row_bytes for spec in columns.values())
    size = int(examples.sum()) * row
    wanted = records if full else max(1, min(records, records * SAMPLE_BYTES // max(1, size)))
    if wanted == records:
        return list(range(records))
    return np.sort(permutation(make_key(_SAMPLE_PURPOSE, 0), records)[:wanted]).tolist()


def _fields(index: Any) -> dict[str, dict[str, Any]]:
    """dtype, shape, codec, bytes as stored and unpacked of every column."""
    fields = {}
    for name, spec in index.columns.items():
        stored = int(index.size[name].sum())
        payload = int(index.first[-1]) * spec.row_bytes
        fields[name] = {
            "dtype": spec.dtype,
            "shape": list(spec.row_shape),
            "codec": spec.codec,
            "stored": stored,
            "payload": payload,
            "ratio": round(payload / max(1, stored), 3),
        }
    return fields


def _shards(index: Any) -> list[dict[str, Any]]:
    records = np.bincount(index.shard, minlength=len(index.shards))
    examples = np.bincount(index.shard, weights=index.examples, minlength=len(index.shards))
    return [
        {
            "name": shard.name,
            "records": int(records[number]),
            "examples": int(examples[number]),
            "bytes": shard.bytes,
            "sha256": shard.sha256,
        }
        for number, shard in enumerate(index.shards)
    ]


def spread(values: np.ndarray) -> dict[str, Any]:
    """Smallest, median, mean and largest."""
    return {
        "min": int(values.min()),
        "median": float(np.median(values)),
        "mean": round(float(values.mean()), 3),
        "max": int(values.max()),
    }


def _ratings(ratings: np.ndarray, lower: Sequence[int]) -> dict[str, Any]:
    edges = [*lower, max(int(ratings.max()), lower[-1]) + 1]
    counts, _ = np.histogram(ratings, bins=edges)
    labels = [
        f"{first}" if last == first + 1 else f"{first}-{last - 1}"
        for first, last in itertools.pairwise(edges)
    ]
    labels[-1] = f">= {edges[-2]}"
    return {**spread(ratings), "counts": dict(zip(labels, counts.tolist(), strict=True))}


def _sources(sources: np.ndarray, meta: DatasetMeta) -> dict[str, int]:
    names = meta.extra.get("sources", [])
    counts = np.bincount(sources)
    return {
        str(names[i]) if i < len(names) else f"source {i}": int(counts[i])
        for i in np.flatnonzero(counts).tolist()
    }


def _shapes(shapes: np.ndarray) -> dict[str, dict[str, int]]:
    """The most frequent grid sizes, `height x width`, of inputs and of outputs."""
    result = {}
    for name, part in (("inputs", shapes[:, :2]), ("labels", shapes[:, 2:])):
        counts = Counter(f"{h}x{w}" for h, w in part.tolist())
        most = dict(counts.most_common(_MOST_SHAPES))
        if rest := len(part) - sum(most.values()):
            most[f"{len(counts) - len(most)} others"] = rest
        result[name] = most
    return result
