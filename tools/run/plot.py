"""Curves of runs as one picture. Needs matplotlib, never a display."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hrm_scale.base import picture
from hrm_scale.base.errors import ConfigError
from hrm_scale.base.output import check_file
from hrm_scale.base.picture import GREY, plain_label, save_picture

from .history import METRICS
from .panels import Curve, Panel, choose
from .report import run_names
from .series import RunCurves, place, read_curves, smoothed, thinned
from .status import require_run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg")
# A curve's style says which of a panel it is, so that colours can say which run.
_STYLES: Any = ("-", "--", ":", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))
_AXES = {
    "step": "optimizer step",
    "samples": "samples trained on",
    "hours": "hours of training",
    "flops": "FLOPs of training",
}
_PANEL_INCHES = (5.2, 3.4)


def draw(
    run_dirs: Sequence[Path], out: Path | None, metrics: Sequence[str], axis: str, smooth: int
) -> Path:
    """Draw runs into one picture and return where it is.

    out: a `.png` or `.svg` file; None is `RUN_DIR/plot.png`, for several runs `plot.png` in the
    folder above the first.
    metrics: a panel each, none for the usual six. axis: `step`, `samples`, `hours` or `flops`.
    smooth: points that a training curve is averaged over.

    Raises ConfigError for what cannot be drawn, EnvironmentProblem without matplotlib.
    """
    for folder in run_dirs:
        require_run(folder)
    target = _target(run_dirs, out)
    runs = [read_curves(folder) for folder in run_dirs]
    if not any(run.series for run in runs):
        names = ", ".join(str(run.folder / METRICS) for run in runs)
        raise ConfigError(f"nothing to draw yet: no numbers in {names}")
    panels = choose(metrics, runs)
    drawn = [run for run in runs if run.series]
    save_picture(target, lambda: _picture(drawn, panels, axis, smooth))
    return target


def _target(run_dirs: Sequence[Path], out: Path | None) -> Path:
    target = out
    if target is None:
        first = run_dirs[0]
        # The last part of `.` and `..` is no name: look up what is above.
        above = first.resolve().parent if first.name in ("", "..") else first.parent
        target = (first if len(run_dirs) == 1 else above) / "plot.png"
    if target.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--out {target} ends in neither .png nor .svg: type --out plot.png")
    check_file(target, "--out")
    return target


def _picture(runs: Sequence[RunCurves], panels: Sequence[Panel], axis: str, smooth: int) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    columns = len(panels) if len(panels) <= 2 else 2 if len(panels) == 4 else 3
    rows = math.ceil(len(panels) / columns)
    width, height = _PANEL_INCHES
    figure = Figure(figsize=(width * columns, height * rows + 0.5), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
    for number, axes in enumerate(grid.flat):
        if number >= len(panels):
            axes.set_axis_off()
            continue
        _draw_panel(axes, panels[number], runs, axis, smooth)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        if number + columns >= len(panels):
            axes.set_xlabel(_AXES[axis])
            axes.tick_params(labelbottom=True)
    ends = [end for axes in grid.flat for end in (axes.dataLim.x0, axes.dataLim.x1)]
    known = [end for end in ends if math.isfinite(end)]
    if known and math.isclose(min(known), max(known)):
        grid.flat[0].set_xlim(0, 2 * known[0] or 1)
    names = [plain_label(name) for name in run_names([run.folder for run in runs])]
    _figure_legend(figure, runs, names)
    if len(runs) == 1:
        figure.suptitle(names[0], x=0.01, horizontalalignment="left", fontweight="bold")
    return figure


def _draw_panel(
    axes: Axes, panel: Panel, runs: Sequence[RunCurves], axis: str, smooth: int
) -> None:
    alone = len(runs) == 1
    colours = picture.colours(len(panel.curves) if alone else len(runs))
    drawn: dict[int, Curve] = {}
    for index, run in enumerate(runs):
        for number, curve in enumerate(panel.curves):
            if curve.detail and not alone:
                continue
            colour = colours[number if alone else index]
            x, y = _points(run, curve, panel, axis)
            if np.isfinite(y).any():
                _draw_curve(axes, curve, x, y, smooth, colour, _STYLES[number % 6], alone)
                drawn[number] = curve
        _mark_restarts(axes, run, axis, GREY if alone else colours[index])
    axes.set_title(panel.title)
    axes.set_ylabel(panel.unit_label)
    if not drawn:
        axes.text(
            0.5, 0.5, "not reported", transform=axes.transAxes, ha="center", va="center", c=GREY
        )
        axes.set_yticks([])
        return
    _scale(axes, panel)
    if len(drawn) > 1:
        _panel_legend(axes, drawn, colours if alone else [GREY] * len(panel.curves))


def _points(run: RunCurves, curve: Curve, panel: Panel, axis: str) -> tuple[np.ndarray, np.ndarray]:
    """Where a curve goes, in the panel's unit; empty when the run did not report it."""
    series = run.series.get(curve.metric)
    if series is None:
        return np.empty(0), np.empty(0)
    factor = 100.0 if panel.scale == "percent" else 1.0
    return place(run, axis, series.steps), series.values / panel.unit * factor


