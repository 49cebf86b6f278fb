"""Evaluate a checkpoint: ``python -m hrm_scale.evaluate checkpoint=RUN [limit=1000]``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrm_scale.base.errors import run_cli
from hrm_scale.base.output import make_folder
from hrm_scale.base.worker_exit import reported_once
from hrm_scale.config.entry import resolve

if TYPE_CHECKING:
    from hrm_scale.config.schema_inference import EvaluateConfig
    from hrm_scale.engine import Engine

DESCRIPTION = "Evaluate a checkpoint: exact accuracy beside three trivial baselines."

# How a training run calls what an evaluation calls otherwise.
_TRAINING_NAMES = {"arch.halt_max_steps": "halt_max_steps", "global_batch_size": "batch_size"}


def main(arguments: list[str]) -> int:
    with reported_once():  # every process reads the same arguments
        resolved = resolve(arguments, DESCRIPTION, "evaluate")
    if resolved is not None:
        from hrm_scale.engine.fate import lost_peers

        with lost_peers():
            run(resolved.run)
            _processes(resolved.run.engine.device).close()
    return 0


def evaluate_checkpoint(
    checkpoint_path: str | os.PathLike[str],
    data_path: str | os.PathLike[str] | None = None,
    output_dir: str | os.PathLike[str] | None = None,
    config_overrides: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Evaluate a checkpoint from a program, as the command does; returns what `results.json` holds.

    config_overrides: keys of `python -m hrm_scale.evaluate --help`, dotted or nested; the training
    names `arch.halt_max_steps` and `global_batch_size` are understood as well. Under a launcher
    every process calls it, and every one gets the results. Raises HrmError, one line.
    """
    from hrm_scale.config.compose import compose
    from hrm_scale.config.leaves import flatten
    from hrm_scale.config.values import format_value

    given: dict[str, Any] = {"checkpoint": os.fspath(checkpoint_path)}
    for name, path in (("data_path", data_path), ("output_dir", output_dir)):
        if path is not None:
            given[name] = os.fspath(path)
    for name, value in flatten(config_overrides or {}):
        if isinstance(value, list | tuple):
            value = ",".join(map(str, value))
        given[_TRAINING_NAMES.get(name, name)] = value
    # Text is taken as it stands on the command line, so it needs no quotes here either.
    settings = [
        f"{name}={value if isinstance(value, str) else format_value(value)}"
        for name, value in given.items()
    ]
    return run(compose(settings, "evaluate").run)


def run(config: EvaluateConfig) -> dict[str, Any]:
    """Evaluate as configured, print what was found, write the files; returns the document."""
    from hrm_scale.evaluation.outputs import report
    from hrm_scale.evaluation.session import Session

    engine = _processes(config.engine.device)
    with engine.shared_fate():
        if config.output_dir is not None and engine.rank == 0:
            make_folder(Path(config.output_dir), "output_dir")
        session = Session(config, engine)
    found = session.run()
    document = {}
    with engine.shared_fate():
        if engine.rank == 0:
            document = report(session, found)
    first: dict[str, Any] = engine.gather_objects(document)[0]
    return first


@lru_cache(maxsize=1)
def _processes(device: str) -> Engine:
    """The processes that share the work; joined once, however many evaluations a program makes."""
    from hrm_scale.engine import PlainEngine
    from hrm_scale.evaluation.restore import pick_device

    pick_device(device)
    # Some may be slower than others, and they meet at the end only.
    return PlainEngine(device, timedelta(hours=6))


if __name__ == "__main__":
    run_cli(main)
