"""Evaluations of real checkpoints: any number of processes, sweeps, early exit, ARC, mazes."""

from __future__ import annotations

import csv
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.ranks import run_ranks
from benchmarks.tiny.runs import call, train_here
from hrm_scale.base.errors import ConfigError
from hrm_scale.evaluate import evaluate_checkpoint
from hrm_scale.evaluation.files import OutputFiles
from hrm_scale.evaluation.observers import registry
from hrm_scale.evaluation.observers.base import Observer
from hrm_scale.evaluation.rollout import ModelOutputs
from hrm_scale.evaluation.session import Session
from shards.maze import cli as maze
from tests.support.arc_sets import build_arc, write_tasks

COUNTS = ("count", "exact_accuracy", "accuracy", "q_halt_accuracy", "steps")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_online(tmp_path_factory.mktemp("evaluation") / "data", examples=260)


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Solves a few of the 4x4 boards, whose clues leave much open, and halts on some early."""
    run = tmp_path_factory.mktemp("evaluation") / "run"
    train_here(data, run, max_steps=200, global_batch_size=32, lr=3e-3)
    return run


def evaluated(run: Path, **settings: Any) -> dict[str, Any]:
    return evaluate_checkpoint(run, config_overrides={"engine.device": "cpu", **settings})


def all_ways(run: Path, out: Path) -> None:
    """What one of several processes does: evaluate in several ways, and leave what it was told."""
    import os

    found = {
        f"{batch} {early}": evaluated(run, batch_size=batch, early_exit=early)["results"]
        for batch in (7, 64)
        for early in (False, True)
    }
    (out / f"{os.environ.get('WORLD_SIZE', '1')}-{os.environ.get('RANK', '0')}.json").write_text(
        json.dumps(found)
    )


@pytest.mark.slow
@pytest.mark.multi
def test_counts_are_the_same_on_any_number_of_processes_and_in_any_batches(
    trained: Path, tmp_path: Path
) -> None:
    for ranks in (0, 2, 3):
        run_ranks(ranks, partial(all_ways, trained, tmp_path))
    files = sorted(tmp_path.glob("*.json"))
    assert [file.stem for file in files] == ["1-0", "2-0", "2-1", "3-0", "3-1", "3-2"]
    seen: dict[bool, set[tuple[float, ...]]] = {False: set(), True: set()}
    for file in files:
        for way, results in json.loads(file.read_text()).items():
            seen[way.endswith("True")].add(tuple(results[name] for name in COUNTS))
    assert len(seen[False]) == 1, "all steps"
    assert len(seen[True]) == 1, "early exit"
    (full,), (early,) = seen[False], seen[True]
    assert full[0] == early[0] == 250
    assert 0 < full[1] < 1, "a model that solves some boards and not others"
    assert 0.5 < full[2] < 1
    assert full[4] == 4
    assert early[4] < 4, "early exit saves steps"


def test_a_sweep_of_steps_equals_separate_evaluations(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    swept = evaluate_checkpoint(trained, None, out, {"steps": [1, 2, 3, 8], "engine.device": "cpu"})
    for row in swept["steps"]:
        alone = evaluated(trained, arch={"halt_max_steps": row["steps"]}, global_batch_size=50)
        for name in ("exact_accuracy", "accuracy", "q_halt_accuracy"):
            assert alone["results"][name] == row[name], (row["steps"], name)
    assert swept["results"]["exact_accuracy"] == swept["steps"][-1]["exact_accuracy"]
    with (out / "steps.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [int(row["steps"]) for row in table] == [1, 2, 3, 8]
    assert float(table[1]["low"]) < swept["steps"][1]["exact_accuracy"] < float(table[1]["high"])
    assert (out / "steps.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((out / "results.json").read_text())["steps"] == swept["steps"]


class Confident(Observer):
    """Share of rows with a positive halting value after the last step."""

    name = "confident"

    def __init__(self) -> None:
        self._counts = torch.zeros(2)

    @classmethod
    def make(cls, session: Session) -> Confident | None:
        return cls() if session.config.limit else None

    def add(self, outputs: ModelOutputs) -> None:
        if outputs.last:
            self._counts += torch.tensor([len(outputs), int((outputs.q_halt > 0).sum())])

    def sums(self) -> dict[str, torch.Tensor]:
        return {"confident": self._counts}

    def result(self, sums: dict[str, torch.Tensor]) -> dict[str, float]:
        rows, confident = sums["confident"].tolist()
        return {"rows": rows, "share": confident / rows}

    def render(self, result: dict[str, float]) -> str:
        return f"confident {result['share']:.2f}"

    def write(self, result: dict[str, float], files: OutputFiles) -> None:
        files.csv("confident.csv", [result])


def test_a_metric_is_one_class(
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(registry, "OBSERVERS", (*registry.OBSERVERS, Confident))
    found = evaluated(trained, limit=60, output_dir=str(tmp_path))["confident"]
    assert found["rows"] == 60
    assert f"\nconfident {found['share']:.2f}\n" in capsys.readouterr().out
    assert json.loads((tmp_path / "results.json").read_text())["confident"] == found
    assert (tmp_path / "confident.csv").read_text().startswith("rows,share\n60.0,")
    assert "confident" not in evaluated(trained)


def test_several_paths_and_failures_leave_their_files(trained: Path, tmp_path: Path) -> None:
    cells = evaluated(trained, trajectories="1,3", steps="2,4", output_dir=str(tmp_path))["scaling"]
    plain = evaluated(trained, halt_max_steps=4)["results"]
    first = [row for row in cells if row["method"] == "first" and row["steps"] == 4]
    assert first[0]["exact_accuracy"] == plain["exact_accuracy"], "the first path is the plain one"
    assert (tmp_path / "scaling.csv").exists()
    evaluated(trained, failures=5, output_dir=str(tmp_path / "f"))
    page = (tmp_path / "f" / "failures.html").read_text()
    assert page.startswith("<!doctype html>")


def test_the_command_tells_progress_tables_and_files(trained: Path, tmp_path: Path) -> None:
    result = call(
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        2,
        "-m",
        "hrm_scale.evaluate",
        f"checkpoint={trained}",
        "limit=60",
        f"output_dir={tmp_path}",
    )
    assert result.returncode == 0, result.stderr
    for part in ("95 % interval", "baseline: all PAD", "examples/s", f"written: {tmp_path}"):
        assert result.stdout.count(part) == 1, result.stdout
    alone = evaluated(trained, limit=60)["results"]
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["processes"] == 2
    assert {name: found["results"][name] for name in COUNTS} == {n: alone[n] for n in COUNTS}


def test_an_error_of_every_process_is_told_once(data: Path, tmp_path: Path) -> None:
    result = call(
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        2,
        "-m",
        "hrm_scale.evaluate",
        f"checkpoint={tmp_path / 'none'}",
    )
    assert result.stderr.count("error: ") == 1, result.stderr


def test_what_does_not_go_together_is_one_line(trained: Path, tmp_path: Path) -> None:
    for settings, words in (
        ({"augmentation_counts": "1,2"}, "about votes over the variants of ARC tasks"),
        ({"steps": "1,2", "early_exit": True}, "exclude each other"),
        ({"failures": 3}, "needs a folder"),
    ):
        with pytest.raises(ConfigError, match=words):
            evaluated(trained, **settings)
    with pytest.raises(ConfigError, match="Did you mean 'limit'"):
        evaluated(trained, limitt=3)


@pytest.fixture(scope="module")
def arc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a few ARC tasks, whose model knows nothing: what counts here is the counting."""
    folder = tmp_path_factory.mktemp("arc")
    data = build_arc(write_tasks(folder / "raw"), folder / "data", "--num-aug", "5")
    train_here(data, folder / "run", max_steps=3, arch__halt_max_steps=2)
    return folder / "run"


