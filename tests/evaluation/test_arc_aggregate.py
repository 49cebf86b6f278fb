"""Votes in files: the same bytes, read back as they were, added or not, and nothing trusted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from hrm_scale.base.errors import DataError
from hrm_scale.evaluation.arc.aggregate import (
    earlier_files,
    read_votes,
    task_line,
    votes_file,
    with_earlier,
    write_votes,
)
from hrm_scale.evaluation.arc.score import score
from hrm_scale.evaluation.arc.task_votes import Candidate, TaskVotes, add_votes, rank
from tests.support.arc_asked import table_of

PRINT = "f" * 64
ANSWER = b"12/30"


def votes(
    *candidates: tuple[bytes, int, float], answer: bytes | None = ANSWER, name: str = "a"
) -> TaskVotes:
    made = [Candidate(text, n, q, at) for at, (text, n, q) in enumerate(candidates)]
    return TaskVotes(name, (rank(made, answer),))


def lines(tasks: list[TaskVotes]) -> list[bytes]:
    return [task_line(task) for task in tasks]


EVALUATIONS = [
    [votes((b"1", 3, 1.5), (ANSWER, 2, 1.75), (b"", 1, 0.125))],
    [votes((b"2", 4, 0.5), (ANSWER, 2, 0.5), (b"1", 1, 0.25))],
    [votes((b"1", 1, 1.0), (ANSWER, 1, 0.75))],
]


def test_files_are_read_back_as_written(tmp_path: Path) -> None:
    tasks = [
        votes((b"1", 3, 0.1 + 0.2), (b"", 1, 0.0)),
        votes(answer=None, name="none of the kind"),
        votes(*[(b"%d" % n, 2000 - n, 1e-9 * n) for n in range(1200)], answer=b"1100", name="much"),
        TaskVotes("zwei", (votes((b"1", 1, 0.5)).pairs[0], votes().pairs[0])),
    ]
    path = write_votes(tmp_path / "new", 120, PRINT, tasks)
    assert path == tmp_path / "new" / "votes-000000120.jsonl.zst"
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    read = read_votes(path, PRINT)
    assert lines(read) == lines(tasks)
    much = read[2].pairs[0]
    assert (much.right, much.distinct, len(much.candidates())) == (1100, 1200, 1001)
    before = path.read_bytes()
    assert write_votes(tmp_path / "new", 120, PRINT, read).read_bytes() == before
    text = zstandard.ZstdDecompressor().decompressobj().decompress(before).splitlines()
    assert len(text) == 5
    assert json.loads(text[1])["pairs"][0]["candidates"][0] == ["1", 3, 0.30000000000000004, 0]


def test_added_votes_are_those_of_one_evaluation_of_everything() -> None:
    (task,) = [add_votes([evaluation[0] for evaluation in EVALUATIONS])]
    assert table_of(task) == [
        ("12/30", 5, 0.6),
        ("1", 5, 0.55),
        ("2", 4, 0.125),
        ("", 1, 0.125),
    ]
    assert (task.pairs[0].right, task.pairs[0].votes, task.pairs[0].distinct) == (0, 17 - 2, 4)
    assert EVALUATIONS[0][0].pairs[0].right == 1


def test_ties_go_to_the_evaluation_that_came_first() -> None:
    first = votes((b"3", 1, 0.5), (b"2", 1, 0.5))
    second = TaskVotes(
        "a", (rank([Candidate(b"1", 1, 0.5, 0), Candidate(b"4", 1, 0.5, 9)], ANSWER),)
    )
    assert [row[0] for row in table_of(add_votes([first, second]))] == ["3", "2", "1", "4"]
    assert [row[0] for row in table_of(add_votes([second, first]))] == ["1", "4", "3", "2"]


@given(st.permutations([1e-17, 0.1, 0.2, 0.3, 0.7, 1.0]))
def test_sums_of_q_do_not_depend_on_the_order(sums: list[float]) -> None:
    added = add_votes([votes((b"1", 1, q)) for q in sums])
    assert added.pairs[0].candidates()[0].q_sum == 2.3


def test_votes_for_something_else_are_not_added() -> None:
    with pytest.raises(ValueError, match="votes for b cannot be added to those for a"):
        add_votes([votes(), votes(name="b")])
    with pytest.raises(ValueError, match="cannot be added"):
        add_votes([votes(), votes(answer=b"7")])


def test_earlier_evaluations_are_added_or_not(tmp_path: Path) -> None:
    for number, evaluation in enumerate(EVALUATIONS):
        write_votes(tmp_path, 10 * number, PRINT, evaluation)
    (tmp_path / "votes-7.jsonl.zst").write_bytes(b"not ours")
    alone = EVALUATIONS[2]
    together = with_earlier(tmp_path, 20, PRINT, alone)
    assert lines(together) == lines([add_votes([e[0] for e in EVALUATIONS])])
    assert score(alone).fraction[1].value == 0.0
    assert score(together).fraction[1].value == 1.0
    # Of a run that went back to step 10, what a later step left behind is not of its past.
    assert [p.name for p in earlier_files(tmp_path, 10)] == ["votes-000000000.jsonl.zst"]
    assert lines(with_earlier(tmp_path, 0, PRINT, EVALUATIONS[0])) == lines(EVALUATIONS[0])
    assert lines(with_earlier(tmp_path / "none", 9, PRINT, alone)) == lines(alone)


def test_only_asked_tasks_are_added_to(tmp_path: Path) -> None:
    write_votes(tmp_path, 1, PRINT, [votes((b"1", 1, 0.5)), votes((b"2", 1, 0.5), name="b")])
    asked = [votes((b"2", 2, 0.5), name="b"), votes((b"3", 2, 0.5), name="c")]
    found = with_earlier(tmp_path, 2, PRINT, asked)
    assert [(task.name, task.pairs[0].votes) for task in found] == [("b", 3), ("c", 2)]


def test_changed_answers_are_named(tmp_path: Path) -> None:
    write_votes(tmp_path, 1, PRINT, [votes(answer=b"1")])
    with pytest.raises(DataError, match="votes for a cannot be added to those for a"):
        with_earlier(tmp_path, 2, PRINT, [votes(answer=b"2")])


# --- files that somebody else may have written ----------------------------------------------------


def forge(folder: Path, change: Callable[[list[Any]], None]) -> Path:
    """A file of good votes whose lines were changed."""
    path = write_votes(folder, 5, PRINT, [EVALUATIONS[0][0], votes((b"9", 1, 0.5), name="b")])
    raw = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
    content = [json.loads(line) for line in raw.splitlines()]
    change(content)
    text = b"".join(json.dumps(line).encode() + b"\n" for line in content)
    path.write_bytes(zstandard.compress(text))
    return path


def pair_of(content: list[Any]) -> dict[str, Any]:
    return content[1]["pairs"][0]


FORGERIES: dict[str, tuple[Callable[[list[Any]], Any], str]] = {
    "version": (lambda c: c[0].update(votes=2), "no file of votes"),
    "step": (lambda c: c[0].update(step=6), "no file of votes"),
    "no header": (lambda c: c.__setitem__(0, []), "no file of votes"),
    "empty": (lambda c: c.clear(), "no file of votes"),
    "other data": (lambda c: c[0].update(fingerprint="0"), "another data set"),
    "task missing": (lambda c: c.pop(), "each of 2 tasks once"),
    "task twice": (lambda c: c[2].update(task="a"), "each of 2 tasks once"),
    "no task": (lambda c: c.__setitem__(1, 7), "not the votes for a task"),
    "no name": (lambda c: c[1].update(task=7), "names no task"),
    "no pairs": (lambda c: c[1].update(pairs=[]), "names no task"),
    "answer": (lambda c: pair_of(c).update(answer="1/22"), "answer that is no grid"),
    "answer type": (lambda c: pair_of(c).update(answer=3), "not the votes for a task"),
    "order": (lambda c: pair_of(c)["candidates"].reverse(), "out of order"),
    "twice": (lambda c: pair_of(c)["candidates"].append(["1", 1, 0.0, 9]), "out of order, twice"),
    "grid": (lambda c: pair_of(c)["candidates"][0].__setitem__(0, "1/"), "candidate that is none"),
    "text": (lambda c: pair_of(c)["candidates"][0].__setitem__(0, "ä"), "candidate that is none"),
    "count": (lambda c: pair_of(c)["candidates"][0].__setitem__(1, 0), "candidate that is none"),
    "count type": (lambda c: pair_of(c)["candidates"][0].__setitem__(1, True), "that is none"),
    "huge": (lambda c: pair_of(c)["candidates"][0].__setitem__(1, 1 << 40), "not the votes"),
    "q": (lambda c: pair_of(c)["candidates"][0].__setitem__(2, float("nan")), "that is none"),
    "first": (lambda c: pair_of(c)["candidates"][0].__setitem__(3, -1), "that is none"),
    "columns": (lambda c: pair_of(c)["candidates"][0].append(1), "not the votes for a task"),
    "votes": (lambda c: pair_of(c).update(votes=7), "contradict their 'votes'"),
    "distinct": (lambda c: pair_of(c).pop("distinct"), "not the votes for a task"),
    "right": (lambda c: pair_of(c).update(right=0), "contradict their 'right'"),
    "right none": (lambda c: pair_of(c).update(right=None), "contradict their 'right'"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_files_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    change, message = FORGERIES[name]
    path = forge(tmp_path, change)
    with pytest.raises(DataError, match=message) as caught:
        read_votes(path, PRINT)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_the_forger_leaves_good_files_alone(tmp_path: Path) -> None:
    assert len(read_votes(forge(tmp_path, lambda content: None), PRINT)) == 2


@pytest.mark.parametrize("cut", [0, 3, 40, -5])
def test_cut_files_are_refused(tmp_path: Path, cut: int) -> None:
    path = write_votes(tmp_path, 5, PRINT, EVALUATIONS[0])
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError):
        read_votes(path, PRINT)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_found(tmp_path_factory: Any, place: int, mask: int) -> None:
    path = write_votes(tmp_path_factory.mktemp("bytes"), 5, PRINT, EVALUATIONS[0])
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= mask
    path.write_bytes(data)
    try:
        found = lines(read_votes(path, PRINT))
    except DataError:
        return
    assert found == lines(EVALUATIONS[0])  # a bit without meaning


def test_links_missing_and_misnamed_files_are_refused(tmp_path: Path) -> None:
    path = write_votes(tmp_path, 5, PRINT, EVALUATIONS[0])
    other = votes_file(tmp_path, 6)
    with pytest.raises(DataError, match="No such file"):
        read_votes(other, PRINT)
    other.symlink_to(path)
    with pytest.raises(DataError, match="symbolic link"):
        read_votes(other, PRINT)
    path.rename(tmp_path / "votes.zst")
    with pytest.raises(DataError, match="no file of votes of this name"):
        read_votes(tmp_path / "votes.zst", PRINT)


def test_a_line_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    path = votes_file(tmp_path, 5)
    path.write_bytes(zstandard.compress(b"0" * (65 << 20)))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(DataError, match="too long"):
        read_votes(path, PRINT)


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = write_votes(tmp_path, 5, PRINT, EVALUATIONS[0])
    before = path.read_bytes()
    broken = TaskVotes("b", (None,))  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        write_votes(tmp_path, 5, PRINT, [EVALUATIONS[1][0], broken])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_candidates_survive_as_plain_numbers() -> None:
    (candidate,) = votes((b"1", 2, 0.5)).pairs[0].candidates()
    assert [type(value) for value in candidate] == [bytes, int, float, int]
    assert votes().pairs[0].candidates() == []
    assert np.isfinite(candidate.rank_key).all()
