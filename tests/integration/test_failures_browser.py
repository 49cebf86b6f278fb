"""The failure report in a real browser: opened from a file, sorted, walked through step by step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.tiny.data_sets import sudoku_meta
from hrm_scale.evaluation.failures import FailureReport, render
from hrm_scale.evaluation.observers.failures import Failures
from hrm_scale.puzzles.arc.grid import encode
from hrm_scale.puzzles.drawing import REGIONS
from tests.support.failure_cases import META, RIGHT, STORIES, feed, report_of, told
from tests.support.viewer_sets import stars_set

pytestmark = pytest.mark.slow

ROWS = "[...document.querySelectorAll('#list tbody th')].map((cell) => Number(cell.textContent))"
# The cells of a board that have a mark.
MARKED = """([number, name]) => document.querySelectorAll('.boards .board')[number].board.cells
    .filter((cell) => cell[name]).map((cell) => cell.at)"""
TEXTS = """(number) => [...document.querySelectorAll('.boards .board')[number]
    .querySelectorAll('text')].map((text) => text.textContent)"""
FILL = """([number, row, column]) => {
    const board = document.querySelectorAll(".boards .board")[number].board;
    const { element, part: [top, left] } = board;
    const at = new DOMPoint((left + column + 0.5) * 20, (top + row + 0.5) * 20);
    const path = [...element.querySelectorAll('.fill')].find((one) => one.isPointInFill(at));
    return getComputedStyle(path).fill;
}"""
STORY = dict(zip(STORIES, range(100, 108), strict=True))


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page without network that fails the test for anything the browser complains about."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 800}, color_scheme="light", offline=True
    )
    page = context.new_page()
    page.set_default_timeout(8000)
    complaints: list[str] = []
    page.on("console", lambda m: m.type == "error" and complaints.append(m.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []


def show(page: Any, folder: Path, report: FailureReport, place: str = "") -> None:
    file = folder / "failures.html"
    file.write_text(render(report, "<i>run</i>", "data & more"), encoding="utf-8")
    page.goto(file.as_uri() + place)
    page.wait_for_selector("#detail .boards")


def assert_step(page: Any, name: str, step: int) -> None:
    """The boards show a story after a step: which cells are wrong, and which changed."""
    trace = np.stack(STORIES[name][0])
    wrong = np.flatnonzero(trace[step - 1] != RIGHT).tolist()
    moved = np.flatnonzero(trace[step - 1] != trace[max(0, step - 2)]).tolist()
    assert page.evaluate(MARKED, [2, "wrong"]) == wrong
    assert page.evaluate(MARKED, [2, "changed"]) == moved
    assert page.inner_text("#detail output") == f"step {step} of 4"
    assert f"{len(wrong)} wrong, {len(moved)} changed" in page.inner_text(".told")
    digits = ["?" if token == 1 else str(token - 1) for token in trace[step - 1]]
    assert page.evaluate(TEXTS, 2) == digits, "an empty cell of an answer is an open one"
    name = page.get_attribute(".boards figure:last-child .board", "aria-label")
    assert name.startswith(f"Model's answer after step {step}: {len(wrong)} wrong")


def test_sorting_opening_and_stepping(page: Any, tmp_path: Path) -> None:
    report = report_of(told())
    show(page, tmp_path, report)
    assert page.inner_text("h1") == "Failures"
    assert "<i>run</i>" in page.inner_text("header")
    by_wrong = sorted(report.kept, key=lambda puzzle: (puzzle.wrong, puzzle.row))
    assert page.evaluate(ROWS) == [puzzle.row for puzzle in by_wrong]

    page.click("#list thead button >> text=Returns")
    by_returns = sorted(report.kept, key=lambda puzzle: (puzzle.returns, puzzle.row))
    assert page.evaluate(ROWS) == [puzzle.row for puzzle in by_returns]
    page.click("#list thead button >> text=Returns")
    by_returns = sorted(report.kept, key=lambda puzzle: (-puzzle.returns, puzzle.row))
    assert page.evaluate(ROWS) == [puzzle.row for puzzle in by_returns]
    assert page.get_attribute("#list th:has-text('Returns')", "aria-sort") == "descending"
    page.click("#list thead button >> text=First contradiction")
    never = STORY["blank"]
    assert page.evaluate(ROWS)[-1] == never, "without a contradiction comes last"
    page.click("#list thead button >> text=First contradiction")
    assert page.evaluate(ROWS)[-1] == never

    page.click(f"#list tbody button >> text={STORY['oscillating']}")
    assert page.inner_text("#detail h3") == f"Row {STORY['oscillating']}"
    assert page.locator("[data-return]").count() == 4
    assert page.locator("#detail .pill").all_inner_texts() == [
        "contradicts itself", "solved, then lost", "oscillates", "still changing"
    ]  # fmt: skip
    assert_step(page, "oscillating", 4)
    page.focus("#step")
    for step in (3, 2, 1):
        page.keyboard.press("ArrowLeft")
        assert_step(page, "oscillating", step)
    page.keyboard.press("]")
    assert_step(page, "oscillating", 2)
    chart = page.locator(".time svg")
    width = chart.bounding_box()["width"]
    chart.click(position={"x": width - 20, "y": 40})
    assert_step(page, "oscillating", 4)


def test_keys_and_links(page: Any, tmp_path: Path) -> None:
    show(page, tmp_path, report_of(told()), f"#row-{STORY['passing']}")
    assert page.inner_text("#detail h3") == f"Row {STORY['passing']}"
    assert_step(page, "passing", 4)
    rows = page.evaluate(ROWS)
    page.focus("#list tbody button")
    page.keyboard.press("ArrowDown")
    assert page.inner_text("#detail h3") == f"Row {rows[1]}"
    assert page.inner_text("[aria-current=true] th") == str(rows[1])
    assert page.url.endswith(f"#row-{rows[1]}")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert page.inner_text("#detail h3") == f"Row {rows[0]}"


def test_dark_and_phone(page: Any, tmp_path: Path) -> None:
    show(page, tmp_path, report_of(told()))
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(ground)
    assert dark != light
    page.keyboard.press("d")
    assert page.evaluate(ground) == light
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    chart, room = page.evaluate(
        "['.time', '#detail'].map((name) => document.querySelector(name).scrollWidth)"
    )
    assert chart <= room, "the chart is redrawn for the narrow window"
    page.click("#list tbody button >> nth=2")
    assert page.evaluate("document.querySelector('#detail').getBoundingClientRect().top < 700")


def test_arc_grids(page: Any, tmp_path: Path) -> None:
    grid = np.arange(12, dtype=np.uint8).reshape(3, 4) % 10
    label = encode(grid).ravel().astype(np.int64)
    changes: dict[str, Any] = {"board": {}, "vocab_size": 12, "seq_len": 900}
    meta = sudoku_meta(4, "online", kind="arc", **changes)
    trace = np.stack([label, label])[:, None].copy()
    trace[1, 0, [1, 31, 899]] = 11
    failures = feed(
        Failures(meta, 1), encode(grid.T[:3]).ravel()[None], np.where(label, label, -100)[None],
        trace, np.zeros((2, 1)), np.arange(1), 12,
    )  # fmt: skip
    show(page, tmp_path, failures.result([failures.sums()]))
    assert page.evaluate(MARKED, [2, "wrong"]) == [1, 31], "padding does not count"
    fills = [page.evaluate(FILL, [1, 0, column]) for column in range(4)]
    assert fills == ["rgb(0, 0, 0)", "rgb(0, 116, 217)", "rgb(255, 65, 54)", "rgb(46, 204, 64)"]
    size = page.get_attribute(".boards figure:nth-child(2) .board", "viewBox")
    assert size == "0 0 100 80", "the grid with its end marks, not the frame"
    assert page.evaluate(TEXTS, 1).count("/") == 7


def test_a_kind_from_a_file(page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = stars_set(tmp_path, monkeypatch)
    rows = dataset.read("train", ["inputs", "labels"], 0, 2)
    labels = rows["labels"].astype(np.int64)
    labels[0, 5] = -100
    trace = np.stack([rows["labels"]] * 2)
    trace[1, 0, [3, 5]] = 11 - trace[1, 0, [3, 5]]
    failures = feed(
        Failures(dataset.meta, 2), rows["inputs"], labels, trace, np.zeros((2, 2)), np.arange(2), 7,
        {"ratings": np.array([4, 8])},
    )  # fmt: skip
    show(page, tmp_path, failures.result([failures.sums()]))
    assert page.locator("#list tbody tr").count() == 1
    assert page.locator("#list thead th").all_inner_texts()[2] == "Guesses"
    assert page.evaluate(MARKED, [2, "wrong"]) == [3]
    assert page.evaluate(MARKED, [2, "changed"]) == [3]
    question, answer = rows["inputs"][0], trace[1, 0]
    glyphs = ["*" if token == 6 else "." for token in answer]
    del glyphs[5], answer
    assert page.evaluate(TEXTS, 2) == glyphs, "the cell without a label stays as it was"
    for at in (0, 5):
        red, green, blue = bytes.fromhex(REGIONS[question[at] - 1][1:])
        assert page.evaluate(FILL, [2, *divmod(at, 4)]) == f"rgb({red}, {green}, {blue})"
    page.hover(".boards figure:last-child .board", position={"x": 5, "y": 5})
    name = dataset.meta.puzzle.tokens[int(rows["labels"][0, 0])].name
    assert page.inner_text("#tip") == f"{name}\nrow 1, column 1"


def test_without_failures(page: Any, tmp_path: Path) -> None:
    solved = feed(
        Failures(META, 3), RIGHT[None], RIGHT[None], np.stack([RIGHT] * 2)[:, None],
        np.ones((2, 1)), np.arange(1), 6,
    )  # fmt: skip
    file = tmp_path / "failures.html"
    file.write_text(render(report_of(solved.sums()), "c", "d"), encoding="utf-8")
    page.goto(file.as_uri())
    page.wait_for_selector("#trouble")
    assert page.inner_text("#trouble") == "Every puzzle was solved."
    assert not page.is_visible("#browse")
