"""The painter of boards and the editor in a real browser, on drawings of four kinds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from hrm_scale.web.assets import SHARED
from tests.support.contrast import faint
from tests.support.drawings import ANSWERS, DRAWINGS, FRAME, MAZE, QUESTIONS, framed, tokens_of

pytestmark = pytest.mark.slow

SCRIPTS, STYLES = ("dom.js", "board.js", "editor.js"), ("theme.css", "board.css")
GLYPHS = "() => [...document.querySelectorAll('.board text')].map((one) => one.textContent)"
AT = "(name) => [...document.querySelectorAll(`.board .${name}`)].map((one) => +one.dataset.at)"
# The colour of the fill that a cell of a board is painted with.
FILL = """([row, column]) => getComputedStyle([...document.querySelectorAll('.board .fill')]
    .find((path) => path.isPointInFill(new DOMPoint((column + .5) * 20, (row + .5) * 20)))).fill"""
CELL = "(at) => document.querySelector(`[role=gridcell][data-at='${at}']`).ariaLabel"


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """An empty page with the shared files; the test fails for anything the browser complains of."""
    page = browser.new_page(viewport={"width": 600, "height": 600}, color_scheme="light")
    complaints: list[str] = []
    page.on("console", lambda m: m.type == "error" and complaints.append(m.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    styles = "".join((SHARED / name).read_text() for name in STYLES)
    scripts = "".join((SHARED / name).read_text() for name in SCRIPTS)
    page.set_content(
        f"<style>{styles}</style><main></main><div id=live></div><script>{scripts}</script>"
    )
    yield page
    page.close()
    assert complaints == []


def paint(page: Any, kind: str, **state: Any) -> None:
    page.evaluate(
        """([drawing, state]) => {
            window.board = new Board(drawing, 'Answer');
            document.querySelector('main').replaceChildren(board.element);
            board.paint(state);
        }""",
        [DRAWINGS[kind], {"question": QUESTIONS[kind], "shown": ANSWERS[kind], **state}],
    )


def edit(page: Any, kind: str, start: list[int], shape: list[int] | None = None) -> None:
    drawn = DRAWINGS[kind]
    outside = {"sudoku": {0}, "maze": {0, 5}, "arc": {0, 1}, "queens": {0, 5, 6}}[kind]
    page.evaluate(
        """([drawing, editable, start]) => {
            window.edits = 0;
            window.editor = new Editor(drawing, { label: 'Question', editable, start, reserved: 'e',
                onEdit: () => { edits += 1; editor.paint(); } });
            document.querySelector('main').replaceChildren(editor.element, editor.palette);
            editor.paint();
            editor.focus();
        }""",
        [
            drawn,
            [number for number in range(len(drawn["tokens"])) if number not in outside],
            {"shape": shape or [drawn["height"], drawn["width"]], "tokens": start},
        ],
    )


def tokens(page: Any) -> list[int]:
    found: list[int] = page.evaluate("editor.tokens")
    return found


def middle(page: Any, at: int) -> tuple[float, float]:
    box = page.locator(f"[role=gridcell][data-at='{at}']").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_sudoku_glyphs_clues_marks_and_lines(page: Any) -> None:
    marks = [at in (1, 12) for at in range(16)]
    paint(page, "sudoku", marks=marks, changed=[at in (2, 12) for at in range(16)])
    assert page.evaluate(GLYPHS) == [*"124434122143", *"??21"], "unknown and unfilled cells"
    question, answer = QUESTIONS["sudoku"], ANSWERS["sudoku"]
    given = [at for at in range(16) if question[at] > 1 and question[at] == answer[at]]
    assert page.evaluate(AT, "given") == given
    assert page.evaluate(AT, "wrong") == [1, 12]
    assert page.evaluate(AT, "strip") == [12], "changed and wrong: both are seen"
    colours = [page.evaluate(FILL, [0, column]) for column in range(4)]
    assert len(set(colours[:3])) == 3, "clue, wrong, changed"
    assert page.evaluate(FILL, [1, 0]) not in colours, "an answer"
    assert page.get_attribute(".board path.thick", "d") == "M0 40L80 40M40 0L40 80"
    label = page.get_attribute(".board", "aria-label")
    assert label == "Answer, 4 rows, 4 columns"
    assert page.evaluate("board.describe(12)") == "token 99, wrong, changed in this step"
    assert page.evaluate("board.describe(0)") == "given 1"


def test_a_question_alone_is_given_and_blank(page: Any) -> None:
    paint(page, "sudoku", shown=QUESTIONS["sudoku"], question=QUESTIONS["sudoku"])
    page.evaluate("board.paint({ shown: board.state.shown })")
    assert page.evaluate(GLYPHS) == ["1", "4", "1", "1", "4", "1"]


def test_a_maze_has_a_line_through_its_path(page: Any) -> None:
    paint(page, "maze", marks=[at == 13 for at in range(25)])
    steps = set(page.get_attribute(".board .path", "d").replace("M", " M").split())
    assert "M10" in steps
    ends = page.locator(".board circle")
    assert [ends.nth(n).get_attribute("cx") for n in (0, 1)] == ["10", "90"]
    assert page.evaluate(GLYPHS) == ["S", "G"], "walls show no glyph"
    assert page.get_attribute(".board .path", "d").count("h20") == 2
    assert page.get_attribute(".board .path", "d").count("v20") == 3
    assert page.evaluate(AT, "ring:not(.inner)") == [13]
    assert page.evaluate(FILL, [0, 4]) == "rgb(61, 64, 72)"
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(FILL, [0, 4]) == "rgb(93, 98, 109)", "a theme needs no painting"
    page.evaluate("board.paint({ shown: [3, 4], shape: [1, 2] })")
    assert page.get_attribute(".board .path", "d") == "", "ends alone are no path"


def test_arc_is_cropped_to_its_grid_or_shown_in_its_frame(page: Any) -> None:
    heat = [1.0 if at == 3 * 30 + 4 else 0 for at in range(900)]
    paint(page, "arc", marks=[at == 3 * 30 + 6 for at in range(900)], heat=heat)
    assert page.get_attribute(".board", "viewBox") == "60 40 80 60"
    assert page.evaluate(FILL, [2, 4]) == "rgb(0, 116, 217)"
    assert page.evaluate(GLYPHS) == []
    assert page.evaluate(AT, "corner") == [94]
    assert page.evaluate(AT, "ring:not(.inner)") == [96]
    page.evaluate("board.paint({ shown: board.state.shown, part: [0, 0, 30, 30] })")
    assert page.get_attribute(".board", "viewBox") == "0 0 600 600"
    outside = page.evaluate(GLYPHS)
    assert (outside.count("/"), outside.count("·")) == (8, 880), "end marks and padding"
    page.evaluate("board.paint({ shown: [3, 4], shape: [1, 2] })")
    assert page.get_attribute(".board", "aria-label") == "Answer, 1 rows, 2 columns"
    assert page.evaluate(FILL, [0, 1]) == "rgb(255, 65, 54)"
    page.evaluate("board.paint({ shown: [], shape: [0, 0], question: [3] })")
    assert page.get_attribute(".board", "aria-label") == "Answer, 0 rows, 0 columns", "no grid"


def test_queens_stand_on_the_colours_of_the_question(page: Any) -> None:
    paint(page, "queens")
    assert page.evaluate(FILL, [0, 1]) == "rgb(244, 166, 160)"
    assert page.evaluate(GLYPHS).count("♛") == 4
    borders = page.get_attribute(".board path.thick", "d")
    assert borders.count("M") == 9
    box = page.locator(".board").bounding_box()
    at = page.evaluate(
        "([x, y]) => board.cellAt({ clientX: x, clientY: y })",
        [box["x"] + box["width"] * 0.9, box["y"] + box["height"] * 0.4],
    )
    assert at == 7


def test_typing_goes_by_the_glyphs_of_the_drawing(page: Any) -> None:
    edit(page, "sudoku", [1] * 16)
    for key in ("3", "ArrowRight", "ArrowDown", "4", "End", "2", "e", "5"):
        page.keyboard.press(key)
    wanted = [1] * 16
    wanted[0], wanted[5], wanted[7] = 4, 5, 3
    assert tokens(page) == wanted
    assert page.evaluate(CELL, 5) == "row 2, column 2, given 4"
    page.keyboard.press("Backspace")
    page.mouse.click(*middle(page, 5))
    page.click(".pad button >> text=1")
    page.mouse.click(*middle(page, 0))
    page.click("[aria-label='Empty the cell']")
    assert tokens(page) == [1, 1, 1, 1, 1, 2, *[1] * 10]
    assert page.evaluate("editor.text()") == "....\n.1..\n....\n...."
    assert page.locator("[tabindex='0'][role=gridcell]").count() == 1


def test_mazes_are_drawn_by_dragging_and_pieces_move(page: Any) -> None:
    empty = tokens_of(MAZE, "S" + " " * 23 + "G")
    edit(page, "maze", empty)
    page.mouse.move(*middle(page, 6))
    page.mouse.down()
    page.mouse.move(*middle(page, 8), steps=8)
    page.mouse.up()
    walls = [at for at, token in enumerate(tokens(page)) if token == 1]
    assert walls == [6, 7, 8], "drawn by dragging"
    page.mouse.click(*middle(page, 7))
    page.check("input[value=goal]")
    page.mouse.click(*middle(page, 12))
    page.keyboard.press("ArrowUp")
    page.keyboard.press("w")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("S")
    found = tokens(page)
    assert (found.index(3), found.index(4), found.count(3), found.count(4)) == (2, 12, 1, 1)
    assert [at for at, token in enumerate(found) if token == 1] == [6, 7, 8]
    page.keyboard.press("g")
    assert (tokens(page).index(4), tokens(page).index(3)) == (2, 12), "they change places"
    page.check("input[value=wall]")
    page.mouse.click(*middle(page, 2))
    assert tokens(page)[2] == 4, "a piece is never painted over"


def test_arc_is_painted_with_colours_and_resized(page: Any) -> None:
    edit(page, "arc", [2] * 9, [3, 3])
    for key in ("7", "ArrowRight", "8", "ArrowDown"):
        page.keyboard.press(key)
    page.locator(".option").nth(5).click()
    page.mouse.click(*middle(page, 4))
    page.mouse.click(*middle(page, 4))
    assert tokens(page) == [9, 10, 2, 2, 7, 2, 2, 2, 2]
    page.evaluate("editor.resize(2, 4)")
    assert tokens(page) == [9, 10, 2, 2, 2, 7, 2, 2]
    assert page.evaluate("editor.text()") == "7800\n0500"


def test_cells_beyond_the_tokens_are_none(page: Any) -> None:
    paint(page, "sudoku", shown=ANSWERS["sudoku"][:12])
    assert page.evaluate(GLYPHS) == [*"124434122143"]
    assert page.evaluate("board.cells.length") == 12


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", DRAWINGS)
def test_glyphs_stand_out(page: Any, kind: str, scheme: str) -> None:
    """3:1, the limit for large text, on every fill and mark."""
    page.emulate_media(color_scheme=scheme)
    flags = [at % 3 == 0 for at in range(len(ANSWERS[kind]))]
    state = {"part": [0, 0, 30, 30]} if kind == "arc" else {}
    paint(page, kind, marks=flags, changed=flags[1:] + flags[:1], **state)
    assert faint(page, 3, glyphs=True) == []


def test_thumbnails_tell_tokens_by_colour(page: Any) -> None:
    paint(page, "sudoku", thumb=True)
    assert page.evaluate(GLYPHS) == []
    assert page.evaluate(FILL, [0, 0]) != page.evaluate(FILL, [0, 1])


def test_a_board_says_nothing_where_it_is_decoration(page: Any) -> None:
    frame = json.dumps([FRAME, framed(["12"])])
    page.evaluate(
        f"""() => {{
            const [drawing, shown] = {frame};
            const board = new Board(drawing, '');
            board.paint({{ shown }});
            document.querySelector('main').replaceChildren(board.element);
        }}"""
    )
    assert page.get_attribute(".board", "aria-hidden") == "true"
    assert page.get_attribute(".board", "role") is None
