"""Where a run's data are: the command that builds them, and runs used from another folder."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest
import torch

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.runs import arguments, train_here
from hrm_scale.base.errors import CheckpointError, ConfigError, DataError
from hrm_scale.checkpoint import read_checkpoint
from hrm_scale.checkpoint.discovery import resolve, runs_here
from hrm_scale.config.compose import compose
from hrm_scale.config.data_build import build_hint
from hrm_scale.config.saved import from_dict, to_dict
from hrm_scale.data import find_dataset
from hrm_scale.evaluate import evaluate_checkpoint
from hrm_scale.evaluation.restore import restore
from hrm_scale.training.build import open_data
from hrm_scale.training.resuming import changed_since
from tools.run.status import require_run
from tools.sweep.cells import check_data

DEMO = "python -m shards.sudoku --source generate --size 6 --count 2000"


@pytest.mark.parametrize(
    "path", ["data/sudoku-6x6-demo", "data/my set", "it's/a set", "/abs/set", "--odd"]
)
def test_the_build_command_builds_into_the_path_that_is_read(path: str) -> None:
    run = compose(["experiment=demo", f"data_path={path}"]).run
    assert run.data_build is not None
    assert run.data_build.startswith(DEMO)
    words = shlex.split(run.data_build)
    assert words[-2:] == ["--output-dir", path]
    assert words.count("--output-dir") == 1
    # Saved, read again and pointed elsewhere it is still one command.
    again = from_dict({**to_dict(run), "data_path": "data/other"}, "test")
    assert shlex.split(again.data_build or "") == [*words[:-1], "data/other"]


@pytest.mark.parametrize("path", ["s3://bucket/set", "mixes/two.yaml"])
def test_no_command_builds_an_address_or_a_mixture(path: str) -> None:
    run = compose(["experiment=demo", f"data_path={path}"]).run
    assert run.data_build is None
    assert build_hint(run) is None


def test_a_command_of_another_program_is_kept() -> None:
    run = compose(["data_build=make sets", "data_path=data/mine"]).run
    assert run.data_build == "make sets"


def test_the_build_command_starts_no_other_run() -> None:
    words = ["experiment=demo", "arch.forward_dtype=float32"]
    plain = compose(words).run
    other = compose([*words, "data_build=make sets"]).run
    assert other.checkpoint_path == plain.checkpoint_path
    # A name that earlier versions derived, without this key.
    assert plain.run_name == "seed0-8399f650"


def test_missing_data_name_the_recipes_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = compose(["experiment=demo", "data_path=data/six"]).run
    assert run.data_build is not None
    with pytest.raises(DataError) as failure:
        open_data(run)
    assert f"`{run.data_build}`" in str(failure.value)
    assert f"`{run.data_build}`" in str(check_data({"cell": run})["cell"])
    # Without a recipe the path's own name says which builder.
    for path, builder in (("arc-aug", "arc"), ("maze-9", "maze"), ("mine", "sudoku")):
        with pytest.raises(DataError, match=f"`python -m shards.{builder} .*--output-dir"):
            open_data(compose([f"data_path={path}"]).run)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data/four and a run checkpoints/P/R that was trained in it, 2 steps long."""
    folder = tmp_path_factory.mktemp("project")
    write_online(folder / "data" / "four", examples=20)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train_here(Path("data/four"), Path("checkpoints/P/R"), max_steps=2)
    return folder


def evaluate(run: Path, **settings: object) -> float:
    found = evaluate_checkpoint(run, config_overrides={"engine.device": "cpu", **settings})
    return float(found["results"]["count"])


