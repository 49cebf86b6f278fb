"""What an evaluation leaves: lines on the terminal, and files in `output_dir`."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hrm_scale.base.files import replace_file
from hrm_scale.base.statistics import wilson
from hrm_scale.base.untrusted import printable
from hrm_scale.config.counts import parse_counts
from hrm_scale.evaluation.arc.aggregate import with_earlier, write_votes
from hrm_scale.evaluation.arc.score import score, submission
from hrm_scale.evaluation.arc.subsample import augmentation_curve
from hrm_scale.evaluation.failures import render
from hrm_scale.evaluation.plots import missing, plot_augmentations, plot_scaling, plot_steps
from hrm_scale.evaluation.report import render_curve, render_more, render_results, render_score
from hrm_scale.evaluation.scaling import render_scaling
from hrm_scale.evaluation.session import Found, Session


def document_of(session: Session, found: Found) -> dict[str, Any]:
    """All of it as plain data: the content of `results.json`."""
    config, restored = session.config, session.restored
    document: dict[str, Any] = {
        "checkpoint": str(restored.checkpoint.path),
        "step": restored.checkpoint.step,
        "weights": "averaged" if restored.averaged else "raw",
        "data": {
            "path": session.path,
            "fingerprint": session.dataset.meta.fingerprint,
            "split": config.split,
        },
        "limit": config.limit,
        "seed": config.seed,
        "halt_max_steps": session.most,
        "early_exit": config.early_exit,
        "processes": session.engine.ranks,
        "seconds": round(found.seconds, 3),
        "results": found.results,
    }
    count = int(found.results.get("count", 0))
    if count:
        exact = round(found.results["exact_accuracy"] * count)
        document["exact_interval"] = wilson(exact, count)
    for name in ("steps", "scaling", "breakdown", "paths"):
        if value := getattr(found, name):
            document[name] = value
    return document


def tell(session: Session, found: Found) -> None:
    """Print what was found."""
    data = printable(f"{session.path} ({session.config.split})")
    if found.results:
        print(render_results(found.results, session.restored.source, data))
        count = int(found.results["count"])
        print(f"time             {found.seconds:.1f} s, {count / found.seconds:.0f} examples/s")
    for block in render_more(found):
        print(f"\n{block}")
    if found.scaling:
        print(f"checkpoint  {printable(session.restored.source)}\ndata        {data}\n")
        print(render_scaling(found.scaling))


def write(session: Session, found: Found, document: dict[str, Any]) -> None:
    """Write the files into `output_dir`, and say which; votes are counted here, and told."""
    config = session.config
    folder = None if config.output_dir is None else Path(config.output_dir)
    files = _Files(folder)
    if found.votes is not None:
        _votes(session, found, document, files)
    files.json("results.json", document)
    if found.steps:
        files.csv("steps.csv", found.steps)
        files.plot("steps.png", plot_steps, found.steps)
    if found.scaling:
        files.csv("scaling.csv", found.scaling)
        files.plot("scaling.png", plot_scaling, found.scaling)
    if found.failures is not None:
        data = f"{session.path} ({config.split})"
        page = render(found.failures, str(session.restored.source), data)
        files.text("failures.html", page)
    files.say()


def _votes(session: Session, found: Found, document: dict[str, Any], files: _Files) -> None:
    assert found.votes is not None
    config, votes = session.config, found.votes
    if files.folder is not None:
        meta, step = session.dataset.meta, session.restored.checkpoint.step
        files.written.append(write_votes(files.folder, step, meta.fingerprint, votes))
        if config.aggregated_voting:
            votes = with_earlier(files.folder, step, meta.fingerprint, votes)
    scored = score(votes)
    print(f"\n{render_score(scored)}")
    document["arc"] = dataclasses.asdict(scored) | {"aggregated": config.aggregated_voting}
    if config.augmentation_counts:
        points = augmentation_curve(found.votes, parse_counts(config.augmentation_counts))
        print(f"\n{render_curve(points)}")
        rows = [_flat(dataclasses.asdict(point)) for point in points]
        document["augmentations"] = rows
        files.csv("augmentations.csv", rows)
        files.plot("augmentations.png", plot_augmentations, rows)
    files.json("submission.json", submission(votes), indent=None)


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Intervals as two columns each."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, tuple):
            flat[f"{name}_low"], flat[f"{name}_high"] = value
        else:
            flat[name] = value
    return flat


class _Files:
    """The files of one evaluation, each there as a whole or not at all; `folder` exists."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.written: list[Path] = []
        self._no_pictures = ""

    def text(self, name: str, content: str) -> None:
        if self.folder is not None:
            replace_file(self.folder / name, [content.encode()])
            self.written.append(self.folder / name)

    def json(self, name: str, content: Any, indent: int | None = 1) -> None:
        self.text(name, json.dumps(content, indent=indent) + "\n")

    def csv(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        text = io.StringIO()
        table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        self.text(name, text.getvalue())

    def plot(self, name: str, draw: Any, rows: Sequence[Mapping[str, Any]]) -> None:
        if self.folder is None:
            return
        self._no_pictures = missing()
        if self._no_pictures:
            return
        draw(rows, self.folder / name)
        self.written.append(self.folder / name)

    def say(self) -> None:
        """Tell what is where."""
        if self.written:
            print(f"\nwritten: {', '.join(map(printable, self.written))}")
        if self._no_pictures:
            print(f"no pictures: {self._no_pictures}")
