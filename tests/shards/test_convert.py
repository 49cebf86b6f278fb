"""Foreign data to shards: every row as it was, or one line that says why not."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.tiny.data_sets import puzzles, write_online
from hrm_scale.base.errors import ConfigError, DataError, HrmError
from hrm_scale.data import open_dataset
from hrm_scale.puzzles.arc.grid import crop, encode, parse_name, undo
from shards.convert import tar as convert_tar
from shards.convert.cli import main
from tests.support.published import arc_tasks, write_arc, write_numbered

ALL = ["inputs", "labels", "puzzle_identifiers", "groups", "puzzles"]
Samples = list[tuple[str, dict[str, bytes]]]


def convert(source: Path, output: Path, *options: str) -> Any:
    assert main([str(source), "--output-dir", str(output), *options]) == 0
    return open_dataset(output)


def refused(source: Path, output: Path, *options: str) -> str:
    """The one line; nothing may be left behind."""
    with pytest.raises(HrmError) as caught:
        main([str(source), "--output-dir", str(output), *options])
    assert isinstance(caught.value, ConfigError | DataError)
    assert "\n" not in str(caught.value)
    assert not output.exists()
    assert not list(output.parent.glob(f".{output.name}*"))
    return str(caught.value)


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_published_folder_to_shards(tmp_path: Path, compression: str) -> None:
    groups = [[3, 2], [4], [1, 1, 2, 1], [2, 5], [700, 800], [2] * 500]
    path = write_numbered(tmp_path / "npy", groups, dtype=np.int64)
    made = convert(path, tmp_path / "d", "--compression", compression)
    source = open_dataset(path)
    for split in ("train", "test"):
        rows, wanted = made.read(split, ALL, 0, 10**6), source.read(split, ALL, 0, 10**6)
        for name, array in wanted.items():
            assert (rows[name] == array).all()
        for count in ("groups", "puzzles", "examples"):
            assert getattr(made.split(split), count) == getattr(source.split(split), count)
    assert made.identifiers() == source.identifiers()
    assert "d" not in made.meta.builder["arguments"]


@pytest.mark.parametrize("hrm", [True, False])
def test_arc_keeps_tasks_variants_and_test_puzzles(tmp_path: Path, hrm: bool) -> None:
    tasks = arc_tasks(5)
    path = write_arc(tmp_path / "npy", tasks, hrm=hrm)
    made, source = convert(path, tmp_path / "d"), open_dataset(path)
    assert made.meta.augmentation["kind"] == "arc"
    assert made.meta.augmentation["count"] == 2
    assert made.tasks() == source.tasks()
    assert (made.augmentations() == source.augmentations()).all()
    spelled = source.identifiers() if not hrm else None
    assert spelled is None or made.identifiers() == spelled
    originals = {name: number for name, number, _ in made.tasks()}
    for split in ("train", "test"):
        rows = made.read(split, [*ALL, "shapes", "offsets"], 0, 10**6)
        wanted = source.read(split, ALL, 0, 10**6)
        assert all((rows[name] == wanted[name]).all() for name in ALL)
        names = made.identifiers()
        for row in range(len(rows["inputs"])):
            task, variant = parse_name(names[rows["puzzle_identifiers"][row]])
            first = int(np.flatnonzero(rows["puzzles"] == rows["puzzles"][row])[0])
            pair = tasks[task][split][row - first]
            place = rows["offsets"][row].tolist()
            for side, column in enumerate(("inputs", "labels")):
                height, width = rows["shapes"][row, 2 * side : 2 * side + 2].tolist()
                grid = crop(rows[column][row], *place)
                assert grid.shape == (height, width)
                assert (encode(grid, *place) == rows[column][row]).all()
                assert (undo(grid, variant) == pair[side]).all()
    found = json.loads((tmp_path / "d" / "test_puzzles.json").read_text())
    assert set(found) == {name for name in originals if name in tasks and tasks[name]["test"]}
    for name, splits in found.items():
        for split, pairs in splits.items():
            shown = [{"input": a.tolist(), "output": b.tolist()} for a, b in tasks[name][split]]
            assert pairs == shown


def test_test_puzzles_of_a_folder_are_taken_over(tmp_path: Path) -> None:
    path = write_arc(tmp_path / "npy", arc_tasks(2), hrm=False)
    content = {"task_1": {"train": [], "test": [{"input": [[1]], "output": [[0]]}]}}
    (path / "test_puzzles.json").write_text(json.dumps(content))
    convert(path, tmp_path / "d")
    assert json.loads((tmp_path / "d" / "test_puzzles.json").read_text()) == content
    (path / "test_puzzles.json").write_text("{")
    assert "test_puzzles.json" in refused(path, tmp_path / "e")


def test_arc_whose_names_tell_no_runs_is_kept_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_arc(tmp_path / "npy", arc_tasks(3))
    names = json.loads((path / "identifiers.json").read_text())
    names[2], names[6] = names[6], names[2]
    (path / "identifiers.json").write_text(json.dumps(names))
    made = convert(path, tmp_path / "d")
    assert made.identifiers() == names
    assert made.meta.augmentation == {"kind": "none"}
    assert "do not tell" in capsys.readouterr().err
    (path / "identifiers.json").write_text(json.dumps(names[:-1]))
    assert "names" in refused(path, tmp_path / "e")


def test_arc_with_other_tokens_needs_a_word(tmp_path: Path) -> None:
    path = write_arc(tmp_path / "npy", arc_tasks(3))
    file = path / "train" / "all__labels.npy"
    labels = np.load(file)
    labels[4] = np.arange(900) % 12
    np.save(file, labels)
    assert "4 after it" in refused(path, tmp_path / "d")
    made = convert(path, tmp_path / "d", "--kind", "other")
    assert made.meta.kind == "other"
    assert (made.read("train", ["labels"], 4, 5)["labels"][0] == labels[4]).all()


def npy(value: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(value))
    return buffer.getvalue()


def write_tar(path: Path, samples: Iterable[tuple[str, dict[str, bytes]]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for key, members in samples:
            for extension, content in members.items():
                info = tarfile.TarInfo(f"{key}.{extension}")
                info.size, info.mtime = len(content), 1700000000.25  # type: ignore[assignment]
                archive.addfile(info, io.BytesIO(content))
    return path


def boards(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    inputs, labels = random.integers(0, 9, (2, count, 4, 4))
    labels[random.random(labels.shape) < 0.3] = -100
    return inputs, labels, random.integers(0, 30, count)


def in_npy(inputs: np.ndarray, labels: np.ndarray, number: int) -> dict[str, bytes]:
    return {
        "inputs.npy": npy(inputs),
        "labels.npy": npy(labels.astype(np.int16)),
        "cls": b"%d" % number,
    }


def in_npz(inputs: np.ndarray, labels: np.ndarray, number: int) -> dict[str, bytes]:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, inputs=inputs, labels=labels, puzzle_identifiers=np.array(number))
    return {"npz": buffer.getvalue()}


def in_json(inputs: np.ndarray, labels: np.ndarray, number: int) -> dict[str, bytes]:
    content = {
        "inputs": inputs.tolist(),
        "labels": labels.tolist(),
        "puzzle_identifiers": int(number),
    }
    return {"json": json.dumps(content).encode()}


def in_others(inputs: np.ndarray, labels: np.ndarray, number: int) -> dict[str, bytes]:
    return {
        "question.npy": npy(np.asfortranarray(inputs)),
        "meta.json": json.dumps({"answer": labels.tolist()}).encode(),
        "id.npy": npy(np.int32(number)),
        "png": b"not looked at",
    }


OTHERS = "inputs=question.npy,labels=json:answer,puzzle_identifiers=id.npy"


@pytest.mark.parametrize(
    ("form", "options"),
    [(in_npy, []), (in_npz, []), (in_json, []), (in_others, ["--columns", OTHERS])],
)
def test_samples_in_tars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Any, options: list[str]
) -> None:
    monkeypatch.setattr(convert_tar, "CHUNK", 64)
    inputs, labels, numbers = boards(150)
    numbers[7] = 29
    samples = [(f"a/{row:05d}", form(inputs[row], labels[row], numbers[row])) for row in range(150)]
    write_tar(tmp_path / "t" / "train-0.tar", samples[:70])
    write_tar(tmp_path / "t" / "train-1.tar", samples[70:])
    write_tar(tmp_path / "t" / "test-0.tar", samples[:3])
    options = [*options, "--ignore-label-id", "-100"]
    made = convert(tmp_path / "t", tmp_path / "d", *options)
    meta = made.meta
    assert (meta.vocab_size, meta.seq_len, meta.num_puzzle_identifiers) == (9, 16, 30)
    assert (meta.kind, meta.board) == ("other", {"height": 4, "width": 4})
    rows = made.read("train", ALL[:4], 0, 999)
    assert (rows["inputs"] == inputs.reshape(-1, 16)).all()
    wanted = labels.reshape(-1, 16)
    found = rows["labels"].astype(np.int64)
    assert (np.where(found == meta.ignore_label_id, -100, found) == wanted).all()
    assert (rows["puzzle_identifiers"] == numbers).all()
    assert rows["groups"].tolist() == list(range(150))
    (item,) = made.eval_batches("test", 3)
    assert (item.batch.labels == wanted[:3]).all()


def test_groups_and_characters_in_tars(tmp_path: Path) -> None:
    texts = [
        {"inputs.txt": b"ab\nba\n", "labels.txt": b"aabb", "groups.cls": b"%d" % (row // 2)}
        for row in range(6)
    ]
    write_tar(tmp_path / "x.tar", [(str(row), text) for row, text in enumerate(texts)])
    made = convert(tmp_path / "x.tar", tmp_path / "d", "--charset", "ab")
    rows = made.read("train", ALL[:4], 0, 9)
    assert rows["inputs"].tolist() == [[1, 2, 2, 1]] * 6
    assert rows["groups"].tolist() == [0, 0, 1, 1, 2, 2]
    assert made.split("train").groups == 3


def test_split_names_files(tmp_path: Path) -> None:
    inputs, labels, numbers = boards(8)
    for row in range(8):
        members = in_npy(inputs[row], labels[row].clip(0), numbers[row])
        write_tar(tmp_path / f"part{row}.tar", [("k", members)])
    made = convert(tmp_path, tmp_path / "d", "--split", "train=part[0-5].tar,test=part6.tar")
    assert (made.split("train").examples, made.split("test").examples) == (6, 1)
    rows = made.read("train", ["inputs"], 0, 9)["inputs"]
    assert (rows == inputs[:6].reshape(6, 16)).all()
    assert "no such file" in refused(tmp_path, tmp_path / "e", "--split", "train=none*.tar")


def hostile(path: Path, **changes: Any) -> Path:
    info = tarfile.TarInfo(changes.pop("name", "k.inputs.npy"))
    content = changes.pop("content", b"")
    info.size = changes.pop("size", len(content))
    for name, value in changes.items():
        setattr(info, name, value)
    data = content + bytes(-len(content) % 512)
    path.write_bytes(info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(1024))
    return path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "not a regular file"),
        ({"type": tarfile.CHRTYPE}, "not a regular file"),
        ({"type": tarfile.GNUTYPE_LONGNAME, "content": b"x"}, "not a regular file"),
        ({"type": tarfile.XHDTYPE, "content": b"20 path=../../etc/x\n"}, "another name"),
        ({"type": tarfile.XHDTYPE, "size": 1 << 30}, "allowed are 65536"),
        ({"name": "../k.inputs.npy"}, "path traversal"),
        ({"name": "/k.inputs.npy"}, "path traversal"),
        ({"size": 8**11 - 1}, "refused"),
        ({"size": 5000}, "ends beyond"),
        ({"content": npy(np.array([{}]))}, "no labels are recognised"),
        ({"name": "k.labels.npy"}, "no inputs are recognised"),
        ({"name": "README"}, "holds no examples"),
    ],
)
def test_hostile_tars_are_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    assert words in refused(hostile(tmp_path / "x.tar", **dict(changes)), tmp_path / "d")


def sample(**members: bytes) -> Samples:
    fields = {"inputs": npy([1, 2]), "labels": npy([1, 2]), **members}
    return [("k", {f"{name}.npy": content for name, content in fields.items()})]


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (sample(inputs=npy(np.array([{}]))), "pickled"),
        (sample(inputs=npy([1.5])), "not numbers"),
        (sample(inputs=npy([1, 2])[:-3]), "is not its header"),
        (sample(inputs=b"\x93NUMPY"), "not a valid .npy"),
        (sample(inputs=npy([1, 2, 3])), "3 inputs and 2 labels"),
        (sample(inputs=npy([1, 300])), "holds the token 300"),
        (sample(labels=npy([1, -100])), "say --ignore-label-id -100"),
        (sample(puzzle_identifiers=npy([1, 2])), "one is expected"),
        (sample(puzzle_identifiers=npy(-1)), "negative"),
        (sample() + sample(inputs=npy([1]), labels=npy([1])), "has 1 cells"),
        ([*sample(), ("l", {"inputs.npy": npy([1, 2])})], "has no labels.npy"),
        ([("k", {"npz": b"PK no zip"})], "damaged .npz"),
        ([("k", {"json": b'{"inputs": 1'})], "damaged .json"),
        ([("k", {"json": b'{"inputs": [1], "labels": ["x"]}'})], "not understood"),
    ],
)
def test_unusable_samples_are_named(tmp_path: Path, samples: Samples, words: str) -> None:
    if len({key for key, _ in samples}) < len(samples):
        samples = [(f"{key}{number}", members) for number, (key, members) in enumerate(samples)]
    line = refused(write_tar(tmp_path / "x.tar", samples), tmp_path / "d")
    assert words in line


def test_csv(tmp_path: Path) -> None:
    inputs, labels = puzzles(4, 50)
    charset = ".1234"
    with (tmp_path / "p.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["source", "question", "answer", "task"])
        for row in range(50):
            texts = ["".join(charset[t - 1] for t in board[row]) for board in (inputs, labels)]
            writer.writerow(["x", *texts, row % 7])
    options = ["--charset", charset, "--columns", "puzzle_identifiers=task"]
    made = convert(tmp_path / "p.csv", tmp_path / "d", *options, "--kind", "sudoku")
    rows = made.read("train", ALL[:4], 0, 99)
    assert (rows["inputs"] == inputs).all()
    assert (rows["labels"] == labels).all()
    assert rows["puzzle_identifiers"].tolist() == [row % 7 for row in range(50)]
    assert (made.meta.kind, made.meta.vocab_size, made.meta.board["box_width"]) == ("sudoku", 6, 2)
    line = refused(tmp_path / "p.csv", tmp_path / "e")
    assert "--charset" in line
    assert "shards.sudoku" in line
    assert "shards.maze" in line
    assert "'4' at character" in refused(tmp_path / "p.csv", tmp_path / "e", "--charset", ".123")
    with_names = ["--charset", charset, "--columns", "puzzle_identifiers=source"]
    assert "no number" in refused(tmp_path / "p.csv", tmp_path / "e", *with_names)
    assert "lacks none" in refused(
        tmp_path / "p.csv", tmp_path / "e", "--charset", charset, "--columns", "inputs=none"
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--columns", "imputs=x"], "Did you mean 'inputs'"),
        (["--columns", "inputs"], "not understood"),
        (["--split", "train=a,train=b"], "not understood"),
        (["--charset", "aa"], "every character"),
        (["--ignore-label-id", "x"], "whole number or none"),
        (["--compresion", "zstd"], "Did you mean '--compression'"),
    ],
)
def test_wrong_arguments(tmp_path: Path, options: list[str], words: str) -> None:
    assert words in refused(tmp_path, tmp_path / "d", *options)


def test_what_is_no_foreign_data(tmp_path: Path) -> None:
    own = write_online(tmp_path / "own")
    assert "repack" in refused(own, tmp_path / "d")
    assert "no such file" in refused(tmp_path / "none", tmp_path / "d")
    (tmp_path / "empty").mkdir()
    assert "holds neither" in refused(tmp_path / "empty", tmp_path / "d")
    (tmp_path / "empty" / "x.tar.gz").write_bytes(b"")
    assert "unpack" in refused(tmp_path / "empty", tmp_path / "d")
    path = write_numbered(tmp_path / "npy", [[1], [2]])
    assert "leave it out" in refused(path, tmp_path / "d", "--vocab-size", "9")
    assert "leave it out" in refused(path, tmp_path / "d", "--kind", "arc")
    assert "the one above" in refused(path / "train", tmp_path / "d")