def test_a_run_finds_its_data_from_another_folder(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = project / "checkpoints" / "P" / "R"
    monkeypatch.chdir(tmp_path)
    count = evaluate(run)
    assert count > 0
    device = torch.device("cpu")
    assert restore(run, device=device).run.data_path == str(project / "data" / "four")
    # Seen from above and from inside, the path is shown relative.
    monkeypatch.chdir(project.parent)
    assert restore(run, device=device).run.data_path == f"{project.name}/data/four"
    monkeypatch.chdir(project)
    assert restore(run, device=device).run.data_path == "data/four"
    # A run that lies apart from its data knows the folder it was trained in.
    apart = tmp_path / "apart"
    run.rename(apart)
    try:
        monkeypatch.chdir(tmp_path)
        assert evaluate(apart) == count
    finally:
        apart.rename(run)


def test_a_run_whose_data_are_gone_says_what_to_type(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, moved = project / "checkpoints" / "P" / "R", tmp_path / "moved"
    (project / "data" / "four").rename(moved)
    try:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(DataError, match=f"trained in {project}; give data_path=DIR"):
            evaluate(run)
        assert evaluate(run, data_path="moved") > 0
        monkeypatch.chdir(project)
        with pytest.raises(DataError, match="no such data set: give data_path=DIR"):
            evaluate(run)
    finally:
        moved.rename(project / "data" / "four")


def test_resuming_sees_no_difference(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    checkpoint = read_checkpoint(Path("checkpoints/P/R"))
    same = arguments(Path("data/four"), Path("checkpoints/P/R"), max_steps=2)
    assert changed_since(checkpoint, compose(same).run) == []
    # The recipe's command is no setting of the training; another data path is.
    assert changed_since(checkpoint, compose([*same, "data_build=make sets"]).run) == []
    absolute = compose([*same, f"data_path={project / 'data' / 'four'}"]).run
    assert changed_since(checkpoint, absolute) == []
    assert "data_path" in changed_since(checkpoint, compose([*same, "data_path=other"]).run)[0]


def test_addresses_and_absolute_paths_stay_as_they_are(tmp_path: Path) -> None:
    write_online(tmp_path / "set", examples=20)
    for path in ("s3://bucket/set", "/no/such/set", "x" * 5000, "nowhere"):
        assert find_dataset(path, [tmp_path]) == path
    assert find_dataset("set", [tmp_path / "a", tmp_path]) == str(tmp_path / "set")


def test_a_missing_checkpoint_lists_the_runs_there_are(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="there are no runs under"):
        resolve(Path("checkpoints/PROJECT/RUN"))
    monkeypatch.chdir(project)
    for path in ("checkpoints/PROJECT/RUN", "nowhere"):
        with pytest.raises(CheckpointError, match=r"runs here: checkpoints/P/R$"):
            resolve(Path(path))
    with pytest.raises(ConfigError, match=r"runs here: checkpoints/P/R$"):
        require_run(Path("checkpoints/PROJECT/RUN"))


def test_runs_are_listed_newest_first_and_not_all(tmp_path: Path) -> None:
    for number in range(7):
        folder = tmp_path / ("one" if number == 5 else f"P/{number}") / "checkpoints"
        (folder / f"step-0000000{number}").mkdir(parents=True)
        os.utime(folder, (number, number))
    (tmp_path / "empty" / "checkpoints").mkdir(parents=True)
    newest = ", ".join(str(tmp_path / name) for name in ("P/6", "one", "P/4", "P/3", "P/2"))
    assert runs_here(tmp_path) == f"runs here: {newest} and 2 more"


def test_a_run_goes_on_when_the_folder_it_was_started_in_is_removed(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, run = tmp_path / "gone", tmp_path / "run"
    gone.mkdir()
    monkeypatch.chdir(gone)
    train_here(project / "data" / "four", run, lambda trainer: gone.rmdir(), max_steps=2)
    assert read_checkpoint(run).state["folder"] == str(gone)
    with pytest.raises(CheckpointError, match="no runs under checkpoints"):
        resolve(Path("checkpoints/PROJECT/RUN"))
    # What lies above the checkpoint is found all the same.
    assert find_dataset("data/four", [project]) == str(project / "data" / "four")
