"""What a sweep has found, as one table: for people, as Markdown, and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hrm_scale.reporting.lines import duration

from .cells import Result
from .grid import SEED, Grid
from .statistics import EXAMPLES, SEEDS, Interval, interval_of

METRICS = ("exact_accuracy", "accuracy", "lm_loss")
_MANY = 5  # rows, from which on the luck of the best one is worth a word
BEST, BELOW, OPEN, UNKNOWN = "best", "worse", "not distinguishable", "unknown"


@dataclass(frozen=True)
class Row:
    """A combination of the compared axes. values: the metric of each finished seed.

    wanted: how many seeds the sweep has. mean, lowest and highest are over the finished ones, None
    without any; so are steps, samples, flops and seconds, means of what the runs tell. verdict:
    `BEST`, `BELOW` or `OPEN` against the best row, by whether the intervals overlap; `UNKNOWN`
    where one is missing; empty without anything to compare.
    """

    combination: tuple[str, ...]
    wanted: int
    values: tuple[float, ...]
    mean: float | None
    interval: Interval | None
    baseline: float | None
    steps: float | None
    samples: float | None
    flops: float | None
    seconds: float | None
    verdict: str = ""


def is_lower_better(metric: str) -> bool:
    return metric.endswith("loss")


def make_rows(grid: Grid, results: Mapping[str, Result], metric: str) -> list[Row]:
    """A row for each combination, in the order typed. results: of finished cells, by name."""
    rows = []
    for combination in grid.combinations():
        cells = [cell for cell in grid.cells if grid.combination(cell) == combination]
        if not cells:
            continue  # left out as invalid
        found = [results[cell.name] for cell in cells if cell.name in results]
        rows.append(_row(combination, len(cells), found, metric))
    return _judged(rows, is_lower_better(metric))


def _row(combination: tuple[str, ...], wanted: int, found: Sequence[Result], metric: str) -> Row:
    found = [result for result in found if metric in result.values]
    values = tuple(result.values[metric] for result in found)
    counts = [result.values.get("count") for result in found]
    baselines = [base for result in found if (base := result.baseline(metric)) is not None]
    interval = interval_of(
        values,
        counts[0] if counts else None,
        share=metric.rpartition("/")[2] == "exact_accuracy",
        bounded=not is_lower_better(metric),
    )
    return Row(
        combination=combination,
        wanted=wanted,
        values=values,
        mean=_mean(values),
        interval=interval,
        baseline=max(baselines, default=None),
        steps=_mean([float(result.step) for result in found]),
        samples=_mean([result.samples for result in found]),
        flops=_mean([result.flops for result in found]),
        seconds=_mean([result.seconds for result in found]),
    )


def _judged(rows: list[Row], lower_is_better: bool) -> list[Row]:
    known = [row for row in rows if row.mean is not None]
    if len(known) < 2:
        return rows
    choose = min if lower_is_better else max
    best = choose(known, key=lambda row: row.mean or 0.0)
    return [row if row.mean is None else _against(row, best) for row in rows]


def _against(row: Row, best: Row) -> Row:
    if row is best:
        verdict = BEST
    elif row.interval is None or best.interval is None:
        verdict = UNKNOWN
    else:
        verdict = OPEN if row.interval.overlaps(best.interval) else BELOW
    return Row(**{**row.__dict__, "verdict": verdict})


def as_text(grid: Grid, rows: Sequence[Row], metric: str, notes: Sequence[str]) -> str:
    """The table with what all runs share above it, and what may be concluded below it."""
    compared = [axis.label for axis in grid.compared]
    header = [
        *compared,
        "seeds",
        metric,
        "95 % interval",
        "lowest to highest",
        "best baseline",
        "steps",
        "FLOPs",
        "seconds",
        "against the best",
    ]
    cells = [header, *(_cells(row) for row in rows)]
    # A column in which nobody has anything to say is no column.
    columns = [
        column
        for column in range(len(header))
        if column < len(compared) or any(line[column] not in ("", "-") for line in cells[1:])
    ]
    shared = " ".join(grid.fixed) or "the defaults"
    seeds = next(
        (", ".join(axis.values) for axis in grid.axes if axis.key == SEED), "that of the settings"
    )
    lines = [f"all runs: {shared}", f"seeds: {seeds}", ""]
    lines += _markdown([[line[column] for column in columns] for line in cells])
    found = conclusions(rows, metric)
    return "\n".join([*lines, "", *(f"- {line}" for line in [*found, *notes])]).rstrip() + "\n"


def conclusions(rows: Sequence[Row], metric: str) -> list[str]:
    """What the numbers say and do not say, a sentence each."""
    known = [row for row in rows if row.mean is not None]
    lines = [
        f"{metric}: of the last evaluation, {'lower' if is_lower_better(metric) else 'higher'}"
        " is better; seconds are of training alone"
    ]
    kinds = {row.interval.over for row in known if row.interval}
    if SEEDS in kinds:
        lines.append("intervals over seeds: Student's t")
    if EXAMPLES in kinds:
        lines.append(
            "intervals marked * are Wilson's, over the evaluated examples: with one seed, or seeds"
            " that agree to the last digit, nothing is known of how much training varies"
        )
    if any(row.interval is None for row in known):
        lines.append("without an interval nothing can be told apart: give more seeds")
    verdicts = [row.verdict for row in known]
    if OPEN in verdicts and BELOW not in verdicts:
        lines.append("no difference is shown: every interval overlaps that of the best")
    elif OPEN in verdicts:
        lines.append(
            f"{verdicts.count(OPEN)} of {len(known)} are not distinguishable from the best: the"
            " intervals overlap"
        )
    if len(known) >= _MANY and BELOW in verdicts:
        lines.append(
            f"the best of {len(known)} was chosen after the fact, and chance flatters it: try it"
            " again with new seeds"
        )
    unequal = _unequal(known)
    if unequal:
        lines.append(f"the rows did not get the same {' and '.join(unequal)}")
    short = [row for row in rows if len(row.values) < row.wanted]
    if short:
        lines.append(
            f"{len(short)} of {len(rows)} rows lack seeds: runs that failed are not a random sample"
        )
    return lines


def _unequal(rows: Sequence[Row]) -> list[str]:
    """Of what a fair comparison holds equal, what differs by more than 5 % between rows."""
    names = {"steps": "steps", "samples": "samples", "flops": "compute", "seconds": "time"}
    found = []
    for attribute, name in names.items():
        values = [value for row in rows if (value := getattr(row, attribute)) is not None]
        if values and max(values) > 1.05 * min(values):
            found.append(name)
    return found


def as_json(
    grid: Grid, rows: Sequence[Row], results: Mapping[str, Result], metric: str
) -> dict[str, Any]:
    """Everything of the table, and the last evaluation of each run."""
    labels = [axis.label for axis in grid.axes]
    compared = [axis.label for axis in grid.compared]
    return {
        "metric": metric,
        "settings": list(grid.fixed),
        "axes": {axis.key: list(axis.values) for axis in grid.axes},
        "rows": [
            {**asdict(row), "combination": dict(zip(compared, row.combination, strict=True))}
            for row in rows
        ],
        "runs": [
            {
                "run": cell.name,
                **dict(zip(labels, cell.values, strict=True)),
                "result": asdict(results[cell.name]) if cell.name in results else None,
            }
            for cell in grid.cells
        ],
    }


def _cells(row: Row) -> list[str]:
    spread = f"{min(row.values):.4f} to {max(row.values):.4f}" if len(row.values) > 1 else "-"
    seeds = f"{len(row.values)}"
    if len(row.values) < row.wanted:
        seeds += f" of {row.wanted}"
    return [
        *row.combination,
        seeds,
        _number(row.mean),
        _interval(row.interval),
        spread,
        _number(row.baseline),
        "-" if row.steps is None else f"{row.steps:.0f}",
        "-" if row.flops is None else f"{row.flops:.2e}".replace("e+", "e"),
        "-" if row.seconds is None else duration(row.seconds),
        row.verdict,
    ]


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return "-"
    mark = "*" if interval.over == EXAMPLES else ""
    return f"{interval.low:.4f} to {interval.high:.4f}{mark}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _markdown(lines: Sequence[Sequence[str]]) -> list[str]:
    texts = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    widths = [max(len(line[column]) for line in texts) for column in range(len(texts[0]))]
    padded = [
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in texts
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return [padded[0], rule, *padded[1:]]
