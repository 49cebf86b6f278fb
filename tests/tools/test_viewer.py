"""The data set viewer without a browser: what it reads, undoes, finds, serves and writes."""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import re
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from email.message import Message
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.tiny.data_sets import write_dense, write_grouped, write_online
from hrm_scale.base.errors import ConfigError, DataError, EnvironmentProblem
from hrm_scale.data import Dataset, open_dataset
from hrm_scale.puzzles.arc import grid as arc_grid
from hrm_scale.puzzles.symmetry import Dihedral
from hrm_scale.web.assets import page_files
from tests.support.pages import running
from tests.support.viewer_sets import arc_set, stars_set
from tools.shards.view.api import ViewerApi
from tools.shards.view.command import add_arguments, view
from tools.shards.view.copy import maps_of_copy
from tools.shards.view.groups import GroupIndex
from tools.shards.view.search import Search
from tools.shards.view.server import ViewerServer


def tokens(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.uint8)


def undone(board: dict[str, Any]) -> np.ndarray:
    height, width, text = board["u"]
    return tokens(text).reshape(height, width)


@pytest.fixture(scope="module")
def arc_online(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return arc_set(tmp_path_factory.mktemp("online"))


@pytest.fixture(scope="module")
def arc_dense(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return arc_set(tmp_path_factory.mktemp("dense"), "dense")


@pytest.fixture(scope="module")
def sudoku(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(write_online(tmp_path_factory.mktemp("sudoku") / "s", size=9, examples=40))


def originals(api: ViewerApi, split: str, group: int) -> list[list[np.ndarray]]:
    """Grids of colours of an online ARC group, input and output of each pair."""
    data = api.dataset.read(split, ["inputs", "labels", "shapes", "groups"], 0, 1 << 30)
    rows = np.flatnonzero(data["groups"] == group)
    grids = []
    for row in rows:
        shape = data["shapes"][row].tolist()
        both = [data[name][row].reshape(30, 30) for name in ("inputs", "labels")]
        grids.append([both[s][: shape[2 * s], : shape[2 * s + 1]] - 2 for s in (0, 1)])
    return grids


def test_arc_variants_are_the_loaders_and_are_undone(arc_online: Dataset) -> None:
    api = ViewerApi(arc_online)
    first = api.group("train", 0)
    assert first["copies"] == 7
    assert first["label"] == "original"
    assert first["title"] == arc_online.tasks()[1][0]
    known = originals(api, "train", 0)
    for number in range(first["copies"]):
        shown = api.group("train", 0, number)
        variant = arc_online.augmentations()[shown["identifier"]]
        assert shown["identifier"] == first["identifier"] + number
        assert shown["name"] == arc_online.identifiers()[shown["identifier"]]
        for pair, grids in zip(shown["pairs"], known, strict=True):
            for side, grid in zip(("input", "label"), grids, strict=True):
                wanted = arc_grid.encode(arc_grid.augment(grid, variant))
                assert np.array_equal(tokens(pair[side]["t"]), wanted)
                assert np.array_equal(undone(pair[side]), grid + 2)


@pytest.mark.parametrize("split", ["train", "test"])
def test_stored_arc_copies_are_undone_to_the_originals(
    arc_online: Dataset, arc_dense: Dataset, split: str
) -> None:
    online, dense = ViewerApi(arc_online), ViewerApi(arc_dense)
    for line in dense.groups(split, 0, 99):
        known = originals(online, split, line["group"])
        count = dense.group(split, line["group"])["copies"]
        numbers = set()
        for number in range(count):
            shown = dense.group(split, line["group"], number)
            numbers.add(shown["augmentation"])
            for pair, grids in zip(shown["pairs"], known, strict=True):
                assert np.array_equal(undone(pair["input"]), grids[0] + 2)
                assert np.array_equal(undone(pair["label"]), grids[1] + 2)
        assert numbers == set(range(7))


def test_task_view_joins_the_splits(arc_online: Dataset, arc_dense: Dataset) -> None:
    online, dense = ViewerApi(arc_online), ViewerApi(arc_dense)
    group = online.groups("test", 0, 1)[0]["group"]
    for api in (online, dense):
        shown = api.group("test", group, 2)
        (other,) = shown["related"]
        assert other["split"] == "train"
        joined = api.group("train", other["group"], 0, other["variant"])
        assert (joined["title"], joined["name"]) == (shown["title"], shown["name"])
        assert len(joined["pairs"]) == 3
    # What is computed from a stored copy is what the online set gives.
    for variant in range(7):
        boards = [
            [pair["input"]["t"] for pair in api.group("train", group, 0, variant)["pairs"]]
            for api in (online, dense)
        ]
        assert boards[0] == boards[1]


def test_a_prediction_that_is_no_grid_is_undone_too(arc_online: Dataset) -> None:
    api = ViewerApi(arc_online)
    copies = api.split("train")
    run = copies.index().run(0)
    assert run is not None
    copy = copies.copy(run, 3)
    back = copy.undo(np.zeros(900, np.uint8), 0, 1)
    assert set(back.ravel().tolist()) == {0}
    assert copy.undo(np.ones(900, np.uint8), 0, 1).shape == back.shape


def test_sudoku_augmentations_are_the_loaders_and_are_undone(sudoku: Dataset) -> None:
    api = ViewerApi(sudoku)
    stored = sudoku.read("train", ["inputs", "labels"], 5, 6)
    assert api.group("train", 5)["copies"] == 8
    for number in (0, 1, 7):
        pair = api.group("train", 5, number)["pairs"][0]
        seed = sudoku.meta.augmentation["seed"]
        group, index = np.array([5]), np.array([number])
        wanted = sudoku.meta.puzzle.symmetry.augment(
            stored["inputs"], stored["labels"], group, index, seed
        )
        assert np.array_equal(tokens(pair["input"]["t"]), wanted[0][0])
        assert np.array_equal(undone(pair["input"]).ravel(), stored["inputs"][0])
        assert np.array_equal(undone(pair["label"]).ravel(), stored["labels"][0])
    assert api.group("test", 20)["copies"] == 1, "test boards are never augmented"


def test_stored_sudokus_are_undone_though_no_column_says_how(tmp_path: Path) -> None:
    api = ViewerApi(open_dataset(write_dense(tmp_path / "d", size=9, groups=12, count=4)))
    for group in (0, 7):
        shown = [api.group("train", group, number) for number in range(5)]
        assert sorted(one["augmentation"] for one in shown) == list(range(5))
        boards = {one["pairs"][0]["input"]["u"][2] for one in shown}
        (original,) = [one for one in shown if one["augmentation"] == 0]
        assert boards == {original["pairs"][0]["input"]["t"]}


def test_a_kind_from_a_file_is_augmented_undone_and_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    online = ViewerApi(stars_set(tmp_path, monkeypatch))
    dense = ViewerApi(stars_set(tmp_path, monkeypatch, "dense"))
    about = online.about()
    assert [about["kind"], about["drawing"]["regions"], about["tasks"]] == ["stars", True, False]
    assert about["drawing"]["tokens"][6]["name"] == "star"
    line = dense.groups("train", 2, 1)[0]
    regions = len(set(tokens(line["thumb"]["t"]).tolist()))
    assert line["note"].split(" · ") == [f"{regions} regions", f"guesses {3 * line['group']}"]
    stored = online.dataset.read("train", ["inputs", "labels"], 0, 20)
    for group in (0, 3):
        original = [stored[name][group].reshape(4, 4).tolist() for name in ("inputs", "labels")]
        known = {n: online.group("train", group, n)["pairs"][0] for n in range(7)}
        shown = [dense.group("train", group, number) for number in range(7)]
        numbers = [one["augmentation"] for one in shown]
        assert sorted(numbers) == list(range(7))
        for number, one in zip(numbers, shown, strict=True):
            pair = one["pairs"][0]
            assert pair["input"]["t"] == known[number]["input"]["t"]
            assert pair["facts"] == [["guesses", str(3 * group)]]
            for boards in (pair, known[number]):
                assert [undone(boards[side]).tolist() for side in ("input", "label")] == original
            new = dict(one["renamed"]) or {n: n for n in range(1, 5)}
            firsts = sorted(new[token] for token in stored["inputs"][group].tolist())
            assert firsts == sorted(tokens(pair["input"]["t"]).tolist())


def test_a_copy_that_may_come_from_several_boards_is_not_undone() -> None:
    symmetry = Dihedral(2, 2, 5)
    board = np.array([[1, 2, 3, 4], [1, 1, 1, 1]], np.uint8)
    numbers = np.arange(20)
    maps = symmetry.maps(np.zeros(20, int), numbers, 7)
    other = next(n for n in range(1, 20) if (maps.cells[n] != maps.cells[0]).any())
    moved = np.stack([maps.apply(np.tile(side, (20, 1)))[other] for side in board])
    assert maps_of_copy(symmetry, board, [moved], 0, 19, 7) is None, "every turn is among them"
    found = maps_of_copy(symmetry, board, [moved], 0, 0, 7)
    assert found is None, "the other copy was not made by any"
    number, back = maps_of_copy(symmetry, board, [board], 0, 0, 7) or (None, maps)
    assert number == 0
    assert back.undo(board[:1]).tolist() == board[:1].tolist()


def test_groups_are_found_reading_no_further_than_needed(tmp_path: Path) -> None:
    dataset = open_dataset(write_online(tmp_path / "d", size=4, examples=64, chunk_examples=8))
    reader = dataset.reader("train")
    read: list[int] = []
    columns = reader.columns
    reader.columns = lambda record, names: read.append(record) or columns(record, names)  # type: ignore
    index = GroupIndex(reader, range(8))
    run = index.run(19)
    assert run is not None
    assert (run.group, run.record, run.start, run.stop) == (19, 2, 3, 4)
    assert read == [0, 1, 2]
    assert index.run(64) is None
    assert index.find(63) == index.run(63)
    assert index.find(64) is None
    assert sorted(read) == list(range(8)), "no record is looked into twice"


@pytest.mark.parametrize("method", ["find", "run"])
def test_a_group_is_found_while_another_request_reads_it(tmp_path: Path, method: str) -> None:
    dataset = open_dataset(write_online(tmp_path / "d", size=4, examples=16, chunk_examples=8))
    reader = dataset.reader("train")
    columns, reading, go_on = reader.columns, threading.Event(), threading.Event()

    def slow(record: int, names: Any) -> Any:
        if record == 1:
            reading.set()
            go_on.wait(10)
        return columns(record, names)

    reader.columns = slow  # type: ignore[method-assign]
    index = GroupIndex(reader, range(2))
    with ThreadPoolExecutor() as pool:
        first = pool.submit(getattr(index, method), 15)
        assert reading.wait(10)
        second = pool.submit(getattr(index, method), 15)
        wait([second], timeout=0.1)
        go_on.set()
        found = first.result(), second.result()
    assert [run.group for run in found] == [15, 15]


def test_groups_of_many_puzzles(tmp_path: Path) -> None:
    dataset = open_dataset(write_grouped(tmp_path / "d", [[2], [1, 3], [1, 1, 2]]))
    api = ViewerApi(dataset)
    columns = dataset.read("train", ["groups", "puzzles"], 0, 1 << 30)
    for line in api.groups("train", 0, 200):
        inside = columns["groups"] == line["group"]
        shown = api.group("train", line["group"], 1)
        assert shown["copies"] == len(np.unique(columns["puzzles"][inside]))
        row = shown["pairs"][0]["example"]
        wanted = np.unique(columns["puzzles"][inside])[1 % shown["copies"]]
        assert columns["puzzles"][row] == wanted


def test_search(arc_online: Dataset, arc_dense: Dataset, sudoku: Dataset) -> None:
    for dataset in (arc_online, arc_dense):
        api = ViewerApi(dataset)
        search = Search(api)
        for identifier in (1, 9, 20):
            hit = search.hits("train", str(identifier))[0]
            place = hit["split"], hit["group"], hit.get("copy", 0), hit.get("variant")
            assert api.group(*place)["identifier"] == identifier
            (named,) = search.hits("train", dataset.identifiers()[identifier])
            assert named == hit
        assert [hit["title"] for hit in search.hits("train", "CC3")] == ["cc33"]
        assert search.hits("train", "no such task") == []
        hits = search.hits("train", "6")
        example = next(hit for hit in hits if hit["title"] == "Example 6")
        shown = api.group(example["split"], example["group"], example["copy"])
        assert 6 in [pair["example"] for pair in shown["pairs"]]
    titles = [(h["title"], h["split"]) for h in Search(ViewerApi(sudoku)).hits("test", "12")]
    assert titles == [
        ("Group 12", "test"),
        ("Group 12", "train"),
        ("Example 12", "test"),
        ("Example 12", "train"),
    ]


@pytest.fixture
def server(sudoku: Dataset) -> Iterator[ViewerServer]:
    with running(ViewerServer(ViewerApi(sudoku))) as server:
        yield server


def ask(
    server: ViewerServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, bytes, Message]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    content = answer.status, answer.read(), answer.headers
    connection.close()
    return content


def test_server_answers_this_machine_and_nothing_else(server: ViewerServer) -> None:
    assert server.url == f"http://127.0.0.1:{server.port}/"
    status, body, headers = ask(server, "/")
    assert status == 200
    assert b"<title>" in body
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    status, body, _ = ask(server, "/api/groups?split=train&start=38&count=9")
    assert [line["group"] for line in json.loads(body)] == [38, 39]
    assert ask(server, "/api/about", Host="evil.example")[0] == 403
    assert ask(server, "/api/about", Host="evil.example:80")[0] == 403
    assert ask(server, "/api/about", Host=f"localhost:{server.port}")[0] == 200
    assert ask(server, "/api/about", method="POST")[0] == 501
    for path in ("/dom.py", "/../shards.py", "/viewer/dom.js", "/about", "/%2e%2e/shards.py", "/x"):
        assert ask(server, path)[0] == 404, path
    for name, path in page_files("dataset").items():
        assert ask(server, f"/{name}")[1] == path.read_bytes()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("group?split=train&group=4000", "has no group 4000"),
        ("group?split=trian&group=1", "Did you mean 'train'?"),
        ("group?split=train&group=1&variant=2", "only ARC tasks have variants"),
        ("group?split=train&group=-1", "not a whole number"),
        ("groups?split=train&start=0", "count='' is not a whole number"),
        ("predict?split=train&group=1", "--checkpoint"),
    ],
)
def test_wrong_questions_get_one_line(server: ViewerServer, path: str, words: str) -> None:
    status, body, _ = ask(server, f"/api/{path}")
    assert status == 422
    error = json.loads(body)["error"]
    assert words in error
    assert "\n" not in error


def test_a_taken_port_is_one_line(server: ViewerServer, sudoku: Dataset) -> None:
    with pytest.raises(EnvironmentProblem, match=f"--port {server.port}: cannot listen"):
        ViewerServer(ViewerApi(sudoku), server.port)


def parsed(*words: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    add_arguments(parser)
    return parser.parse_args(list(map(str, words)))


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--limit", 3], "--limit is for --html only"),
        (["--html", "x.html", "--limit", 0], "--limit 0: at least 1"),
        (["--port", 70000], "--port 70000: allowed is"),
        (["--html", "missing/x.html"], "there is no folder missing"),
    ],
)
def test_wrong_options(sudoku: Dataset, words: list[object], error: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(error)):
        view(parsed(sudoku.path, *words))


def test_not_a_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a data set"):
        view(parsed(tmp_path))


def test_html_holds_what_it_says(
    arc_online: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "arc.html"
    view(parsed(arc_online.path, "--html", out, "--limit", 1))
    page = out.read_text(encoding="utf-8")
    assert not re.search(r"<(?:script|link)[^>]+(?:src|href)=\"(?!data:)", page)
    packed = re.search(r'id="data">([^<]+)<', page)
    assert packed
    document = json.loads(zlib.decompress(base64.b64decode(packed[1])))
    # The first group of the test split brings the demonstrations of its task along.
    first = document["splits"]["test"]["list"][0]["title"]
    assert first in [line["title"] for line in document["splits"]["train"]["list"]]
    groups = document["splits"]["train"]["groups"]
    api = ViewerApi(arc_online)
    for group, copies in groups.items():
        assert len(copies) == 7
        for number, copy in enumerate(copies):
            assert copy["pairs"] == api.group("train", int(group), number)["pairs"]
    assert "of 5 groups" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [out]
