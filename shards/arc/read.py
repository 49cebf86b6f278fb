"""Read ARC tasks: folders of task files, archives of such folders, Kaggle's pairs of files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hrm_scale.base.errors import DataError
from hrm_scale.base.untrusted import parse_json, read_bytes

from ..builder.archive import read_files
from .task import UNKNOWN_OUTPUT, Task, pair_list, task_of_json

MAX_TASK_BYTES = 16 << 20
MAX_KAGGLE_BYTES = 256 << 20
_ARCHIVE = (".tar", ".tar.gz", ".tgz", ".zip")
_TREES = ("data", "corpus")  # the folders of ARC-AGI and ConceptARC that hold the task folders
_MEMBER = re.compile(
    rf"(?:.*/)?(?:{'|'.join(_TREES)})/(?P<subset>[^/]+)/(?P<name>[^/.][^/]*)\.json"
)


def read_folders(folders: Sequence[Path], test_set_name: str) -> list[Task]:
    """Tasks of all folders `DIR/<subset>/<task>.json`, or of archives of ARC-AGI's layout.

    Tasks of a subset `test_set_name` are for evaluation. DataError names the file and the task.
    """
    seen: set[Path] = set()
    tasks: list[Task] = []
    for folder in folders:
        real = folder.resolve()
        if real in seen:
            raise DataError(f"{folder}: given twice: name every folder once")
        seen.add(real)
        files = _archive_files(folder) if folder.name.endswith(_ARCHIVE) else _folder_files(folder)
        before = len(tasks)
        for subset, name, data, where in files:
            content = _parse(data, where)
            tasks.append(task_of_json(content, name, subset, subset == test_set_name, where))
        if len(tasks) == before:
            raise DataError(_nothing_in(folder))
    return tasks


def _folder_files(folder: Path) -> Iterator[tuple[str, str, bytes, str]]:
    if not folder.is_dir():
        problem = "no such folder"
        if folder.exists():
            problem = f"neither a folder nor an archive of tasks ({', '.join(_ARCHIVE)})"
        raise DataError(
            f"{folder}: {problem}: give folders like ARC-AGI/data with --dataset-dirs "
            "(docs/arc.md in a clone says where to get them)"
        )
    for subset in sorted(folder.iterdir()):
        if not subset.is_dir() or subset.name.startswith("."):
            continue
        for file in sorted(subset.glob("*.json")):
            if not file.name.startswith("."):  # "._x.json" are left behind by some archivers
                yield subset.name, file.stem, _read(file, MAX_TASK_BYTES), str(file)


def _archive_files(archive: Path) -> Iterator[tuple[str, str, bytes, str]]:
    for file, content in read_files(archive, _MEMBER):
        match = _MEMBER.fullmatch(file)
        assert match is not None
        yield match["subset"], match["name"], content, f"{archive}, {file}"


def _nothing_in(folder: Path) -> str:
    wanted = "expected subfolders with one JSON file per task, as in ARC-AGI/data"
    if folder.name.endswith(_ARCHIVE):
        return f"{folder}: no file data/<subset>/<task>.json in it: unpack it and give the folder"
    inner = [name for name in _TREES if (folder / name).is_dir()]
    if inner:
        return f"{folder}: no tasks: {wanted}: give {folder / inner[0]}"
    if any(folder.glob("*.json")):
        return f"{folder}: task files lie in it directly: {wanted}: give the folder above it"
    return f"{folder}: no tasks: {wanted}"


def read_kaggle(prefix: str, subsets: Sequence[str], test_set_name: str) -> list[Task]:
    """Tasks of `{prefix}_{subset}_challenges.json` and `..._solutions.json`, in Kaggle's form.

    Training subsets must have all solutions. Test pairs of the subset `test_set_name` without one
    get UNKNOWN_OUTPUT.
    """
    if len(set(subsets)) != len(subsets):
        twice = next(name for name in subsets if subsets.count(name) > 1)
        raise DataError(f"--subsets: {twice!r} is given twice: name every subset once")
    tasks: list[Task] = []
    for subset in subsets:
        file = Path(f"{prefix}_{subset}_challenges.json")
        challenges = _kaggle_object(file, required=True)
        solutions = _kaggle_object(
            Path(f"{prefix}_{subset}_solutions.json"), required=subset != test_set_name
        )
        if not challenges:
            raise DataError(f"{file}: holds no task")
        for name, content in challenges.items():
            where = f"{file}, task {name}"
            tasks.append(
                _kaggle_task(name, content, solutions.get(name), subset, test_set_name, where)
            )
    return tasks


def _kaggle_task(
    name: str, content: Any, answers: Any, subset: str, test_set_name: str, where: str
) -> Task:
    tests = pair_list(content, "test", where)
    evaluation = subset == test_set_name
    unsolved = answers is None
    if unsolved and not evaluation:
        raise DataError(
            f"{where}: no solution in the {subset} solutions file, and without it the test "
            "pairs cannot be trained on: add it, or leave the subset out of --subsets"
        )
    if unsolved:
        answers = [UNKNOWN_OUTPUT] * len(tests)
    if not isinstance(answers, list) or len(answers) != len(tests):
        count = len(answers) if isinstance(answers, list) else "no list of"
        raise DataError(f"{where}: {len(tests)} test inputs and {count} solutions: repair the file")
    pairs = [
        {"input": test.get("input") if isinstance(test, dict) else None, "output": answer}
        for test, answer in zip(tests, answers, strict=True)
    ]
    solved = {"train": content.get("train"), "test": pairs}
    task = task_of_json(solved, name, subset, evaluation, where)
    return replace(task, unsolved=unsolved)


def _kaggle_object(file: Path, *, required: bool) -> dict[str, Any]:
    if not required and not file.exists():
        return {}
    if not file.exists():
        raise DataError(
            f"{file}: no such file: --input-file-prefix and --subsets name pairs of files "
            "PREFIX_SUBSET_challenges.json, PREFIX_SUBSET_solutions.json"
        )
    content = _parse(_read(file, MAX_KAGGLE_BYTES), str(file))
    if not isinstance(content, dict):
        raise DataError(f"{file}: holds a {type(content).__name__}, expected an object of tasks")
    return content


def _read(file: Path, limit: int) -> bytes:
    try:
        return read_bytes(file, limit, links=True)
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({error})") from error


def _parse(data: bytes, where: str) -> Any:
    try:
        return parse_json(data)
    except ValueError as error:
        raise DataError(f"{where}: not valid JSON ({error}): fetch the file again") from error
