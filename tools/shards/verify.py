"""`verify`: every byte of a data set and its index. `lint`: that, and what the bytes mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.data import Dataset, open_dataset
from hrm_scale.data.format.index import SplitIndex
from hrm_scale.data.format.meta import (
    DATASET_FILE,
    IDENTIFIERS_FILE,
    DatasetMeta,
    SplitInfo,
    read_meta,
)
from hrm_scale.data.format.values import out_of_range

from .members import check_headers, check_shards, load_index, sound_records
from .open_source import local_folder
from .report import Place, Report
from .structure import Structure
from .tables import TEST_FILE, VARIANTS_FILE, ArcTables, check_tables


class Meaning(Protocol):
    """Judges what the rows of a kind mean, record by record."""

    def begin(self, split: str, columns: Mapping[str, Any]) -> bool:
        """Whether the records of a split with these columns can be judged."""
        ...

    def record(
        self, place: Place, first: int, columns: Mapping[str, np.ndarray], *, first_stripe: bool
    ) -> None:
        """A record whose bytes and ranges are sound; `first` is its first example."""
        ...

    def finish(self) -> None:
        """After all splits."""
        ...

    def summary(self) -> str:
        """What was checked, in words."""
        ...


MeaningOf = Callable[[DatasetMeta, ArcTables | None, Report], Meaning | None]


def verify(directory: str, *, as_json: bool = False, strict: bool = False) -> None:
    """Print one line per check of bytes and index. DataError when anything is wrong."""
    run_checks(directory, None, as_json=as_json, strict=strict)


def run_checks(
    directory: str, meaning_of: MeaningOf | None, *, as_json: bool, strict: bool
) -> None:
    """Check a data set, with `meaning_of` also what its rows mean; print, and raise on faults."""
    path = local_folder(directory)
    report = Report(silent=as_json)
    dataset = _open(path, report)
    examples = 0
    if dataset is not None:
        examples = sum(info.examples for info in dataset.meta.splits.values())
        _check_all(dataset, report, meaning_of)
    report.close(directory, as_json=as_json, strict=strict, examples=examples)


def _open(path: Path, report: Report) -> Dataset | None:
    """The data set, or None and a finding. DataError when there is none at all."""
    if not (path / DATASET_FILE).is_file():
        read_meta(path)  # says what is missing
    try:
        meta = read_meta(path)
    except DataError as error:
        code = "E002" if "fingerprint" in str(error) else "E001"
        file = str(path / DATASET_FILE)
        report.found(code, str(error).removeprefix(f"{file}: "), file)
        return None
    lost = [split for split in meta.splits if not (path / split).is_dir()]
    for split in lost:
        report.found("E101", "the folder of the split is missing", str(path / split))
    if lost:
        return None
    # ConfigError for a plug-in that was not given.
    title = meta.puzzle.title
    report.sound(f"{DATASET_FILE}: {title}, {meta.storage}, fingerprint {meta.fingerprint}")
    return open_dataset(path)


def _check_all(dataset: Dataset, report: Report, meaning_of: MeaningOf | None) -> None:
    meta, path = dataset.meta, dataset.path
    _check_folder(path, meta, report)
    tables: ArcTables | None = None
    with report.surviving(str(path)):
        tables = check_tables(path, meta, report)
    meaning: Meaning | None = None
    if meaning_of is not None:
        with report.surviving(str(path / DATASET_FILE)):
            meaning = meaning_of(meta, tables, report)
    for split in sorted(meta.splits, key=lambda name: (name != "train", name)):
        with report.surviving(str(path / split)):
            _check_split(path / split, meta, meta.splits[split], report, meaning)
    if meaning is not None:
        with report.surviving(str(path)):
            meaning.finish()


def _check_folder(path: Path, meta: DatasetMeta, report: Report) -> None:
    known = {DATASET_FILE, IDENTIFIERS_FILE, *meta.splits}
    if meta.has_variants:
        known |= {VARIANTS_FILE, TEST_FILE}
    for entry in sorted(path.iterdir()):
        if entry.name not in known and not entry.name.startswith("."):
            report.found("W103", "not part of the data set", str(entry))


def _check_split(
    folder: Path, meta: DatasetMeta, info: SplitInfo, report: Report, meaning: Meaning | None
) -> None:
    split = folder.name
    intact = check_shards(folder, info, report)
    index = load_index(folder, info, meta, report, intact=intact)
    if index is None:
        return
    check_headers(folder, index, report)
    before = report.total
    structure = Structure(folder, info, index, meta)
    if meaning is not None and not meaning.begin(split, index.columns):
        meaning = None
    lost = _check_records(folder, meta, info, index, report, structure, meaning)
    report.check(f"{split}: xxh3, types, shapes, ranges of {index.records} records", before)
    if meaning is not None:
        report.check(f"{split}: {meaning.summary()}", before)
    if not lost:
        structure.judge(report)


def _check_records(
    folder: Path,
    meta: DatasetMeta,
    info: SplitInfo,
    index: SplitIndex,
    report: Report,
    structure: Structure,
    meaning: Meaning | None,
) -> int:
    """Judge every record on its own; the number of those that could not be."""
    first_stripe = int(info.stripe_records[0])
    judged = 0
    seen: dict[tuple[int, int], int] = {}
    hashes = [index.xxh3[name] for name in ("inputs", "labels") if name in index.columns]
    for place, record, columns in sound_records(folder, index, report):
        if problem := out_of_range(columns, meta):
            code = "E307" if problem.startswith("puzzle_identifiers") else "E301"
            report.found(code, problem, place)
            continue
        judged += 1
        structure.add(columns)
        # Of one puzzle only, a record may well be repeated in another stripe.
        if record < first_stripe and len(np.unique(columns["groups"])) > 1:
            content = int(hashes[0][record]), int(hashes[1][record])
            before = seen.setdefault(content, record)
            if before != record:
                report.found("E502", f"has the same boards as record {before:06d}", place)
        if meaning is not None:
            with report.surviving(place):
                first = int(index.first[record])
                meaning.record(place, first, columns, first_stripe=record < first_stripe)
    return index.records - judged