def vote(run: Path, out: Path) -> None:
    evaluated(run, batch_size=7, augmentation_counts="1,2,4", output_dir=str(out))


@pytest.mark.slow
@pytest.mark.multi
def test_arc_votes_are_the_same_on_any_number_of_processes(arc: Path, tmp_path: Path) -> None:
    for ranks in (0, 2, 3):
        run_ranks(ranks, partial(vote, arc, tmp_path / str(ranks)))
    names = ("submission.json", "augmentations.csv", "votes-000000003.jsonl.zst")
    for name in names:
        contents = {(tmp_path / ranks / name).read_bytes() for ranks in ("0", "2", "3")}
        assert len(contents) == 1, name
    document = json.loads((tmp_path / "0" / "results.json").read_text())
    assert document["arc"]["tasks"] == 3
    assert set(document["arc"]["fraction"]) == {"1", "2", "5", "10", "100", "1000"}
    submission = json.loads((tmp_path / "0" / "submission.json").read_text())
    assert all(
        set(pair) == {"attempt_1", "attempt_2"} for task in submission.values() for pair in task
    )
    assert (tmp_path / "0" / "augmentations.png").exists()


def test_votes_of_earlier_evaluations_are_added(arc: Path, tmp_path: Path) -> None:
    first = evaluated(arc, output_dir=str(tmp_path), aggregated_voting=True)
    assert first["arc"]["aggregated"]
    held = tmp_path / "votes-000000003.jsonl.zst"
    earlier = tmp_path / "votes-000000001.jsonl.zst"
    # The same votes once more, as of an earlier step: twice the votes, the same order.
    from hrm_scale.evaluation.arc.aggregate import read_votes, write_votes

    fingerprint = first["data"]["fingerprint"]
    write_votes(tmp_path, 1, fingerprint, read_votes(held, fingerprint))
    again = evaluated(arc, output_dir=str(tmp_path), aggregated_voting=True)
    assert earlier.exists()
    assert again["arc"]["fraction"] == first["arc"]["fraction"]


def test_mazes_are_also_judged_by_their_paths(tmp_path: Path) -> None:
    where = ["--output-dir", str(tmp_path / "data")]
    size = ["--size", "8", "--count", "40", "--test-size", "20", "--min-path", "6"]
    assert maze.main(["--source", "generate", *size, *where]) == 0
    train_here(tmp_path / "data", tmp_path / "run", max_steps=3)
    paths = evaluated(tmp_path / "run")["paths"]
    assert paths["count"] == 20
    assert paths["shortest"]["number"] <= paths["paths"]["number"] <= 20
