"""The report as one HTML file that needs nothing else: no server, no network."""

from __future__ import annotations

from html import escape

from hrm_scale.evaluation.failures import overview
from hrm_scale.evaluation.failures.embed import embedded
from hrm_scale.evaluation.failures.records import FailureReport
from hrm_scale.web.assets import single_page

_PARTS = ("headline", "kinds", "charts", "breakdowns", "shown")


def render(report: FailureReport, checkpoint: str, data: str, title: str = "Failures") -> str:
    """The page. checkpoint, data, title: a line of text each, of any characters."""
    labelled = bool(report.sums)
    places = {
        "title": escape(title),
        "checkpoint": escape(checkpoint),
        "data": escape(data),
        "labelled": "" if labelled else "hidden",
        "unlabelled": "hidden" if labelled else "",
    }
    parts = _parts(report) if labelled else dict.fromkeys(_PARTS, "")
    return single_page("failures", embedded(report), {**places, **parts})


def _parts(report: FailureReport) -> dict[str, str]:
    """What index.html says of all puzzles."""
    ratings, sources = overview.breakdowns(report)
    rating = report.meta.puzzle.rating
    failing = int(report.sums["rows"]) - int(report.sums["right"][-1])
    shown = len(report.kept)
    charts = [
        ("How wrong", "Failing puzzles by wrong cells at the last step.", overview.wrong_chart),
        ("Over the ACT steps", "All puzzles, right or wrong.", overview.step_charts),
        ("Where", "Percent of all puzzles in which a cell is wrong.", overview.place_chart),
    ]
    if report.meta.puzzle.has_rules:
        about = "Failing puzzles by the first step whose answer breaks a rule of the puzzle."
        charts.append(("First contradiction", about, overview.break_chart))
    figures = [_figure(name, about, draw(report)) for name, about, draw in charts]
    if ratings:
        chart = overview.rating_chart(report, [row["name"] for row in ratings])
        about = "Percent of the puzzles of each bin, by wrong cells at the last step."
        figures.insert(1, _figure(f"Wrong cells by {rating}", about, chart))
    return {
        "headline": overview.headline(report),
        "kinds": overview.kinds_table(report),
        "charts": "".join(figures),
        "breakdowns": "".join(
            overview.rates_table(by, rows)
            for by, rows in ((rating, ratings), ("source", sources))
            if rows
        ),
        "shown": f"{shown:,} of {failing:,}, those of the smallest hashes of the row numbers"
        if shown < failing
        else f"all {failing:,}",
    }


def _figure(name: str, about: str, chart: str) -> str:
    return (
        f'<figure class="card"><figcaption><h3>{escape(name)}</h3><p>{escape(about)}</p>'
        f"</figcaption>{chart}</figure>"
    )
