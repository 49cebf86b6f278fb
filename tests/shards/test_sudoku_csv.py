"""Reading CSV: what is taken, what is refused, and in which words."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from hrm_scale.base.errors import DataError
from hrm_scale.puzzles.sudoku.board import GEOMETRIES
from shards.builder.csv_rows import find_files
from shards.sudoku.csv import check_unique, read_csv
from tests.support.sudoku_examples import HEADER, puzzles_of, rows_of


def write(path: Path, rows: list[list[str]], header: str = HEADER) -> Path:
    path.write_text(header + "".join(",".join(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("size", GEOMETRIES)
def test_reads_what_was_written(tmp_path: Path, size: int) -> None:
    puzzles = puzzles_of(size).take(np.arange(20))
    read = read_csv(write(tmp_path / "a.csv", rows_of(20, size)))
    assert (read.inputs == puzzles.inputs).all()
    assert (read.labels == puzzles.labels).all()
    assert read.ratings.tolist() == list(range(20))
    assert [read.source_names[i] for i in read.sources] == [f"s{i % 3}" for i in range(20)]
    check_unique(read, "a.csv")


def test_gzip_crlf_column_order_and_blank_lines_at_the_end(tmp_path: Path) -> None:
    rows = rows_of(5)
    text = "rating,answer,question,source,note\r\n" + "".join(
        f"{r},{a},{q.replace('.', '0')},{s},x\r\n" for s, q, a, r in rows
    )
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress((text + "\r\n\r\n").encode("utf-8-sig")))
    plain = read_csv(write(tmp_path / "b.csv", rows))
    assert (read_csv(path).inputs == plain.inputs).all()


def test_digits_above_9_are_letters_of_either_case(tmp_path: Path) -> None:
    rows = [
        [source, question.replace(".", "_"), answer, rating]
        for source, question, answer, rating in rows_of(3, 16)
    ]
    assert set(rows[0][2]) == set("123456789ABCDEFG")
    upper = read_csv(write(tmp_path / "a.csv", rows))
    small = [[s, q.lower(), a.lower(), r] for s, q, a, r in rows]
    lower = read_csv(write(tmp_path / "b.csv", small))
    assert (lower.inputs == upper.inputs).all()
    assert (lower.labels == upper.labels).all()
    assert upper.labels.max() == 17
    beyond = spoil(rows, 1, 2, "H" + rows[1][2][1:])
    with pytest.raises(DataError, match=r"'H' at character 1, allowed are .* A to G"):
        read_csv(write(tmp_path / "c.csv", beyond))


def test_sample_is_seeded_ordered_and_filtered(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", rows_of(40, 4))
    first = read_csv(path, keep=10, seed=1)
    assert first.rows.tolist() == sorted(first.rows.tolist())
    assert len(first) == 10
    assert (read_csv(path, keep=10, seed=1).rows == first.rows).all()
    assert not (read_csv(path, keep=10, seed=2).rows == first.rows).all()
    hard = read_csv(path, keep=10, seed=1, min_difficulty=30)
    assert (hard.ratings >= 30).all()
    assert len(hard) == 10
    assert (np.diff(hard.rows) > 0).all()


def spoil(rows: list[list[str]], row: int, column: int, text: str) -> list[list[str]]:
    changed = [list(r) for r in rows]
    changed[row][column] = text
    return changed


def with_cell(text: str, index: int, value: str) -> str:
    return text[:index] + value + text[index + 1 :]


@pytest.mark.parametrize(
    ("column", "change", "words"),
    [
        (1, lambda q, a: q[:-1], "row 4 (line 5): question has 80 characters, expected 81"),
        (2, lambda q, a: a + "1", "row 4 (line 5): answer has 82 characters, expected 81"),
        (1, lambda q, a: with_cell(q, 7, "x"), "question has 'x' at character 8"),
        (1, lambda q, a: with_cell(q, 7, "é"), "question has 'é' at character 8"),
        (2, lambda q, a: with_cell(a, 0, "."), "answer has '.' at character 1"),
        (2, lambda q, a: a[9:] + a[:9], "row 4"),
        (3, lambda q, a: "hard", "rating is 'hard', expected an integer"),
    ],
)
def test_a_bad_row_is_one_line_with_file_and_row(
    tmp_path: Path, column: int, change: object, words: str
) -> None:
    rows = rows_of(6)
    bad = change(rows[3][1], rows[3][2])  # type: ignore[operator]
    path = write(tmp_path / "bad.csv", spoil(rows, 3, column, bad))
    with pytest.raises(DataError) as caught:
        read_csv(path)
    message = str(caught.value)
    assert words in message
    assert str(path) in message
    assert "1 of 6 rows" in message
    assert "\n" not in message


def test_an_answer_against_the_question_and_an_unsolved_answer_are_told_apart(
    tmp_path: Path,
) -> None:
    rows = rows_of(2)
    question, answer = rows[0][1], rows[0][2]
    clue = next(i for i, c in enumerate(question) if c != ".")
    blank = question.index(".")
    other = str(int(answer[clue]) % 9 + 1)
    contradicting = write(tmp_path / "a.csv", spoil(rows, 0, 2, with_cell(answer, clue, other)))
    with pytest.raises(DataError, match="where the question says"):
        read_csv(contradicting)
    other = str(int(answer[blank]) % 9 + 1)
    unsolved = write(tmp_path / "b.csv", spoil(rows, 0, 2, with_cell(answer, blank, other)))
    with pytest.raises(DataError, match="is not a solved Sudoku: row"):
        read_csv(unsolved)


def test_many_bad_rows_are_counted_and_the_first_described(tmp_path: Path) -> None:
    rows = [[s, q[:-1], a, r] if int(r) else [s, q, a, r] for s, q, a, r in rows_of(9)]
    with pytest.raises(DataError, match=r"8 of 9 rows.*row 2 .*row 3 .*row 4 .*; and 5 more"):
        read_csv(write(tmp_path / "a.csv", rows))


def test_a_second_solution_is_found(tmp_path: Path) -> None:
    rows = rows_of(5)
    rows[2][1] = "." * 40 + rows[2][1][40:]
    puzzles = read_csv(write(tmp_path / "a.csv", rows))
    with pytest.raises(DataError, match=r"a\.csv: 1 of 5 rows .*row 3 .*second solution, with"):
        check_unique(puzzles, "a.csv")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the header lacks source, question, answer, rating"),
        (b"a,b\n1,2\n", "the header lacks"),
        (HEADER.encode(), "holds no puzzles"),
        (HEADER.encode() + b"s,1.3,123,0\n", "question has 3 characters, allowed are 16 "),
        (HEADER.encode() + b"\xff\xfe,1,2,3\n", "not a CSV text file"),
        (HEADER.encode() + b"only-one-field\n", "question has 0 characters"),
    ],
)
def test_a_file_that_is_no_such_csv(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_csv(path)


def test_damaged_gzip_and_missing_files(tmp_path: Path) -> None:
    whole = gzip.compress((HEADER + "x" * 5000).encode())
    (tmp_path / "train.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="damaged gzip"):
        read_csv(tmp_path / "train.csv.gz")
    (tmp_path / "plain.csv.gz").write_bytes(b"not gzip at all")
    with pytest.raises(DataError, match="damaged gzip"):
        read_csv(tmp_path / "plain.csv.gz")
    with pytest.raises(DataError, match=r"neither test\.csv nor test\.csv\.gz"):
        find_files(tmp_path)
    with pytest.raises(DataError, match="no such file or folder"):
        find_files(tmp_path / "nothing")


def test_no_puzzle_hard_enough_says_how_hard_they_are(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", rows_of(4))
    with pytest.raises(DataError, match="the highest of its 4 is 3: lower --min-difficulty"):
        read_csv(path, min_difficulty=99)