def _draw_curve(
    axes: Axes,
    curve: Curve,
    x: np.ndarray,
    y: np.ndarray,
    smooth: int,
    colour: str,
    style: Any,
    alone: bool,
) -> None:
    marker = "o" if curve.points or np.isfinite(y).sum() == 1 else ""
    if smooth > 1 and curve.metric.startswith("train/") and curve.metric != "train/lr":
        if alone:  # of several runs the points would cover the curves
            axes.plot(*thinned(x, y), color=colour, linewidth=0.8, alpha=0.25)
        y = smoothed(y, smooth)
    axes.plot(
        *thinned(x, y),
        color=colour,
        linestyle=style,
        linewidth=1.5,
        marker=marker,
        markersize=4,
        zorder=3 if curve.points else 2,
    )


def _mark_restarts(axes: Axes, run: RunCurves, axis: str, colour: str) -> None:
    for steps, style in ((run.restarts, "-"), (run.rollbacks, "--")):
        for x in place(run, axis, np.array(steps)) if steps else ():
            axes.axvline(x, color=colour, linewidth=0.8, linestyle=style, alpha=0.5, zorder=1)


def _scale(axes: Axes, panel: Panel) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axes.dataLim.y0, axes.dataLim.y1
    if panel.scale == "log" and axes.dataLim.minposy < math.inf and high > 0:
        axes.set_yscale("log", nonpositive="mask")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    elif panel.scale == "percent":
        top = 100.0 if high > 50 else max(high * 1.15, 1.0)
        axes.set_ylim(-0.03 * top, 1.03 * top)
    elif panel.from_zero and low >= 0:
        axes.set_ylim(0, high * 1.08 if high > 0 else 1)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _number(value)))


def _panel_legend(axes: Axes, drawn: dict[int, Curve], colours: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            color=colours[number],
            linestyle=_STYLES[number % 6],
            marker="o" if curve.points else "",
            markersize=4,
            label=curve.label,
        )
        for number, curve in drawn.items()
    ]
    axes.legend(handles=handles, loc="best", handlelength=2.6)


def _figure_legend(figure: Figure, runs: Sequence[RunCurves], names: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = []
    if len(runs) > 1:
        handles = [
            Line2D([], [], color=colour, linewidth=2.5, label=name)
            for colour, name in zip(picture.colours(len(names)), names, strict=True)
        ]
    if any(run.restarts for run in runs):
        handles.append(Line2D([], [], color=GREY, linewidth=0.9, label="restart"))
    if any(run.rollbacks for run in runs):
        handles.append(Line2D([], [], color=GREY, linewidth=0.9, linestyle="--", label="rollback"))
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 5))


def _number(value: float) -> str:
    """`0.002`, `1500`, `7e-5`: short, and no factor above the axis that is easily overlooked."""
    mantissa, _, exponent = f"{value:.6g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa
