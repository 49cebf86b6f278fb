"""The data set viewer in a real browser: boards, search, undoing, predictions, one-file pages."""

from __future__ import annotations

import argparse
import base64
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.runs import make_halting_likely, train_here
from hrm_scale.base.errors import ConfigError
from hrm_scale.data import Dataset, open_dataset
from hrm_scale.puzzles.arc.grid import augment
from hrm_scale.puzzles.drawing import PALETTE, REGIONS
from tests.support.pages import running
from tests.support.viewer_sets import arc_set, stars_set
from tools.shards.view.api import ViewerApi
from tools.shards.view.command import add_arguments, view
from tools.shards.view.server import ViewerServer

pytestmark = pytest.mark.slow

# Boards of the pairs: the tokens that are shown, row by row, their marks, their name.
SHOWN = """() => [...document.querySelectorAll('.pair .board')].map(({ board, ariaLabel }) => ({
    tokens: board.cells.map((cell) => cell.token), rows: board.part[2], columns: board.part[3],
    wrong: board.cells.map((cell) => cell.wrong), given: board.cells.map((cell) => cell.given),
    name: ariaLabel,
}))"""
# The colour that a cell is painted with.
FILL = """([number, row, column]) => {
    const { element, part: [top, left] } = document.querySelectorAll('.pair .board')[number].board;
    const at = new DOMPoint((left + column + 0.5) * 20, (top + row + 0.5) * 20);
    return [...element.querySelectorAll('.fill')].find((path) => path.isPointInFill(at)).style.fill;
}"""
TILES = (
    "() => [...document.querySelectorAll('.tile .board')].map((e) => String(e.board.state.shown))"
)


@pytest.fixture(scope="module")
def arc(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return arc_set(tmp_path_factory.mktemp("arc"))


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that fails the test for anything the browser complains about."""
    page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
    page.set_default_timeout(8000)
    complaints: list[str] = []
    page.on("console", lambda m: m.type == "error" and complaints.append(m.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    page.close()
    assert complaints == []


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Serve a data set; returns the address of the page."""
    with ExitStack() as stack:

        def start(dataset: Dataset, predictor: Any = None) -> str:
            return stack.enter_context(running(ViewerServer(ViewerApi(dataset, predictor)))).url

        yield start


def title(page: Any, text: str) -> None:
    page.wait_for_function("text => document.querySelector('h1')?.textContent === text", arg=text)


def label(page: Any, text: str) -> None:
    page.wait_for_function(
        "text => document.querySelector('.description span')?.textContent.startsWith(text)",
        arg=text,
    )


def first_pair(dataset: Dataset, group: int) -> list[np.ndarray]:
    """Grids of the first pair of an online ARC group."""
    rows = dataset.read("train", ["inputs", "labels", "shapes", "groups"], 0, 1 << 30)
    row = int(np.flatnonzero(rows["groups"] == group)[0])
    shape = rows["shapes"][row].tolist()
    return [
        rows[name][row].reshape(30, 30)[: shape[2 * i], : shape[2 * i + 1]] - 2
        for i, name in enumerate(("inputs", "labels"))
    ]


def assert_drawn(page: Any, number: int, grid: np.ndarray) -> None:
    """A board holds the grid of colours, and two of its cells have their official colours."""
    shown = page.evaluate(SHOWN)[number]
    assert (shown["rows"], shown["columns"]) == grid.shape
    assert shown["tokens"] == (grid + 2).ravel().tolist()
    for row, column in ((0, 0), (grid.shape[0] - 1, grid.shape[1] - 1)):
        red, green, blue = bytes.fromhex(PALETTE[grid[row, column]][1:])
        assert page.evaluate(FILL, [number, row, column]) == f"rgb({red}, {green}, {blue})"


def test_arc_is_found_augmented_and_undone(
    page: Any, serve: Callable[..., str], arc: Dataset
) -> None:
    page.goto(serve(arc))
    tasks = [task for task in arc.tasks() if task[0] != "<blank>"]
    title(page, tasks[0][0])
    task, first, _ = next(task for task in tasks if task[0] == "cc33")
    group = [name for name, _, _ in tasks].index(task)

    page.keyboard.press("/")
    page.keyboard.type(str(first + 4))
    page.wait_for_selector("#hits li")
    page.keyboard.press("Enter")
    title(page, task)
    label(page, "variant 4")
    assert page.url.endswith(f"#split/train/group/{group}/copy/4")
    grids = first_pair(arc, group)
    variant = arc.augmentations()[first + 4]
    for side, grid in enumerate(grids):
        assert_drawn(page, side, augment(grid, variant))

    page.click("#undo")
    label(page, "variant 4, undone")
    for side, grid in enumerate(grids):
        assert_drawn(page, side, grid)
    assert page.get_attribute("#undo", "aria-pressed") == "true"
    assert len(set(page.evaluate(TILES))) == 1, "all copies are the same once undone"

    page.keyboard.press("u")
    label(page, "variant 4 ·")
    page.keyboard.press("f")
    page.wait_for_function("() => document.querySelector('.pair .board').board.part[2] === 30")
    page.keyboard.press("f")
    page.keyboard.press("ArrowDown")
    label(page, "variant 5")
    page.keyboard.press("ArrowLeft")
    title(page, tasks[group - 1][0])
    page.go_back()
    title(page, task)
    label(page, "variant 5")

    page.click("text=test >> visible=true")
    title(page, "aa11")
    assert page.locator("#main section").count() == 2
    assert page.locator("#main .pair").count() == 4, "demonstrations and test pair together"


def test_themes_help_phone_and_errors(page: Any, serve: Callable[..., str], arc: Dataset) -> None:
    url = serve(arc)
    page.goto(url)
    page.wait_for_selector("#main .board")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.keyboard.press("d")
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    page.wait_for_selector("#main .board")
    assert page.evaluate(ground) == dark, "the choice is kept"
    page.keyboard.press("?")
    assert page.is_visible("#keys")
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 360, "height": 700})
    assert not page.is_visible("#side")
    page.click("#menu")
    page.wait_for_selector("#side", state="visible")
    page.click("#list a >> nth=2")
    title(page, "cc33")
    wide = "document.documentElement.scrollWidth <= innerWidth"
    assert page.evaluate(wide), "nothing hangs over the edge of a phone"


def test_sudoku_symmetries_and_long_lists(
    page: Any, serve: Callable[..., str], tmp_path: Path
) -> None:
    dataset = open_dataset(write_online(tmp_path / "s", size=9, examples=700))
    page.goto(serve(dataset) + "#split/train/group/650/copy/3")
    title(page, "Group 650")
    stored = dataset.read("train", ["inputs", "labels"], 650, 651)
    seed, where = dataset.meta.augmentation["seed"], (np.array([650]), np.array([3]))
    made = dataset.meta.puzzle.symmetry.augment(*stored.values(), *where, seed)
    assert [b["tokens"] for b in page.evaluate(SHOWN)] == [side[0].tolist() for side in made]
    page.keyboard.press("u")
    label(page, "augmentation 3, undone")
    shown = [board["tokens"] for board in page.evaluate(SHOWN)]
    assert shown == [stored[name][0].tolist() for name in ("inputs", "labels")]
    page.wait_for_selector("#list a[data-ordinal='650'][aria-current='true'] .board")
    assert page.locator("#list a").count() < 60, "only the lines on the screen exist"


def test_maze(page: Any, serve: Callable[..., str], tmp_path: Path) -> None:
    from shards.maze.cli import main as build

    size = ["--source", "generate", "--size", "8", "--count", "4", "--test-size", "2"]
    build([*size, "--min-path", "8", "--output-dir", str(tmp_path / "m"), "--aug", "relabel"])
    dataset = open_dataset(tmp_path / "m")
    page.goto(serve(dataset))
    title(page, "Group 0")
    boards = page.evaluate(SHOWN)
    assert boards[0]["tokens"].count(5) == 0
    assert boards[1]["tokens"].count(5) > 0
    walls = [at for at, token in enumerate(boards[0]["tokens"]) if token == 1]
    assert page.evaluate(FILL, [0, *divmod(walls[0], 8)]) == "var(--wall)"
    page.keyboard.press("u")
    page.wait_for_selector("#undo[aria-pressed=true]")
    shown = page.evaluate(TILES)
    assert len(shown) == 8
    assert len(set(shown)) == 1


