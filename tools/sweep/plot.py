"""A sweep as one picture: the metric over steps and over compute, and where the runs ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hrm_scale.base import picture
from hrm_scale.base.picture import GREY, plain_label, save_picture

from ..run.history import METRICS, lines_of, number_of, record_of
from .cells import Compute
from .grid import Grid
from .table import Row, is_lower_better

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_NAMES = 24  # rows of a legend that fit beside the panels
_DASHES: Any = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Curve:
    """A run's evaluations: steps, FLOPs of training by then (None: unknown), and the metric; all
    float64 [evaluations]."""

    steps: np.ndarray
    flops: np.ndarray | None
    values: np.ndarray


def draw(grid: Grid, rows: Sequence[Row], finished: set[str], folder: Path, metric: str) -> Path:
    """Draw `folder`/plot.png and return where it is. finished: names of the runs to draw.

    Raises EnvironmentProblem without matplotlib.
    """
    curves = {
        row.combination: [
            read_curve(folder / cell.name, metric)
            for cell in grid.cells
            if cell.name in finished and grid.combination(cell) == row.combination
        ]
        for row in rows
    }
    target = folder / "plot.png"
    advice = ", then the same command with --report"
    save_picture(target, lambda: _picture(grid, rows, curves, metric), advice)
    return target


def read_curve(run_dir: Path, metric: str) -> Curve:
    """All evaluations of a run that have the metric."""
    steps, flops, values = [], [], []
    compute, known = Compute(), None
    for line in lines_of(run_dir / METRICS):
        record = record_of(line)
        if record is None:
            continue
        known = compute.add(record)
        value = number_of(record, f"eval/{metric}")
        if value is not None:
            steps.append(float(record["step"]))
            flops.append(np.nan if known is None else known)
            values.append(value)
    unknown = known is None or not np.isfinite(flops).all()
    return Curve(np.array(steps), None if unknown else np.array(flops), np.array(values))


def mean_and_range(
    curves: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x, mean, lowest and highest of curves (x rising, y), each linear between its points; where
    all of them are."""
    start = max(x[0] for x, _ in curves)
    end = min(x[-1] for x, _ in curves)
    every = np.unique(np.concatenate([x for x, _ in curves]))
    at = every[(every >= start) & (every <= end)]
    values = np.stack([np.interp(at, x, y) for x, y in curves])
    return at, values.mean(0), values.min(0), values.max(0)


def _picture(
    grid: Grid, rows: Sequence[Row], curves: dict[tuple[str, ...], list[Curve]], metric: str
) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    several = any(len(curve.steps) > 1 for group in curves.values() for curve in group)
    compute = any(curve.flops is not None for group in curves.values() for curve in group)
    panels = ["step"] * several + ["flops"] * (several and compute) + ["end"]
    height = max(4.0, 1.6 + 0.3 * len(rows))
    figure = Figure(figsize=(5.4 * len(panels), height), layout="constrained")
    grid_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    colours = picture.colours(len(rows))
    for kind, axes in zip(panels, grid_axes, strict=True):
        axes.set_ylabel(metric)
        if kind == "end":
            _draw_ends(axes, grid, rows, colours, metric)
            continue
        for number, row in enumerate(rows):
            group = [curve for curve in curves[row.combination] if len(curve.steps)]
            points = [
                (curve.steps if kind == "step" else curve.flops, curve.values)
                for curve in group
                if kind == "step" or curve.flops is not None
            ]
            _draw_curve(axes, points, colours[number], _DASHES[number // 7 % 4])
        axes.set_title("at equal steps" if kind == "step" else "at equal compute")
        axes.set_xlabel("optimizer step" if kind == "step" else "FLOPs of training")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlim(left=0)
        _scale(axes, metric)
    if several and len(rows) <= _MOST_NAMES:
        _legend(figure, grid, rows, colours)
    return figure


def _draw_curve(axes: Axes, points: Sequence[Any], colour: str, style: Any) -> None:
    if not points:
        return
    x, mean, low, high = mean_and_range(points)
    axes.plot(x, mean, color=colour, linestyle=style, linewidth=1.6, marker="o", markersize=3.5)
    if len(points) > 1:
        axes.fill_between(x, low, high, color=colour, alpha=0.13, linewidth=0)


def _draw_ends(
    axes: Axes, grid: Grid, rows: Sequence[Row], colours: Sequence[str], metric: str
) -> None:
    """Each row's last evaluation: the seeds as dots, their mean, and its interval. Over the values
    of the axis when it is one of numbers, else a line of the picture for each row."""
    numbers = _numbers(grid)
    for number, row in enumerate(rows):
        if row.mean is None:
            continue
        place = numbers[row.combination[0]] if numbers else float(number)
        seeds = [place] * len(row.values), list(row.values)
        mean = [place], [row.mean]
        ends = [place] * 2, [row.interval.low, row.interval.high] if row.interval else []
        colour = GREY if numbers else colours[number]
        for (x, y), style in (
            (ends, {"linewidth": 2.2, "alpha": 0.55}),
            (seeds, {"linestyle": "", "marker": "o", "markersize": 3.5, "alpha": 0.7}),
            (mean, {"linestyle": "", "marker": "D", "markersize": 6.5}),
        ):
            if y:
                axes.plot(*((x, y) if numbers else (y, x)), color=colour, **style)
    axes.set_title("at the end: mean, 95 % interval, seeds")
    if numbers:
        axes.set_xlabel(grid.compared[0].key)
        axes.set_xticks(sorted(numbers.values()))
        _scale(axes, metric)
        return
    axes.set_ylabel("")
    axes.set_xlabel(metric)
    axes.set_yticks(range(len(rows)), [_name(grid, row) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    if not is_lower_better(metric):
        axes.set_xlim(*_room(axes.dataLim.x1))


def _numbers(grid: Grid) -> dict[str, float] | None:
    """The values of the only compared axis as numbers, when they are at least three."""
    if len(grid.compared) != 1 or len(grid.compared[0].values) < 3:
        return None
    try:
        return {value: float(value) for value in grid.compared[0].values}
    except ValueError:
        return None


def _legend(figure: Figure, grid: Grid, rows: Sequence[Row], colours: Sequence[str]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D(
            [],
            [],
            color=colours[number],
            linestyle=_DASHES[number // 7 % 4],
            linewidth=2.2,
            label=_name(grid, row),
        )
        for number, row in enumerate(rows)
    ]
    if any(len(row.values) > 1 for row in rows):
        handles.append(Patch(color=GREY, alpha=0.2, label="lowest to highest seed"))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 4))


def _name(grid: Grid, row: Row) -> str:
    pairs = zip(grid.compared, row.combination, strict=True)
    return plain_label(" ".join(f"{axis.label}={value}" for axis, value in pairs) or "the runs")


def _scale(axes: Axes, metric: str) -> None:
    if not is_lower_better(metric):
        axes.set_ylim(*_room(axes.dataLim.y1))


def _room(highest: float) -> tuple[float, float]:
    """Ends of an axis of shares: from 0, and to 1 unless all are small."""
    top = 1.0 if highest > 0.5 else max(highest * 1.15, 0.01)
    return -0.03 * top, 1.03 * top
