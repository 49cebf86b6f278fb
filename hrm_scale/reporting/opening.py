"""The sinks of a training run, put together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hrm_scale.reporting import console
from hrm_scale.reporting.events import EventsSink
from hrm_scale.reporting.jsonl import JsonlSink
from hrm_scale.reporting.sinks import Reporter, Sink
from hrm_scale.reporting.wandb_sink import Mode as WandbMode
from hrm_scale.reporting.wandb_sink import WandbSink


def open_reporter(
    run_dir: Path,
    *,
    resume_step: int | None,
    evaluations: int | None = None,
    console_mode: console.Mode = "auto",
    wandb_mode: WandbMode = "auto",
    project: str = "",
    run_name: str = "",
    config: Mapping[str, Any] | None = None,
    is_first: bool = True,
) -> Reporter:
    """Console, `log.txt`, `metrics.jsonl`, `events.jsonl` and W&B of one run folder, to be started.

    resume_step: step of the restored checkpoint, None for a run from the beginning: lines of
    `metrics.jsonl` beyond it are cut, and of its evaluations all but so many (None: none).
    is_first: False on ranks other than 0, which stay silent.
    """
    if not is_first:
        return Reporter()
    sinks: list[Sink] = [
        console.console_sink(console_mode),
        console.TextLogSink(run_dir / "log.txt"),
        JsonlSink(run_dir / "metrics.jsonl", resume_step, evaluations),
        EventsSink(run_dir / "events.jsonl"),
    ]
    if wandb_mode != "off":
        sinks.append(
            WandbSink(
                run_dir, mode=wandb_mode, project=project, run_name=run_name, config=config or {}
            )
        )
    return Reporter(sinks)