def test_a_kind_from_a_file(
    page: Any, serve: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = stars_set(tmp_path, monkeypatch)
    page.goto(serve(dataset) + "#split/train/group/3/copy/2")
    label(page, "augmentation 2")
    pair = ViewerApi(dataset).group("train", 3, 2)["pairs"][0]
    question, answer = (
        np.frombuffer(base64.b64decode(pair[s]["t"]), np.uint8) for s in ("input", "label")
    )
    shown = page.evaluate(SHOWN)
    assert [board["tokens"] for board in shown] == [question.tolist(), answer.tolist()]
    for number in (0, 1):
        red, green, blue = bytes.fromhex(REGIONS[question[0] - 1][1:])
        assert page.evaluate(FILL, [number, 0, 0]) == f"rgb({red}, {green}, {blue})"
        borders = page.locator(".pair .board").nth(number).locator("path.thick").get_attribute("d")
        grid = question.reshape(4, 4)
        found = (grid[1:] != grid[:-1]).sum() + (grid[:, 1:] != grid[:, :-1]).sum()
        assert borders.count("M") == found, "lines between regions, in the answer too"
    glyphs = page.locator(".pair figure:nth-child(2) text").all_text_contents()
    assert [glyph == "*" for glyph in glyphs] == (answer == 6).tolist()
    assert page.locator(".description .renamed").count() == 4
    page.hover(".pair figure:nth-child(2) .board", position={"x": 8, "y": 8})
    name = dataset.meta.puzzle.tokens[answer[0]].name
    assert page.inner_text("#tip") == f"{name} · token {answer[0]}\nrow 0, column 0"
    page.keyboard.press("u")
    label(page, "augmentation 2, undone")
    assert len(set(page.evaluate(TILES))) == 1
    page.keyboard.press("?")
    names = [token.name for token in dataset.meta.puzzle.tokens]
    assert page.locator("#tokens span").all_inner_texts() == names


def test_predictions_live_and_in_one_file(
    page: Any, serve: Callable[..., str], tmp_path: Path, arc: Dataset
) -> None:
    from tools.shards.view.predict import Predictor

    data, run = write_online(tmp_path / "data", size=4, examples=30), tmp_path / "run"
    train_here(data, run, make_halting_likely, max_steps=2)
    dataset = open_dataset(data)
    predictor = Predictor(run, dataset)
    api = ViewerApi(dataset, predictor)
    answer = api.predict("test", 12, 0)["rows"][0]
    assert [len(answer["steps"]), len(answer["steps"][0])] == [4, 5]

    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    add_arguments(parser)
    out = tmp_path / "page.html"
    common = ["--checkpoint", str(run), "--html", str(out), "--limit", "5"]
    view(parser.parse_args([str(data), *common]))

    for url in (serve(dataset, predictor), out.as_uri()):
        page.goto(url + "#split/test/group/12")
        page.wait_for_selector(".verdict .pill")
        shown = page.evaluate(SHOWN)
        assert [board["name"].split(",")[0] for board in shown] == ["Input", "Label", "Prediction"]
        labels = np.array(shown[1]["tokens"])
        for number in (4, 3):
            step = answer["steps"][number - 1]
            board = page.evaluate(SHOWN)[2]
            assert (np.array(board["tokens"]) != labels).tolist() == board["wrong"]
            assert sum(board["wrong"]) == step["wrong"]
            verdict = page.inner_text(".verdict")
            assert f"{100 * step['sure']:.1f} % sure" in verdict
            assert ("exact" if step["exact"] else f"{step['wrong']} of 16 wrong") in verdict
            assert (f"halts at step {answer['halt']}" if answer["halt"] else "not halt") in verdict
            page.keyboard.press("[")
        page.keyboard.press("/")
        page.keyboard.type("14")
        page.wait_for_selector("#hits li[id]")
        page.keyboard.press("Enter")
        title(page, "Group 14")

    with pytest.raises(
        ConfigError, match="was trained on data with kind=sudoku, this data set has"
    ):
        Predictor(run, arc)
