"""Which curves share a panel of a run's picture, and how its axis reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hrm_scale.base.errors import ConfigError, nearest

from .history import METRICS
from .series import RunCurves

_GIB = float(1 << 30)


@dataclass(frozen=True)
class Curve:
    """A metric in a panel. points: few values, each marked (evaluations). detail: left out of a
    picture of several runs, which it would clutter."""

    metric: str
    label: str
    points: bool = False
    detail: bool = False


@dataclass(frozen=True)
class Panel:
    """Curves on one pair of axes. scale: `log`, `percent` or `linear`; values are divided by
    `unit`. from_zero: the axis shows zero, so heights can be compared."""

    title: str
    unit_label: str
    curves: tuple[Curve, ...]
    scale: str = "linear"
    unit: float = 1.0
    from_zero: bool = False


DEFAULT = (
    Panel(
        "Loss",
        "nats",
        (
            Curve("train/lm_loss", "train"),
            Curve("eval/lm_loss", "evaluation", points=True),
            Curve("train/q_halt_loss", "q-halt, train", detail=True),
            Curve("train/q_continue_loss", "q-continue, train", detail=True),
        ),
        scale="log",
    ),
    Panel(
        "Exact accuracy",
        "% of puzzles",
        (
            Curve("train/exact_accuracy", "train"),
            Curve("eval/exact_accuracy", "evaluation", points=True),
        ),
        scale="percent",
    ),
    Panel("Learning rate", "lr", (Curve("train/lr", "train"),), from_zero=True),
    Panel("Halting steps", "steps until halted", (Curve("train/steps", "train"),), from_zero=True),
    Panel(
        "Throughput", "examples/s", (Curve("perf/examples_per_second", "train"),), from_zero=True
    ),
    Panel(
        "Peak memory",
        "GiB",
        (Curve("perf/peak_memory_bytes", "train"),),
        unit=_GIB,
        from_zero=True,
    ),
)
_KINDS = {"train": "train", "eval": "evaluation", "perf": "train"}
MAX_PANELS = 12


def choose(names: Sequence[str], runs: Sequence[RunCurves]) -> tuple[Panel, ...]:
    """A panel for each name, which is a metric or what follows the `/` of several.

    Without names the usual six. Raises ConfigError for a name that no run has reported.
    """
    if not names:
        return DEFAULT
    if len(names) > MAX_PANELS:
        raise ConfigError(
            f"--metrics names {len(names)} panels, one picture takes up to {MAX_PANELS}: draw two"
        )
    known = sorted({metric for run in runs for metric in run.series})
    return tuple(_panel(name, known, [run.folder for run in runs]) for name in names)


def _panel(name: str, known: list[str], folders: Sequence[Path]) -> Panel:
    found = [metric for metric in known if metric == name or metric.partition("/")[2] == name]
    # Training first, as its curve is the longer one; baselines keep their whole name.
    found.sort(key=lambda metric: (not metric.startswith("train/"), metric))
    if not found:
        where = " and ".join(str(folder / METRICS) for folder in folders[:2])
        short = [metric.partition("/")[2] for metric in known]
        raise ConfigError(
            f"--metrics {name}: not in {where}.{nearest(name, [*known, *short])}"
            f" There are: {', '.join(known)}"
        )
    curves = tuple(
        Curve(metric, _KINDS.get(metric.partition("/")[0], metric), metric.startswith("eval/"))
        for metric in found
    )
    last = name.rpartition("/")[2]
    if "loss" in last:
        return Panel(name, "nats", curves, scale="log")
    if last.endswith("accuracy"):
        return Panel(name, "%", curves, scale="percent")
    if last.endswith("_bytes"):
        return Panel(name, "GiB", curves, unit=_GIB, from_zero=True)
    return Panel(name, "s" if last.endswith("_seconds") else "", curves)
