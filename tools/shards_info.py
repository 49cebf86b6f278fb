"""What is inside a data set: counts, tokens, clues, ratings, first boards, provenance."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hrm_scale.data.dataset import Dataset
from hrm_scale.data.format import DatasetMeta
from tools.shards_sudoku import geometry_of, side_by_side

_BAR = 32
_RATING_EDGES = (0, 1, 3, 11, 31, 61, 101)


def show_info(directory: Path, *, as_json: bool, boards: int) -> None:
    """Print a description of a data set. DataError when it is none, or damaged where it is read."""
    dataset = Dataset(directory)
    info = describe(dataset, boards=0 if as_json else max(0, boards))
    if as_json:
        print(json.dumps(info, indent=1, ensure_ascii=False))
    else:
        print("\n".join(_as_text(directory, dataset.meta, info)))


def describe(dataset: Dataset, *, boards: int) -> dict[str, Any]:
    """Everything `info` says, as JSON types; `boards` drawings of each split."""
    meta = dataset.meta
    return {
        "kind": meta.kind,
        "storage": meta.storage,
        "fingerprint": meta.fingerprint,
        "board": meta.board,
        "seq_len": meta.seq_len,
        "vocab_size": meta.vocab_size,
        "pad_id": meta.pad_id,
        "ignore_label_id": meta.ignore_label_id,
        "num_puzzle_identifiers": meta.num_puzzle_identifiers,
        "augmentation": meta.augmentation,
        "builder": meta.builder,
        "splits": {
            split: _describe_split(dataset, split, boards)
            for split in sorted(meta.splits, key=lambda name: (name != "train", name))
        },
    }


def _describe_split(dataset: Dataset, split: str, boards: int) -> dict[str, Any]:
    meta, info = dataset.meta, dataset.split(split)
    index = dataset.index(split)
    sudoku = meta.kind == "sudoku"
    extra = [name for name in ("ratings", "sources") if name in index.columns]
    tokens = {name: np.zeros(256, np.int64) for name in ("inputs", "labels")}
    clues = np.zeros(meta.seq_len + 1, np.int64)
    values: dict[str, list[np.ndarray]] = {name: [] for name in extra}
    drawings: list[list[str]] = []
    reader = dataset.reader(split)
    reader.check_sizes()
    for record in range(index.records):
        columns = reader.columns(record, [*tokens, *extra])
        for name, total in tokens.items():
            total += np.bincount(columns[name].ravel(), minlength=256)
        if sudoku:
            given = (columns["inputs"] > 1).sum(axis=1)
            clues += np.bincount(given, minlength=len(clues))
            for row in range(min(len(given), boards - len(drawings))):
                board = columns["inputs"][row], columns["labels"][row]
                drawings.append(side_by_side(*board, geometry_of(meta)))
        for name in extra:
            values[name].append(columns[name])
    result: dict[str, Any] = {
        "groups": info.groups,
        "puzzles": info.puzzles,
        "examples": info.examples,
        "records": info.records,
        "stripes": len(info.stripe_records),
        "shards": info.shards,
        "bytes": sum(shard.bytes for shard in index.shards),
        "sha256": info.sha256,
        "columns": {
            name: f"{spec.dtype} {list(spec.row_shape)}" for name, spec in index.columns.items()
        },
        "tokens": {name: total[: meta.vocab_size].tolist() for name, total in tokens.items()},
    }
    if sudoku:
        result["clues"] = {str(n): int(clues[n]) for n in np.flatnonzero(clues)}
    if "ratings" in values:
        result["ratings"] = _describe_ratings(np.concatenate(values["ratings"]))
    if "sources" in values:
        result["sources"] = _describe_sources(np.concatenate(values["sources"]), meta)
    if drawings:
        result["boards"] = drawings
    return result


def _describe_ratings(ratings: np.ndarray) -> dict[str, Any]:
    edges = [*_RATING_EDGES, max(int(ratings.max()) + 1, _RATING_EDGES[-1] + 1)]
    counts, _ = np.histogram(ratings, bins=edges)
    labels = [
        f"{first}" if last == first + 1 else f"{first}-{last - 1}"
        for first, last in itertools.pairwise(edges)
    ]
    labels[-1] = f">= {edges[-2]}"
    return {
        "min": int(ratings.min()),
        "median": float(np.median(ratings)),
        "mean": round(float(ratings.mean()), 3),
        "max": int(ratings.max()),
        "counts": dict(zip(labels, counts.tolist(), strict=True)),
    }


def _describe_sources(sources: np.ndarray, meta: DatasetMeta) -> dict[str, int]:
    names = meta.extra.get("sources", [])
    counts = np.bincount(sources)
    return {
        str(names[i]) if i < len(names) else f"source {i}": int(counts[i])
        for i in np.flatnonzero(counts).tolist()
    }


def _as_text(directory: Path, meta: DatasetMeta, info: Mapping[str, Any]) -> list[str]:
    board = meta.board
    size = f"{board['height']}x{board['width']}" if {"height", "width"} <= board.keys() else ""
    augmentation = ", ".join(f"{key} {value}" for key, value in meta.augmentation.items())
    lines = [
        f"{directory}",
        f"  kind          {meta.kind} {size}, {meta.storage} storage",
        f"  tokens        vocabulary {meta.vocab_size}, length {meta.seq_len}, padding "
        f"{meta.pad_id}, ignored label {meta.ignore_label_id}",
        f"  identifiers   {meta.num_puzzle_identifiers} (blank: {meta.blank_identifier_id})",
        f"  augmentation  {augmentation}",
        f"  fingerprint   {meta.fingerprint}",
    ]
    lines += _table("  builder", _flatten(meta.builder))
    for split, described in info["splits"].items():
        lines += ["", *_split_text(split, described, meta)]
    return lines


def _split_text(split: str, info: Mapping[str, Any], meta: DatasetMeta) -> list[str]:
    lines = [
        f"split {split}: {info['groups']} groups, {info['puzzles']} puzzles, {info['examples']} "
        f"examples in {_count(info['records'], 'record')}, {_count(info['stripes'], 'stripe')}, "
        f"{_count(info['shards'], 'shard')}, {info['bytes']} bytes",
        "  columns: " + ", ".join(f"{name} {text}" for name, text in info["columns"].items()),
    ]
    shown = info["sha256"][:4]
    lines += [f"  shard {number} sha256 {digest}" for number, digest in enumerate(shown)]
    if len(info["sha256"]) > len(shown):
        lines.append(f"  ... and {len(info['sha256']) - len(shown)} more (--json lists all)")
    for name, counts in info["tokens"].items():
        rows = {_token_name(i, meta): n for i, n in enumerate(counts) if n}
        lines += _histogram(f"tokens of {name}", rows)
    for name in ("clues", "sources"):
        if name in info:
            lines += _histogram(name, info[name])
    if "ratings" in info:
        r = info["ratings"]
        title = f"ratings: min {r['min']}, median {r['median']:g}, mean {r['mean']}, max {r['max']}"
        lines += _histogram(title, r["counts"])
    for number, drawing in enumerate(info.get("boards", [])):
        lines += [f"  example {number}", *(f"    {line}" for line in drawing)]
    return lines


def _token_name(token: int, meta: DatasetMeta) -> str:
    if token == meta.pad_id:
        return f"{token} PAD"
    if meta.kind == "sudoku":
        return f"{token} blank" if token == 1 else f"{token} digit {token - 1}"
    return str(token)


def _histogram(title: str, counts: Mapping[str, int]) -> list[str]:
    total, most = max(1, sum(counts.values())), max([1, *counts.values()])
    width = max([len(name) for name in counts], default=0)
    lines = [f"  {title}"]
    for name, count in counts.items():
        bar = "#" * round(_BAR * count / most)
        share = 100 * count / total
        lines.append(f"    {name:<{width}} {count:>10} {share:6.2f} %  {bar}".rstrip())
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat.update(_flatten(item, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = str(item)
    return flat


def _table(title: str, rows: Mapping[str, str]) -> list[str]:
    width = max([len(name) for name in rows], default=0)
    return [title, *(f"    {name:<{width}}  {text}" for name, text in rows.items())]
