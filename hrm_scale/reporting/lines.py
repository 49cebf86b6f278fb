"""Numbers as one line of text. The same line goes to the terminal and to `log.txt`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

ETA = "perf/eta_seconds"
_GIB = float(1 << 30)


def duration(seconds: float) -> str:
    """`42s`, `3m07s`, `1h02m`, `2d03h`."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def _memory(size: float) -> str:
    return f"mem {size / _GIB:.2f} GiB"


# (metric, how it reads), in the order of the line. Metrics that are absent are left out.
_TRAIN_FIELDS: tuple[tuple[str, Callable[[float], str]], ...] = (
    ("train/lm_loss", lambda value: f"loss {value:.4f}"),
    ("train/exact_accuracy", lambda value: f"exact {value:.4f}"),
    ("train/accuracy", lambda value: f"cells {value:.4f}"),
    ("train/lr", lambda value: f"lr {value:.2e}"),
    ("perf/examples_per_second", lambda value: f"{value:.0f} ex/s"),
    ("perf/mfu", lambda value: f"MFU {value:.1%}"),
    ("perf/gflops", lambda value: f"{value:.0f} GFLOP/s"),
    ("perf/peak_memory_bytes", _memory),
    ("perf/data_wait", lambda value: f"data wait {value:.0%}"),
    (ETA, lambda value: f"ETA {duration(value)}"),
)


_EVAL_FIELDS: tuple[tuple[str, Callable[[float], str]], ...] = (
    ("lm_loss", lambda value: f"loss {value:.4f}"),
    ("q_halt_accuracy", lambda value: f"q-halt {value:.4f}"),
    ("steps", lambda value: f"steps {value:.1f}"),
    ("count", lambda value: f"{value:.0f} examples"),
)


def train_fields(values: Mapping[str, float]) -> str:
    """The numbers of a training step without the step itself."""
    if "perf/mfu" in values:  # it says the same as GFLOP/s, relative to the machine
        values = {key: value for key, value in values.items() if key != "perf/gflops"}
    return " | ".join(show(values[key]) for key, show in _TRAIN_FIELDS if key in values)


def train_line(step: int, total_steps: int | None, values: Mapping[str, float]) -> str:
    """`step 120/1000 | loss 0.4321 | exact 0.9120 | ...`"""
    total = "" if total_steps is None else f"/{total_steps}"
    return f"step {step}{total} | {train_fields(values)}"


def eval_line(step: int, values: Mapping[str, float]) -> str:
    """`eval at step 400 | exact 0.8500 (best baseline 0.0000) | cells 0.9700 (…) | …`"""
    fields = []
    for name, label in (("exact_accuracy", "exact"), ("accuracy", "cells")):
        if f"eval/{name}" not in values:
            continue
        trivial = [
            v
            for k, v in values.items()
            if k.startswith("eval/baseline/") and k.endswith(f"/{name}")
        ]
        said = [f"best baseline {max(trivial):.4f}"] if trivial else []
        if (raw := values.get(f"eval/raw/{name}")) is not None:
            said.insert(0, f"raw weights {raw:.4f}")
        beside = f" ({', '.join(said)})" if said else ""
        fields.append(f"{label} {values[f'eval/{name}']:.4f}{beside}")
    for name, show in _EVAL_FIELDS:
        if f"eval/{name}" in values:
            fields.append(show(values[f"eval/{name}"]))
    return f"eval at step {step} | {' | '.join(fields)}"


def lines_of(step: int, total_steps: int | None, values: Mapping[str, float]) -> list[str]:
    """The lines that a set of metrics makes: a training line, an evaluation line, or both."""
    lines: list[str] = []
    if any(key.startswith("train/") for key in values):
        lines.append(train_line(step, total_steps, values))
    if any(key.startswith("eval/") for key in values):
        lines.append(eval_line(step, values))
    return lines
