"""The page to play on in a real browser: typing, pasting, drawing, watching, small screens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tiny.runs import train_here
from hrm_scale.base.plugins import PUZZLE_FILES
from hrm_scale.playing.api import PlayApi
from shards.generate.cli import main as generate
from tests.support.contrast import faint
from tests.support.play_sets import KINDS, api_of, served, train_run

pytestmark = pytest.mark.slow

# What the board that can be edited shows: glyphs of its cells, cells with a mark, cells of a token.
CELLS = """() => {
    const glyphs = editor.tokens.map(() => '');
    for (const text of document.querySelectorAll('#stage .picture text')) {
        glyphs[text.dataset.at] = text.textContent;
    }
    return glyphs;
}"""
FLAGGED = """(name) => name === 'given'
    ? [...document.querySelectorAll('#stage .picture text.given')].map((one) => +one.dataset.at)
    : [...editor.board.state[name]].flatMap((flag, at) => (flag ? [at] : []))"""
HOLDING = """(name) => [...editor.board.state.shown].flatMap(
    (token, at) => (about.drawing.tokens[token].name === name ? [at] : []))"""
PASTE = """(text) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData('text', text);
    document.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true }));
}"""
FITS = "() => document.documentElement.scrollWidth <= innerWidth"
RESTS = """() => !document.getElementById('replay').hidden
    && !document.getElementById('play').classList.contains('playing')"""
SMALL = """() => [...document.querySelectorAll('button, select, input, .option')]
    .filter((one) => one.checkVisibility() && !['radio', 'checkbox'].includes(one.type))
    .map((one) => [one.id || one.textContent.trim(), one.getBoundingClientRect()])
    .filter(([, box]) => Math.min(box.width, box.height) < 44).map(([name]) => name)"""


@pytest.fixture(scope="module")
def apis(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PlayApi]:
    return {kind: api_of(*train_run(tmp_path_factory.mktemp(kind), kind)) for kind in KINDS}


@contextmanager
def opened(browser: Any, width: int, height: int, **options: Any) -> Iterator[Any]:
    """A page that fails the test for anything the browser complains about, but questions that
    were refused: that is for the page to show."""
    viewport = {"width": width, "height": height}
    page = browser.new_page(viewport=viewport, color_scheme="light", **options)
    page.set_default_timeout(20_000)
    complaints: list[str] = []
    page.on("console", lambda m: m.type == "error" and complaints.append(m.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    page.close()
    assert [text for text in complaints if "Failed to load resource" not in text] == []


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    with opened(browser, 1280, 800) as page:
        yield page


@pytest.fixture
def phone(browser: Any) -> Iterator[Any]:
    with opened(browser, 360, 640, has_touch=True, is_mobile=True) as page:
        yield page


def shown(page: Any, text: str) -> None:
    """Wait until the page says which step it shows."""
    page.wait_for_function(
        "text => document.getElementById('count').textContent === text", arg=text
    )


def marked(page: Any, cells: list[int]) -> None:
    """Wait until these clues are marked: they contradict each other."""
    page.wait_for_function(f"cells => String(({FLAGGED})('marks')) === String(cells)", arg=cells)


def typed(page: Any, text: str) -> None:
    """Wait until the question is this text."""
    page.wait_for_function("text => editor.text().replaceAll('\\n', '') === text", arg=text)


def open_empty(page: Any, url: str) -> None:
    """Open the page and take away the example that it opens on."""
    page.goto(url)
    page.wait_for_selector("[role=gridcell]:focus")
    page.click("#clear")


def play_to(page: Any, text: str) -> None:
    """Let a new answer play, past the step at which the model would halt."""
    page.wait_for_function(RESTS)
    if page.is_visible("#rest"):
        page.click("#rest")
    shown(page, text)


def answers(api: PlayApi, **question: Any) -> list[dict[str, Any]]:
    *steps, _ = api.solve(question)
    return steps


def text_of(grid: dict[str, Any]) -> str:
    """A grid of ARC as text."""
    width = grid["shape"][1]
    digits = "".join(str(token - 2) for token in grid["tokens"])
    return "/".join(digits[at : at + width] for at in range(0, len(digits), width))


def test_it_opens_on_an_example_and_plays_it_once(phone: Any, apis: dict[str, PlayApi]) -> None:
    page, live = phone, "() => document.getElementById('live').textContent"
    with served(apis["sudoku"]) as server:
        page.goto(server.url)
        page.wait_for_function(RESTS)
        assert page.evaluate("editor.tokens.some((token) => token > 1)"), "an example"
        verdict = page.inner_text("#verdict")
        # A note about the number of solutions may follow: the example is any one of the set.
        assert verdict
        assert page.evaluate(live).startswith(verdict)
        assert page.evaluate("scrollY") == 0, "the puzzle is seen first"
        page.tap("#solve")
        page.wait_for_function(RESTS)
        seen = (
            "() => document.getElementById('verdict').getBoundingClientRect().bottom < innerHeight"
        )
        assert page.evaluate("scrollY") > 0
        assert page.evaluate(seen)
        assert page.evaluate(SMALL) == [], "everything is large enough for a finger"

        page.tap("[aria-label='Empty the cell']")
        assert page.evaluate(live) == "", "no verdict on a puzzle that was changed"
        page.tap("#solve")
        page.wait_for_function(f"() => ({RESTS})() && ({live})()")
        page.route("**/api/example*", lambda route: route.abort())
        page.tap("#example")
        page.wait_for_selector("#error:not([hidden])")
        assert page.evaluate(live) == "", "an error stands for itself"
        page.unroute("**/api/example*")

        page.emulate_media(reduced_motion="reduce")
        page.goto(server.url)
        page.wait_for_selector("[role=gridcell]:focus")
        assert page.evaluate(FLAGGED, "given")
        assert page.is_hidden("#replay"), "an example, and nothing moves"


def test_playing_stops_where_the_model_would_halt(page: Any, apis: dict[str, PlayApi]) -> None:
    api = apis["sudoku"]
    puzzles = (api.example(number)["puzzle"] for number in range(api.about()["examples"]))
    found = (
        (puzzle, [step["halts"] for step in answers(api, puzzle=puzzle)]) for puzzle in puzzles
    )
    puzzle, halt = next((puzzle, 1 + at.index(True)) for puzzle, at in found if any(at[:2]))
    with served(api) as server:
        open_empty(page, server.url)
        page.evaluate(PASTE, puzzle)
        page.click("#solve")
        for _ in range(2):
            page.wait_for_function(RESTS)
            shown(page, f"{halt} / 3")
            page.click("#rest")
            shown(page, "3 / 3")
            assert page.is_hidden("#rest")
            page.click("#play")


def test_a_sudoku_is_typed_and_solved_step_by_step(page: Any, apis: dict[str, PlayApi]) -> None:
    api = apis["sudoku"]
    with served(api) as server:
        open_empty(page, server.url)
        assert "Sudoku 4x4 · hrm" in page.inner_text("#facts")
        for key in ("1", "ArrowRight", "ArrowDown", "3", "ArrowUp", "1"):
            page.keyboard.press(key)
        marked(page, [0, 1])
        page.keyboard.press("Enter")
        page.wait_for_selector("#error:not([hidden])")
        assert "stands twice" in page.inner_text("#error")
        page.keyboard.press("Backspace")
        marked(page, [])
        assert page.is_hidden("#error")

        steps = answers(api, puzzle="1....3..........")
        page.keyboard.press("Enter")
        play_to(page, "3 / 3")
        assert page.inner_text("#solutions") == steps[0]["note"] != ""
        for number in (3, 2, 1):
            step = steps[number - 1]
            assert page.inner_text("#verdict") == step["verdict"]
            digits = ["?" if c < 2 else str(c - 1) for c in step["cells"]]
            assert page.evaluate(CELLS) == digits
            assert page.evaluate(FLAGGED, "marks") == step["wrong"]
            if number > 1:
                before = steps[number - 2]["cells"]
                changed = [at for at in range(16) if before[at] != step["cells"][at]]
                assert page.evaluate(FLAGGED, "changed") == changed
            page.keyboard.press("[")
        shown(page, "0 / 3")
        assert page.evaluate(CELLS) == ["1", "", "", "", "", "3", *[""] * 10]
        page.focus("#shown")
        page.keyboard.press("ArrowRight")
        shown(page, "1 / 3")
        page.keyboard.press("u")
        unsure = (100 - steps[0]["sure"][0]) / 100
        assert page.evaluate("editor.board.state.heat[0]") == unsure
        shade = page.get_attribute(".picture .heat[data-at='0']", "fill-opacity")
        assert float(shade) == pytest.approx(0.9 * unsure)
        says = page.get_attribute("#chart svg", "aria-label")
        halt = next((step["step"] for step in steps if step["halts"]), 0)
        assert (f"would halt at step {halt}" if halt else "no halt") in says
        page.keyboard.press("p")
        play_to(page, "3 / 3")
        page.keyboard.press("?")
        assert page.locator("#keylist dt").first.inner_text().split() == ["1", "…", "4"]


def test_a_sudoku_is_pasted_cleared_and_taken_as_an_example(
    page: Any, apis: dict[str, PlayApi]
) -> None:
    with served(apis["sudoku"]) as server:
        page.goto(server.url)
        page.wait_for_selector("[role=gridcell]:focus")
        page.evaluate(PASTE, "1 . | . 4\n. . | 1 .\n----+----\n. 1 | . .\n4 . | . 1\n")
        text = "1..4..1..1..4..1"
        wanted = [c.replace(".", "") for c in text]
        typed(page, text)
        assert page.evaluate(CELLS) == wanted
        page.evaluate(PASTE, "1..4")
        page.wait_for_selector("#error:not([hidden])")
        assert "has 4 cells" in page.inner_text("#error")
        assert page.evaluate(CELLS) == wanted
        page.click("#clear")
        assert page.evaluate(CELLS) == [""] * 16
        page.keyboard.press("t")
        page.fill("#written", "source,1..4..1..1..4..1,7")
        page.click("#load")
        typed(page, text)
        assert not page.is_visible("#writing")
        page.click(".pad button >> nth=1")
        assert page.evaluate(CELLS)[0] == "2", "into the chosen cell"
        page.click("#clear")
        page.keyboard.press("e")
        page.wait_for_function("() => document.querySelectorAll('text.given').length > 0")
        page.click("#solve")
        play_to(page, "3 / 3")
        assert "differ from the known answer" in page.inner_text("#verdict")


def test_more_steps_and_another_path(page: Any, apis: dict[str, PlayApi]) -> None:
    api = apis["sudoku"]
    with served(api) as server:
        open_empty(page, server.url)
        page.fill("#steps", "99")
        page.click("#solve")
        page.select_option("#speed", "16")
        play_to(page, "12 / 12")
        page.click("#other")
        assert page.inner_text("#other") == "Another path (now 1)"
        play_to(page, "12 / 12")
        wanted = answers(api, puzzle="." * 16, steps=12, path=1)[-1]
        assert page.evaluate(CELLS) == ["?" if c < 2 else str(c - 1) for c in wanted["cells"]]


def test_a_maze_is_drawn_and_solved(page: Any, apis: dict[str, PlayApi]) -> None:
    api = apis["maze"]
    with served(api) as server:
        open_empty(page, server.url)
        middle = []
        for at in (7, 10):
            box = page.locator("[role=gridcell]").nth(at).bounding_box()
            middle.append((box["x"] + box["width"] / 2, box["y"] + box["height"] / 2))
        page.mouse.move(*middle[0])
        page.mouse.down()
        page.mouse.move(*middle[1], steps=12)
        page.mouse.up()
        assert page.evaluate(HOLDING, "wall") == [7, 8, 9, 10], "drawn by dragging"
        page.mouse.click(*middle[0])
        assert page.evaluate(HOLDING, "wall") == [8, 9, 10], "taken away by clicking"
        page.check("input[value=goal]")
        page.locator("[role=gridcell]").nth(30).click()
        assert page.evaluate(HOLDING, "goal") == [30], "there is only one"
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowUp")
        page.keyboard.press("s")
        assert page.evaluate(HOLDING, "start") == [18]
        page.keyboard.press("ArrowRight")
        page.keyboard.press("w")
        assert page.evaluate(HOLDING, "wall") == [8, 9, 10, 19]
        puzzle = "".join("#" if at in (8, 9, 10, 19) else " " for at in range(36))
        puzzle = puzzle[:18] + "S" + puzzle[19:30] + "G" + puzzle[31:]
        step = answers(api, puzzle=puzzle)[-1]
        page.keyboard.press("Enter")
        play_to(page, "3 / 3")
        assert page.inner_text("#verdict") == step["verdict"]
        free = [at for at in range(36) if puzzle[at] in " #"]
        path = [at for at in free if step["cells"][at] == 5]
        assert page.evaluate(HOLDING, "path") == path
        page.evaluate(PASTE, "\n".join(["S....."] * 6))
        page.wait_for_selector("#error:not([hidden])")
        assert "the maze has 6 S" in page.inner_text("#error")


def test_an_arc_task_is_chosen_changed_and_pasted(page: Any, apis: dict[str, PlayApi]) -> None:
    api = apis["arc"]
    with served(api) as server:
        open_empty(page, server.url)
        assert "does not know this task" in page.inner_text("#note")
        task = api.task("bb22")
        page.select_option("[aria-label=Task]", "bb22")
        page.wait_for_selector("[aria-label='Demonstrations'] .pair >> nth=2")
        assert page.is_hidden("#note")
        question, answer = task["tests"][0].values()
        colours = "() => [...editor.tokens].map((token) => token - 2)"
        assert page.evaluate("[...editor.tokens]") == question["tokens"]
        steps = answers(api, puzzle=text_of(question), task="bb22", answer=text_of(answer))
        page.click("#solve")
        play_to(page, "3 / 3")
        assert page.inner_text("#verdict") == steps[-1]["verdict"]
        drawn = "() => output.state.shown.length"
        assert page.evaluate(drawn) == len(steps[-1]["cells"])

        page.fill("[aria-label=Rows]", "2")
        page.fill("[aria-label=Columns]", "2")
        page.keyboard.press("Tab")
        page.locator("[role=gridcell]").nth(0).focus()
        for key in ("7", "ArrowRight", "8", "ArrowDown", "9"):
            page.keyboard.press(key)
        page.click(".option >> nth=3")
        page.locator("[role=gridcell]").nth(2).click()
        assert page.evaluate(colours) == [7, 8, 3, 9]

        pasted = {"train": [{"input": [[1]], "output": [[2, 2]]}], "test": [{"input": [[4], [5]]}]}
        page.evaluate(PASTE, json.dumps(pasted))
        page.wait_for_function(f"() => String(({colours})()) === '4,5'")
        assert page.locator("[aria-label='Demonstrations'] .pair").count() == 1
        assert "does not know this task" in page.inner_text("#note")
        page.evaluate(PASTE, '{"train": [], "test": [{"input": [[10]]}]}')
        page.wait_for_selector("#error:not([hidden])")
        assert "allowed are the colours 0 to 9" in page.inner_text("#error")


def test_a_kind_from_outside_is_drawn_and_solved(
    page: Any, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Queens: nothing of the page knows them, not even that regions are colours."""
    monkeypatch.setenv(PUZZLE_FILES, str(root / "examples" / "my_puzzle.py"))
    data, run = tmp_path / "data", tmp_path / "run"
    sizes = ["--size", "5", "--count", "30", "--test-size", "4", "--output-dir", str(data)]
    generate(["queens", *sizes])
    train_here(data, run, max_steps=2, **{"arch.halt_max_steps": 3})
    api = api_of(run, data)
    example = api.example(1)
    with served(api) as server:
        open_empty(page, server.url)
        assert "Queens 5x5 · hrm" in page.inner_text("#facts")
        assert page.evaluate(HOLDING, "region A") == list(range(25))
        page.locator("[role=gridcell]").nth(6).focus()
        page.keyboard.press("e")
        page.keyboard.press("ArrowRight")
        page.check("input[value='region B']")
        page.locator("[role=gridcell]").nth(7).click()
        assert page.evaluate(HOLDING, "region E") == [6], "a key of the page elsewhere"
        assert page.evaluate(HOLDING, "region B") == [7]
        borders = page.get_attribute(".picture path.thick", "d")
        assert borders.count("M") == 7, "around two cells"
        page.evaluate(PASTE, example["puzzle"])
        typed(page, example["puzzle"])
        page.click("#solve")
        play_to(page, "3 / 3")
        step = answers(api, puzzle=example["puzzle"])[-1]
        assert page.inner_text("#verdict") == step["verdict"]
        assert page.evaluate("[...editor.board.state.shown]") == step["cells"]
        assert page.evaluate(FLAGGED, "marks") == step["wrong"]


