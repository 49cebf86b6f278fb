"""The report as one HTML file that needs nothing else: no server, no network."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from html import escape
from importlib import resources

from hrm_scale.evaluation.failures import overview
from hrm_scale.evaluation.failures.embed import embedded
from hrm_scale.evaluation.failures.records import FailureReport

SCRIPTS = ("board.js", "time.js", "detail.js", "list.js")
_PLACE = re.compile(r"\{\{(\w+)\}\}")


def render(report: FailureReport, checkpoint: str, data: str, title: str = "Failures") -> str:
    """The page. checkpoint, data, title: a line of text each, of any characters."""
    style = _asset("page.css")
    script = "\n".join(_asset(name) for name in SCRIPTS)
    # Only this script and this style can run, whatever a name might smuggle in.
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}';"
        " img-src data:; base-uri 'none'; form-action 'none'"
    )
    values = {
        "policy": policy,
        "title": escape(title),
        "checkpoint": escape(checkpoint),
        "data": escape(data),
        "style": style,
    }
    if not report.sums:
        body = "<p>No puzzle has a label: there is nothing to report.</p>"
        return _fill("frame.html", {**values, "body": body, "script": ""})
    body = _fill("body.html", _parts(report))
    return _fill("frame.html", {**values, "body": body, "script": f"<script>{script}</script>"})


def _parts(report: FailureReport) -> dict[str, str]:
    """The content of body.html."""
    ratings, sources = overview.breakdowns(report)
    tables = [("rating", ratings), ("source", sources)]
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
        about = "Percent of the puzzles of each bin of ratings, by wrong cells at the last step."
        figures.insert(1, _figure("Wrong cells by rating", about, chart))
    return {
        "headline": overview.headline(report),
        "kinds": overview.kinds_table(report),
        "charts": "".join(figures),
        "breakdowns": "".join(
            _fill("rates.html", {"by": by, "rows": overview.rates_table(rows)})
            for by, rows in tables
            if rows
        ),
        "shown": f"{shown:,} of {failing:,}, those of the smallest hashes of the row numbers"
        if shown < failing
        else f"all {failing:,}",
        "embedded": embedded(report),
    }


def _figure(name: str, about: str, chart: str) -> str:
    return (
        f'<figure class="card"><figcaption><h3>{escape(name)}</h3><p>{escape(about)}</p>'
        f"</figcaption>{chart}</figure>"
    )


def _fill(name: str, values: Mapping[str, str]) -> str:
    """An asset with its {{places}} filled in, in one pass: what is put in is not looked at."""
    return _PLACE.sub(lambda match: values[match[1]], _asset(name))


def _asset(name: str) -> str:
    folder = resources.files("hrm_scale.evaluation.failures") / "assets"
    return (folder / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
