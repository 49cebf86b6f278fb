"""What an evaluation leaves: lines on the terminal, and files in `output_dir`."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path
from typing import Any

from hrm_scale.base.untrusted import printable
from hrm_scale.evaluation.files import OutputFiles
from hrm_scale.evaluation.observers.base import EvalResult
from hrm_scale.evaluation.session import Session


def report(session: Session, found: EvalResult) -> dict[str, Any]:
    """Print the tables and write the files; returns the content of `results.json`."""
    folder = session.config.output_dir
    files = OutputFiles(None if folder is None else Path(folder))
    result = _print_tables(session, found, files)
    document = _document(session, result)
    files.json("results.json", document)
    for metric in session.metrics:
        metric.write(result[metric.name], files)
    files.print_names()
    return document


def _print_tables(session: Session, found: EvalResult, files: OutputFiles) -> EvalResult:
    """Print a table per metric; returns the results, which are complete now."""
    counted = int(found["results"]["count"]) if "results" in found else None
    examples = "" if counted is None else f", {counted} examples"
    print(f"checkpoint  {printable(session.restored.source)}")
    print(f"data        {printable(session.data_name)}{examples}")
    result = {}
    for metric in sorted(session.metrics, key=attrgetter("print_order")):
        result[metric.name] = metric.finish(found[metric.name], files)
        if table := metric.render(result[metric.name]):
            print(f"\n{table}")
        if counted is not None and metric.name == "results":
            rate = counted / session.seconds
            print(f"time             {session.seconds:.1f} s, {rate:.0f} examples/s")
    return result


def _document(session: Session, result: EvalResult) -> dict[str, Any]:
    """All of it as plain data."""
    config, restored = session.config, session.restored
    document: dict[str, Any] = {
        "checkpoint": str(restored.checkpoint.path),
        "step": restored.checkpoint.step,
        "weights": "averaged" if restored.averaged else "raw",
        "data": {
            "path": session.path,
            "fingerprint": session.meta.fingerprint,
            "split": config.split,
        },
        "limit": config.limit,
        "seed": config.seed,
        "halt_max_steps": session.max_steps,
        "early_exit": config.early_exit,
        "processes": session.engine.ranks,
        "seconds": round(session.seconds, 3),
        "results": {},
    }
    for metric in session.metrics:
        document |= metric.document(result[metric.name])
    return document