def test_a_program_that_ended_is_told(page: Any, apis: dict[str, PlayApi]) -> None:
    with served(apis["sudoku"]) as server:
        open_empty(page, server.url)
        page.route("**/api/solve", lambda route: route.abort())
        page.click("#solve")
        page.wait_for_selector("#error:not([hidden])")
        assert "The program has ended" in page.inner_text("#error")
        assert page.is_hidden("#replay")


@pytest.mark.parametrize("kind", KINDS)
def test_small_screens_keys_and_both_schemes(
    page: Any, apis: dict[str, PlayApi], kind: str
) -> None:
    with served(apis[kind]) as server:
        page.set_viewport_size({"width": 360, "height": 700})
        page.goto(server.url)
        page.wait_for_selector("[role=gridcell]:focus")
        ground = "() => getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(ground)
        play_to(page, "3 / 3")
        assert faint(page, 4.5) == []
        page.keyboard.press("d")
        assert page.evaluate(ground) != light
        assert faint(page, 4.5) == []
        page.keyboard.press("e")
        page.wait_for_selector("#replay", state="hidden")
        page.keyboard.press("Enter")
        play_to(page, "3 / 3")
        assert page.evaluate(FITS), "nothing hangs over the edge of a phone"
        page.keyboard.press("?")
        assert page.is_visible("#keys")
        page.keyboard.press("Escape")
        unnamed = """() => [...document.querySelectorAll('button, input, select')].filter(
            (one) => !one.labels?.length && !one.textContent.trim() && !one.ariaLabel).length"""
        assert page.evaluate(unnamed) == 0, "every control has a name"
        assert page.locator("[tabindex='0'][role=gridcell]").count() == 1, (
            "a board is one stop of Tab"
        )
