"""Pictures of an evaluation. They need matplotlib, never a display."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrm_scale.base.picture import COLOURS, save_picture
from hrm_scale.evaluation.scaling.table import NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]

_BLUE, _ORANGE, _BLACK = COLOURS[0], COLOURS[1], COLOURS[-1]
_MOST_TICKS = 12


def missing() -> str:
    """What to type to get pictures; empty when nothing is missing."""
    return "" if find_spec("matplotlib") else "`pip install hrm_scale[plot]` brings matplotlib"


def plot_steps(rows: Rows, path: Path) -> None:
    """Accuracy against ACT steps. rows: `steps`, `exact_accuracy`, `low`, `high`, `accuracy`."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        steps = [row["steps"] for row in rows]
        _line(axes, rows, steps, _BLUE, "exact accuracy, 95 % interval")
        cells = [row["accuracy"] for row in rows]
        axes.plot(steps, cells, color=_ORANGE, linestyle="--", label="cells right")
        _counts(axes, steps, "ACT steps")
        _shares(axes, max(cells + [row["high"] for row in rows]))
        axes.legend(loc="best")

    _save(draw, path, (5.6, 3.8))


def plot_augmentations(rows: Rows, path: Path) -> None:
    """Tasks solved against the number of augmentations that vote. rows: `count` (None: all), `k`,
    `scoring`, `value`, `over_tasks_low`, `over_tasks_high`."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        counts = sorted({row["count"] for row in rows if row["count"] is not None})
        everything = 2 * counts[-1] if counts else 1
        for k, colour in zip(sorted({row["k"] for row in rows}), (_BLUE, _ORANGE), strict=False):
            for scoring, style in (("fraction", "-"), ("all", "--")):
                line = [
                    {
                        "exact_accuracy": row["value"],
                        "low": row["over_tasks_low"],
                        "high": row["over_tasks_high"],
                    }
                    for row in rows
                    if row["k"] == k and row["scoring"] == scoring
                ]
                name = "share of test pairs" if scoring == "fraction" else "all test pairs"
                places = [*counts, everything]
                _line(axes, line, places, colour, f"pass@{k}, {name}", style)
        _counts(axes, [*counts, everything], "augmentations", last="all")
        axes.set_ylabel("tasks solved, 95 % interval over tasks")
        _shares(axes, max(row["over_tasks_high"] for row in rows))
        axes.legend(loc="best")

    _save(draw, path, (6.4, 4.2))


def plot_scaling(rows: Rows, path: Path) -> None:
    """Exact accuracy against compute, a panel for each way to choose an answer, a line for each
    number of trajectories. rows: those of `Scaling.result`."""
    methods = [m for m in NAMES if m != "first" and any(row["method"] == m for row in rows)]
    exact = {m: [row["exact"] for row in rows if row["method"] == m] for m in methods}
    # Where the rules leave one answer (a Sudoku) both panels would be the same.
    same = len(methods) > 1 and exact.get("rules") == exact.get("any")
    panels = [method for method in methods if not (same and method == "any")] or ["first"]

    def draw(figure: Figure) -> None:
        import matplotlib as mpl

        grid = figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0]
        plain = [row for row in rows if row["method"] == "first"]
        several = sorted({row["trajectories"] for row in rows} - {1})
        shades = mpl.colormaps["viridis"]
        costs = sorted({row["act_steps"] for row in rows})
        for axes, method in zip(grid, panels, strict=True):
            _line(axes, plain, [row["act_steps"] for row in plain], _BLACK, "1, plain")
            for number, k in enumerate(several):
                line = [r for r in rows if r["method"] == method and r["trajectories"] == k]
                colour = mpl.colors.to_hex(shades(0.15 + 0.75 * number / len(several)))
                _line(axes, line, [row["act_steps"] for row in line], colour, f"{k}")
            title = NAMES[method] + (" = any (upper bound)" if same and method == "rules" else "")
            axes.set_title(title if several else "")
            _counts(axes, costs, "ACT steps for each puzzle")
            axes.label_outer()
        grid[0].set_ylabel("exact accuracy, 95 % interval")
        _shares(grid[0], max(row["high"] for row in rows))
        grid[-1].legend(loc="lower right", title="trajectories")

    _save(draw, path, (1.2 + 4.0 * len(panels), 4.2))


def _line(
    axes: Axes, rows: Rows, x: Sequence[float], colour: str, label: str, style: str = "-"
) -> None:
    """Exact accuracy with its interval as a band."""
    values = [row["exact_accuracy"] for row in rows]
    axes.plot(x, values, color=colour, linestyle=style, marker="o", markersize=3.5, label=label)
    low, high = [row["low"] for row in rows], [row["high"] for row in rows]
    axes.fill_between(x, low, high, color=colour, alpha=0.10, linewidth=0)


def _counts(axes: Axes, values: Sequence[int], label: str, last: str | None = None) -> None:
    """A logarithmic axis of counts, with names at those that are not too close to each other."""
    from matplotlib.ticker import NullLocator

    every = sorted(set(values))
    apart = max(1.25, (every[-1] / every[0]) ** (1 / _MOST_TICKS))
    shown = every[:1]
    for value in every:
        if value >= apart * shown[-1]:
            shown.append(value)
    names = [last if last and value == every[-1] else str(value) for value in shown]
    axes.set_xscale("log", base=2)
    axes.set_xticks(shown, names)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(label)


def _shares(axes: Axes, highest: float) -> None:
    """An axis of shares: from 0, and to 1 unless all are small."""
    top = 1.0 if highest > 0.5 else max(1.15 * highest, 0.01)
    axes.set_ylim(-0.03 * top, 1.03 * top)


def _save(draw: Callable[[Figure], None], path: Path, inches: tuple[float, float]) -> None:
    def picture() -> Figure:
        from matplotlib.figure import Figure

        figure = Figure(figsize=inches, layout="constrained")
        draw(figure)
        return figure

    save_picture(path, picture)
