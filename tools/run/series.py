"""The curves of a run: what `metrics.jsonl` holds, by name, over steps, samples, hours or FLOPs."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hrm_scale.base.errors import ConfigError

from .history import METRICS, lines_of, number_of, read_events, record_of

SAMPLES = "perf/samples"
SPEED = "perf/examples_per_second"
RATE = "perf/gflops"
FLOPS = "perf/flops"
# More points than a picture has pixels cost time and megabytes and show nothing.
MAX_POINTS = 4000


@dataclass(frozen=True)
class Series:
    """Values over steps, both float64 [points], in the order of the file; NaN where a value was
    not finite."""

    steps: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class RunCurves:
    """All series of a run by metric name, and the steps at which it started again or went back."""

    folder: Path
    series: dict[str, Series]
    restarts: list[float]
    rollbacks: list[float]


def read_curves(run_dir: Path) -> RunCurves:
    """Everything there is to draw; of a run that has reported nothing, no series."""
    steps: dict[str, array[float]] = {}
    values: dict[str, array[float]] = {}
    for line in lines_of(run_dir / METRICS):
        record = record_of(line)
        if record is None:
            continue
        for name, value in record.items():
            if name == "step" or not (value is None or isinstance(value, int | float)):
                continue
            number = number_of(record, name)
            steps.setdefault(name, array("d")).append(record["step"])
            values.setdefault(name, array("d")).append(np.nan if number is None else number)
    events = read_events(run_dir)
    return RunCurves(
        run_dir,
        {name: Series(np.array(steps[name]), np.array(values[name])) for name in steps},
        [float(start["step"]) for start in events.starts[1:]],
        [float(back["step"]) for back in events.rollbacks],
    )


def place(run: RunCurves, axis: str, steps: np.ndarray) -> np.ndarray:
    """Where `steps` are on a horizontal axis: `step`, `samples` (trained on), `hours` or `flops`.

    Hours are those of training: samples over measured speed; so neither evaluation nor saving nor
    the time between two starts counts. FLOPs of runs that did not count them are these hours times
    measured FLOP/s. Raises ConfigError when the run did not report it.
    """
    if axis == "step":
        return steps
    if axis == "flops" and FLOPS in run.series:
        return np.interp(steps, *_rising(run, FLOPS, axis))
    known, samples = _rising(run, SAMPLES, axis)
    if axis == "samples":
        return np.interp(steps, known, samples)
    at, speeds = _rising(run, SPEED, axis)
    at, speeds = at[speeds > 0], speeds[speeds > 0]
    if not len(at):
        raise ConfigError(_unreported(run, SPEED, axis))
    each = 1 / (3600 * speeds)
    if axis == "flops":
        each = 1e9 * np.interp(at, *_rising(run, RATE, axis)) / speeds
    spent = np.diff(samples) * np.interp(known[1:], at, each)
    return np.interp(steps, known, np.concatenate([[0.0], np.cumsum(spent)]))


def _rising(run: RunCurves, name: str, axis: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and finite values of what `axis` needs, 0 at first, steps strictly rising."""
    series = run.series.get(name)
    if series is None or not np.isfinite(series.values).any():
        raise ConfigError(_unreported(run, name, axis))
    finite = np.isfinite(series.values)
    steps, first = np.unique(series.steps[finite], return_index=True)
    values = series.values[finite][first]
    if steps[0] <= 0:
        return steps, values
    return np.insert(steps, 0, 0.0), np.insert(values, 0, 0.0)


def _unreported(run: RunCurves, name: str, axis: str) -> str:
    return f"--x {axis} needs {name}, which {run.folder / METRICS} does not have: type --x step"


def smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """Mean over `window` points around each one, fewer at the ends; NaN is left out."""
    if window <= 1 or not len(values):
        return values
    finite = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    centre = np.arange(len(values))
    low = np.maximum(centre - (window - 1) // 2, 0)
    high = np.minimum(centre + window // 2 + 1, len(values))
    count = counts[high] - counts[low]
    mean = (sums[high] - sums[low]) / np.maximum(count, 1)
    return np.where(count > 0, mean, np.nan)


def thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most `MAX_POINTS` points with every spike kept: lowest and highest of each stretch."""
    if len(y) <= MAX_POINTS:
        return x, y
    kept: list[int] = []
    for stretch in np.array_split(np.arange(len(y)), MAX_POINTS // 2):
        part = y[stretch]
        if np.isfinite(part).any():
            ends = {int(np.nanargmin(part)), int(np.nanargmax(part))}
        else:
            ends = {0}
        kept += sorted(int(stretch[0]) + end for end in ends)
    return x[kept], y[kept]
