"""The page of the failure report as text: whole, escaped, right, small."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from benchmarks.tiny.data_sets import sudoku_meta
from hrm_scale.base.statistics import wilson
from hrm_scale.evaluation.failures import render
from hrm_scale.evaluation.failures.facts import KINDS
from hrm_scale.evaluation.observers.failures import Failures
from tests.support.failure_cases import CLUES, META, RIGHT, WRONG, feed, report_of, told


class Structure(HTMLParser):
    """Checks that every element that is opened is closed, in order."""

    VOID = ("meta", "input", "br", "hr", "img", "link")

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attributes: Any) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.stack[-1] if self.stack else "", data))


def parse(page: str) -> Structure:
    structure = Structure()
    structure.feed(page)
    structure.close()
    assert structure.stack == []
    return structure


def document(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert found is not None
    return json.loads(found[1])


EVIL = "</script><img src=x onerror=\"alert('{{script}}')\"> {{body}} &amp; <b>"


def test_the_page_is_whole_and_escaped() -> None:
    meta = sudoku_meta(4, "online", extra={"sources": [EVIL, "plain"]})
    report = Failures(meta, 10).result([told(meta=meta)])
    page = render(report, EVIL, EVIL, EVIL)
    structure = parse(page)
    tags = [tag for tag, _ in structure.elements]
    assert "img" not in tags
    assert tags.count("script") == 2
    assert not [name for _, attributes in structure.elements for name in attributes
                if name.startswith("on") or name in ("src", "href", "style")]  # fmt: skip
    assert EVIL in "".join(text for tag, text in structure.texts if tag == "h1")
    assert document(page)["puzzles"][0]["source"] in (EVIL, "plain")
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


def test_only_its_own_script_and_style_run() -> None:
    page = render(report_of(told()), "c", "d")
    policy = next(a["content"] for _, a in parse(page).elements if "http-equiv" in a)
    assert policy is not None
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        text = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert text is not None
        digest = base64.b64encode(hashlib.sha256(text[1].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_numbers_on_the_page() -> None:
    page = render(report_of(told()), "c", "d")
    text = " ".join(text for _, text in parse(page).texts)
    low, high = wilson(1, 8)
    assert f"12.5% {low:.1%} to {high:.1%}" in text
    low, high = wilson(2, 7)
    assert f"28.6% {low:.1%} to {high:.1%} 2 of 7" in text, "solved, then lost"
    assert "<b>&hard" in text, "sources are named"
    for kind in KINDS:
        assert kind.meaning in text


def test_boards_come_back() -> None:
    report = report_of(told())
    content = document(render(report, "c", "d"))
    blocks = np.frombuffer(zlib.decompress(base64.b64decode(content["bytes"])), np.uint8)
    blocks = blocks.reshape(len(report.kept), 3 + content["steps"], content["cells"])
    for puzzle, block, facts in zip(report.kept, blocks, content["puzzles"], strict=True):
        assert np.array_equal(block[0], puzzle.question)
        assert np.array_equal(block[1], puzzle.label)
        assert block[2].tolist() == [1] * 16
        assert np.array_equal(block[3:], puzzle.trace)
        assert (facts["row"], facts["wrong"]) == (puzzle.row, puzzle.wrong)


def shown_parts(page: str) -> tuple[bool, bool]:
    """Is the note that there are no labels shown, and is the report?"""
    parse(page)
    hidden = [
        re.search(rf"<{tag}([^>]*)>{start}", page)[1]  # type: ignore[index]
        for tag, start in (("p", "No puzzle has a label"), ("div", r'\s*<dl class="headline">'))
    ]
    return "hidden" not in hidden[0], "hidden" not in hidden[1]


def test_a_kind_with_other_ratings_and_lines() -> None:
    board = {"height": 4, "width": 4}
    meta = sudoku_meta(4, "online", kind="maze", board=board)
    content = document(render(report_of(told(meta=meta), meta=meta), "c", "d"))
    assert content["rating"] == "Moves"
    assert content["drawing"]["path"] == [5, 3, 4]
    sudoku = render(report_of(told()), "c", "d")
    assert document(sudoku)["drawing"]["lines"] == [[2, 0, 2, 4], [0, 2, 4, 2]]
    lines = [a for tag, a in parse(sudoku).elements if tag == "line" and a["class"] == "box"]
    ends = [[float(line[name] or 0) for name in ("x1", "y1", "x2", "y2")] for line in lines]
    assert [(x1 == x2, y1 == y2) for x1, y1, x2, y2 in ends] == [(False, True), (True, False)]


def test_nothing_to_show() -> None:
    empty = Failures(META, 3).result([Failures(META, 3).sums()])
    assert shown_parts(render(empty, "c", "d")) == (True, False)
    assert shown_parts(render(report_of(told()), "c", "d")) == (False, True)
    solved = feed(
        Failures(META, 3), CLUES[None], RIGHT[None], np.stack([RIGHT] * 2)[:, None],
        np.ones((2, 1)), np.arange(1), 6,
    )  # fmt: skip
    page = render(report_of(solved.sums()), "c", "d")
    parse(page)
    assert document(page)["puzzles"] == []


def test_a_strange_halt_head() -> None:
    halts = np.array([[np.nan], [np.inf], [-np.inf]])
    failures = feed(
        Failures(META, 3), CLUES[None], RIGHT[None], np.stack([WRONG] * 3)[:, None], halts,
        np.arange(1), 6,
    )  # fmt: skip
    page = render(report_of(failures.sums()), "c", "d")
    assert document(page)["puzzles"][0]["halt"] == [None, None, None]


@pytest.mark.parametrize(("side", "most"), [(9, 0.5e6), (30, 2e6)])
def test_pages_are_small(side: int, most: float) -> None:
    """Even answers that are noise: 100 puzzles, 16 steps."""
    board = {"height": side, "width": side}
    changes: dict[str, Any] = {"seq_len": side * side, "board": board, "kind": "noise"}
    meta = sudoku_meta(9, "online", **changes)
    rng = np.random.default_rng(0)
    labels = rng.integers(2, 11, (100, side * side))
    trace = rng.integers(2, 11, (16, 100, side * side))
    failures = feed(
        Failures(meta, 100), labels, labels, trace, np.zeros((16, 100)), np.arange(100), 11
    )
    page = render(failures.result([failures.sums()]), "c", "d")
    assert len(document(page)["puzzles"]) == 100
    assert len(page.encode()) < most
