"""`tools.shards info` and `verify`: what they show, and the faults they must name."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hrm_scale.base.errors import ConfigError, DataError
from hrm_scale.data import DatasetMeta, DatasetWriter
from hrm_scale.puzzles.sudoku.board import GEOMETRIES
from shards.builder.boards import Boards
from tests.support.sudoku_examples import puzzles_of
from tools.shards.cli import main


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.path,)


META = DatasetMeta(
    kind="sudoku",
    storage="online",
    vocab_size=6,
    seq_len=16,
    pad_id=0,
    ignore_label_id=0,
    blank_identifier_id=0,
    num_puzzle_identifiers=1,
    board=GEOMETRIES[4].board(),
    augmentation={"kind": "sudoku", "count": 3, "seed": 0},
    builder={"name": "test"},
    extra={"sources": ["generated"]},
)
SHARD = "train/shard-00000.tar"


def build(directory: Path, puzzles: Boards) -> Path:
    columns = puzzles.columns()
    with DatasetWriter(directory, META, chunk_examples=32) as writer:
        writer.write_split("train", [columns])
        writer.write_split("test", [{name: c[:10] for name, c in columns.items()}])
    return directory


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return build(tmp_path / "set", puzzles_of(4).take(np.arange(100)))


def faults(
    directory: Path, capsys: pytest.CaptureFixture[str], command: str = "verify", *options: str
) -> list[str]:
    """The lines that name a fault, but for the leaks that this set is built with; the command must
    end with a DataError of one line."""
    with pytest.raises(DataError) as caught:
        main([command, *options, str(directory)])
    assert "\n" not in str(caught.value)
    return [
        x for x in capsys.readouterr().out.splitlines() if x.startswith("FAULT") and "E501" not in x
    ]


def test_a_sound_set_passes_with_a_line_per_check(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(dataset)]) == 0
    out = capsys.readouterr().out
    assert "FAULT" not in out
    assert "train: xxh3, types, shapes, ranges of 4 records" in out
    assert out.splitlines()[-1].endswith("all 110 examples are sound")
    assert faults(dataset, capsys, "lint", "--unique") == []


def test_info_shows_counts_tokens_boards_and_hashes(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", str(dataset)]) == 0
    text = capsys.readouterr().out
    stored = json.loads((dataset / "dataset.json").read_text())
    for wanted in (
        stored["fingerprint"],
        stored["splits"]["train"]["sha256"][0][:12],
        "split train: 100 groups, 100 puzzles, 100 examples in 4 records",
        "kind          sudoku 4x4, online storage",
        "1 = empty",
        "5 = 4",
        "25.00 %",
        "rating: all 0",
        "generated",
    ):
        assert wanted in text
    first = puzzles_of(4).answers[0].reshape(4, 4)
    drawn = f" {first[0, 0]} {first[0, 1]} | {first[0, 2]} {first[0, 3]}\n"
    assert drawn in text
    assert main(["info", "--boards", "0", str(dataset)]) == 0
    assert "example 0" not in capsys.readouterr().out


def test_info_as_json_agrees_with_the_data(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["info", "--json", str(dataset)])
    train = json.loads(capsys.readouterr().out)["splits"]["train"]
    questions = puzzles_of(4).questions[:100]
    assert train["tokens"]["inputs"] == np.bincount(questions.ravel() + 1, minlength=6).tolist()
    clues = (questions != 0).sum(axis=1)
    assert train["clues"] == {str(n): int((clues == n).sum()) for n in np.unique(clues)}
    assert train["filled"]["max"] == 16 - clues.min()
    assert sum(train["ratings"]["counts"].values()) == 100


def test_a_flipped_byte_names_shard_record_and_column(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = dataset / SHARD
    index = json.loads((dataset / "train/index.json").read_text())
    member = index["records"]["members"]["labels"]
    content = bytearray(path.read_bytes())
    content[member["offset"][2] + member["size"][2] - 5] ^= 1
    path.write_bytes(content)
    found = faults(dataset, capsys)
    assert len(found) == 2
    assert f"{path}: sha256 differs" in found[0]
    assert f"{path}: record 000002, column labels: has other bytes" in found[1]


def test_a_truncated_tar_names_every_lost_record(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = dataset / SHARD
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    text = "\n".join(faults(dataset, capsys))
    assert "record 000003, column groups, inputs, labels" in text
    assert "is cut off, the tar is truncated" in text
    assert "record 000000" not in text
    assert "record 000001" not in text


def rewrite(path: Path, change: Callable[[tarfile.TarInfo, bytes], tuple[str, bytes]]) -> None:
    """The same tar with names and contents changed."""
    with tarfile.open(path) as old:
        members = [(m, old.extractfile(m).read()) for m in old]  # type: ignore[union-attr]
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as new:
        for member, content in members:
            member.name, content = change(member, content)
            member.size = len(content)
            new.addfile(member, io.BytesIO(content))


def test_a_pickled_npy_is_refused_and_never_run(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Trap(str(tmp_path / "ran"))], dtype=object), allow_pickle=True)

    def change(member: tarfile.TarInfo, content: bytes) -> tuple[str, bytes]:
        bad = member.name == "000001.inputs.npy"
        # Padded to the old length, so that everything else stays where the index says.
        return member.name, buffer.getvalue().ljust(len(content), b"\0") if bad else content

    rewrite(dataset / SHARD, change)
    text = "\n".join(faults(dataset, capsys))
    assert "record 000001, column inputs" in text
    assert "pickled" in text
    assert not (tmp_path / "ran").exists()


def test_a_path_that_leaves_the_folder_is_named(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(dataset / SHARD, lambda m, c: (m.name.replace("000001.groups", "../../escape"), c))
    text = "\n".join(faults(dataset, capsys))
    assert "path traversal" in text
    assert str(dataset / SHARD) in text


def test_a_missing_index_is_written_again(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = dataset / "train/index.json"
    before = file.read_bytes()
    file.unlink()
    assert main(["verify", str(dataset)]) == 0
    assert "index.json was missing and has been written again" in capsys.readouterr().out
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda d: (d / "train/index.json").write_text("{}"), "damaged index"),
        (lambda d: (d / "train/index.json").write_text("nonsense"), "not valid JSON"),
        (lambda d: (d / SHARD).unlink(), "shard is missing"),
        (lambda d: (d / "identifiers.json").unlink(), "identifiers.json"),
        (lambda d: shutil.copy(d / SHARD, d / "train/shard-00007.tar"), "not part of the data set"),
    ],
)
def test_damaged_files_are_named(
    dataset: Path,
    damage: Callable[[Path], object],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(dataset)
    assert words in "\n".join(faults(dataset, capsys))


def test_what_is_no_data_set_is_one_line(tmp_path: Path, dataset: Path) -> None:
    (dataset / "dataset.json").write_text(json.dumps({"schema_version": 1, "kind": "sudoku"}))
    for directory in (tmp_path, tmp_path / "nothing", dataset):
        for command in ("info", "verify"):
            with pytest.raises(DataError) as caught:
                main([command, str(directory)])
            assert "\n" not in str(caught.value)


def test_unsound_puzzles_are_named_with_record_and_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bytes, hashes and index are all right: only the puzzles are wrong."""
    puzzles = puzzles_of(4).take(np.arange(100))
    questions, answers = puzzles.questions.copy(), puzzles.answers.copy()
    answers[35, [0, 1]] = answers[35, [1, 0]]  # record 1, row 3: no longer solved
    questions[35, [0, 1]] = 0
    clue = int(np.flatnonzero(questions[70])[0])
    questions[70, clue] = questions[70, clue] % 4 + 1  # record 2, row 6: contradicts
    directory = build(tmp_path / "bad", replace(puzzles, inputs=questions + 1, labels=answers + 1))
    assert main(["verify", str(directory)]) == 0
    found = faults(directory, capsys, "lint")
    assert len(found) == 2
    assert found[0].startswith("FAULT  E401 unsolved: ")
    assert "record 000001, row 3 (example 35): the answer is not a solved Sudoku" in found[0]
    assert "record 000002, row 6 (example 70): the answer has" in found[1]


def test_a_second_solution_is_found_only_when_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    puzzles = puzzles_of(4).take(np.arange(40))
    questions = puzzles.questions.copy()
    questions[33] = 0
    directory = build(tmp_path / "bad", replace(puzzles, inputs=questions + 1))
    assert faults(directory, capsys, "lint") == []
    (found,) = faults(directory, capsys, "lint", "--unique")
    assert "record 000001, row 1 (example 33): the question has a second solution" in found


def test_many_faults_are_capped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    puzzles = puzzles_of(4).take(np.arange(40))
    directory = build(tmp_path / "bad", replace(puzzles, labels=puzzles.labels[:, ::-1].copy()))
    found = [line for line in faults(directory, capsys, "lint") if "E402" in line]
    assert len(found) == 21
    assert found[-1] == "FAULT  E402 lost clue: more of them, not listed"


@pytest.mark.parametrize("argv", [[], ["check", "x"], ["info"], ["info", "x", "--jsn"]])
def test_wrong_arguments_are_one_line(argv: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        main(argv)
    assert "\n" not in str(caught.value)
