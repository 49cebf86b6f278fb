"""What is inside a data set: counts, fields, tokens, shards, ratings, first boards, provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from hrm_scale.base.untrusted import printable
from hrm_scale.data import Dataset, DatasetMeta

from .open_source import open_one
from .statistics import describe_split, spread

_BAR = 32
_SHARDS_LISTED = 8
_ROWS_LISTED = 14


def show_info(directory: str, *, as_json: bool, boards: int, full: bool) -> None:
    """Print a description of a data set. DataError when it is none, or damaged where it is read."""
    dataset = open_one(directory)
    info = describe(dataset, full=full)
    if as_json:
        print(json.dumps(info, indent=1))
        return
    lines = _head(directory, dataset.meta, info)
    for split, described in info["splits"].items():
        lines += ["", *_split_text(split, described, dataset.meta)]
        lines += _drawings(dataset, split, min(boards, described["examples"]))
    print("\n".join(map(printable, lines)))


def describe(dataset: Dataset, *, full: bool) -> dict[str, Any]:
    """Everything `info` says, as JSON types. full: statistics of every record."""
    meta = dataset.meta
    info = {
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
        "extra": meta.extra,
        "builder": meta.builder,
        "splits": {
            split: describe_split(dataset, split, full=full)
            for split in sorted(meta.splits, key=lambda name: (name != "train", name))
        },
    }
    if meta.has_variants:
        counts = np.array([count for _, _, count in dataset.tasks()[1:]])
        info["tasks"] = {"count": len(counts), "variants": spread(counts)} if len(counts) else {}
    return info


def _drawings(dataset: Dataset, split: str, count: int) -> list[str]:
    from .examples import Examples
    from .preview import draw_pair

    examples, lines = Examples(dataset, split), []
    for number in range(count):
        example = examples.at(number)
        lines += [f"  example {number}  {example.name}".rstrip()]
        lines += [f"    {line}" for line in draw_pair(example, dataset.meta.puzzle, colour=False)]
    return lines


def _head(directory: str, meta: DatasetMeta, info: Mapping[str, Any]) -> list[str]:
    puzzle = meta.puzzle
    title = puzzle.title
    if not puzzle.known:
        title = f"{meta.kind} {puzzle.height}x{puzzle.width}, a kind of which nothing is known"
    shown = {k: v for k, v in meta.augmentation.items() if not k.endswith("_sha256")}
    augmentation = ", ".join(f"{key} {value}" for key, value in shown.items())
    identifiers = f"{meta.num_puzzle_identifiers} (blank: {meta.blank_identifier_id})"
    if tasks := info.get("tasks"):
        v = tasks["variants"]
        identifiers += f", {tasks['count']} tasks with {v['min']} to {v['max']} variants each"
    lines = [
        f"{directory}",
        f"  kind          {title}, {meta.storage} storage",
        *_plugin(meta),
        f"  tokens        vocabulary {meta.vocab_size}, length {meta.seq_len}, padding "
        f"{meta.pad_id}, ignored label {meta.ignore_label_id}",
        f"  identifiers   {identifiers}",
        f"  augmentation  {augmentation}",
        f"  fingerprint   {meta.fingerprint}",
    ]
    lines += _rows("  builder", _flatten(meta.builder))
    extra = {key: value for key, value in meta.extra.items() if key not in ("augmented", "sources")}
    if extra:
        lines += _rows("  extra", _flatten(extra))
    return lines


def _plugin(meta: DatasetMeta) -> list[str]:
    """The file or package that defines the kind, where it is not a built-in one."""
    record = meta.builder.get("puzzle")
    if not (isinstance(record, dict) and record):
        return []
    return [f"  defined in    {record.get('source')}, class {record.get('class')}"]


def _split_text(split: str, info: Mapping[str, Any], meta: DatasetMeta) -> list[str]:
    lines = [
        f"split {split}: {info['groups']} groups, {info['puzzles']} puzzles, {info['examples']} "
        f"examples in {_count(info['records'], 'record')}, {_count(info['stripes'], 'stripe')}, "
        f"{_count(info['shards'], 'shard')}, {info['bytes']} bytes"
    ]
    if augmented := info.get("augmented"):
        stated = ", ".join(f"{value} {key}" for key, value in augmented.items())
        lines.append(f"  with all variants laid out: {stated}")
    lines += _field_table(info["fields"])
    lines += _shard_table(info["shard_table"])
    examined = info["examined"]
    note = ""
    if examined["records"] < examined["of"]:
        note = f" (of {examined['records']} of {examined['of']} records; --full reads all)"
    for name, counts in info["tokens"].items():
        share = 100 * info["pad_share"][name]
        rows = {_token_name(i, meta): n for i, n in enumerate(counts) if n}
        lines += _histogram(f"tokens of {name}, padding {share:.2f} %{note}", rows)
    for name in ("clues", "sources"):
        if name in info:
            lines += _histogram(f"{name}{note}", info[name])
    for name in ("inputs", "labels"):
        if "shapes" in info:
            lines += _histogram(f"grids of {name}{note}", info["shapes"][name])
    spreads = (("filled", "cells that the answer fills"), ("variants", "variants of a row"))
    for name, words in spreads:
        if name in info:
            lines.append(f"  {words}: {_spread_text(info[name])}{note}")
    rating = meta.puzzle.rating
    if (ratings := info.get("ratings")) and ratings["min"] == ratings["max"]:
        # A set without ratings has one number for all.
        lines.append(f"  {rating}: all {ratings['min']}{note}")
    elif ratings:
        lines += _histogram(f"{rating}: {_spread_text(ratings)}{note}", ratings["counts"])
    return lines


def _field_table(fields: Mapping[str, Mapping[str, Any]]) -> list[str]:
    width = max(len(name) for name in fields)
    lines = [f"  {'field':<{width}}  type  row         stored       payload  ratio  codec"]
    for name, field in fields.items():
        row = "x".join(map(str, field["shape"])) or "1"
        lines.append(
            f"  {name:<{width}}  {field['dtype']:<4}  {row:<5} {field['stored']:>12}  "
            f"{field['payload']:>12} {field['ratio']:>6.2f}  {field['codec']}"
        )
    return lines


def _shard_table(shards: list[dict[str, Any]]) -> list[str]:
    lines = ["  shard            records  examples         bytes  sha256"]
    for shard in shards[:_SHARDS_LISTED]:
        lines.append(
            f"  {shard['name']:<15} {shard['records']:>8} {shard['examples']:>9} "
            f"{shard['bytes']:>13}  {shard['sha256'][:12]}"
        )
    if len(shards) > _SHARDS_LISTED:
        lines.append(f"  ... and {len(shards) - _SHARDS_LISTED} more (--json lists all); of all:")
        for word, pick in (("min", np.min), ("median", np.median), ("max", np.max)):
            numbers = [int(pick([s[k] for s in shards])) for k in ("records", "examples", "bytes")]
            lines.append(f"  {word:<15} {numbers[0]:>8} {numbers[1]:>9} {numbers[2]:>13}")
    return lines


def _token_name(token: int, meta: DatasetMeta) -> str:
    return f"{token} = {meta.puzzle.tokens[token].name}"


def _spread_text(spread: Mapping[str, Any]) -> str:
    return (
        f"min {spread['min']}, median {spread['median']:g}, mean {spread['mean']}, "
        f"max {spread['max']}"
    )


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
            text = str(item)
            flat[f"{prefix}{key}"] = text if len(text) <= 200 else f"{text[:200]} ..."
    return flat


def _rows(title: str, rows: Mapping[str, str]) -> list[str]:
    shown = dict(list(rows.items())[:_ROWS_LISTED])
    width = max([len(name) for name in shown], default=0)
    lines = [title, *(f"    {name:<{width}}  {text}" for name, text in shown.items())]
    if len(rows) > len(shown):
        lines.append(f"    ... and {len(rows) - len(shown)} more (--json lists all)")
    return lines
