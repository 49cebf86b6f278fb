"""`python -m tools.run plot`: the curves it reads, and that there is a picture for any run."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hrm_scale.base.errors import ConfigError, EnvironmentProblem
from tools.run.cli import main
from tools.run.plot import _number
from tools.run.series import MAX_POINTS, place, read_curves, smoothed, thinned

pytest.importorskip("matplotlib")


def write_run(folder: Path, steps: int = 6, **more: Any) -> Path:
    """Logs every 10 steps of 4 samples at 8 samples a second, evaluates every 20."""
    folder.mkdir(parents=True)
    lines: list[dict[str, Any]] = []
    for step in range(10, 10 * steps + 1, 10):
        train = {"lm_loss": 2 / step, "exact_accuracy": step / 100, "lr": 1e-4, "steps": 3.0}
        perf = {"samples": 4.0 * step, "examples_per_second": 8.0, "peak_memory_bytes": 2.0**30}
        perf["gflops"] = 24.0 if step <= 30 else 48.0  # 3, then 6 GFLOP a sample
        lines.append(
            {
                "step": step,
                **{f"train/{name}": value for name, value in train.items()},
                **{f"perf/{name}": value for name, value in perf.items()},
                **more,
            }
        )
        if step % 20 == 0:
            lines.append({"step": step, "eval/lm_loss": 3 / step, "eval/exact_accuracy": 0.5})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def write_events(run: Path, *events: tuple[str, int]) -> None:
    lines = [json.dumps({"time": 1.0, "event": kind, "step": step}) for kind, step in events]
    (run / "events.jsonl").write_text("\n".join(lines) + "\n")


def test_curves_restarts_and_axes(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    write_events(run, ("start", 0), ("start", 30), ("rollback", 20), ("start", 45))
    curves = read_curves(run)
    assert curves.series["train/steps"].steps.tolist() == [10, 20, 30, 40, 50, 60]
    assert curves.series["eval/exact_accuracy"].steps.tolist() == [20, 40, 60]
    assert (curves.restarts, curves.rollbacks) == ([30.0, 45.0], [20.0])
    steps = np.array([0.0, 15.0, 60.0])
    assert place(curves, "step", steps).tolist() == [0, 15, 60]
    assert place(curves, "samples", steps).tolist() == [0, 60, 240]
    np.testing.assert_allclose(place(curves, "hours", steps), steps * 4 / 8 / 3600)
    work = [0, 15 * 4 * 3e9, (30 * 3 + 30 * 6) * 4e9]
    np.testing.assert_allclose(place(curves, "flops", steps), work)
    # A run that counts its FLOPs is taken at its word.
    counted = read_curves(write_run(tmp_path / "counted", **{"perf/flops": 7e9}))
    np.testing.assert_allclose(place(counted, "flops", steps), [0, 7e9, 7e9])


def test_not_finite_values_are_gaps(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    with open(run / "metrics.jsonl", "a") as stream:
        stream.write('{"step": 70, "train/steps": null, "train/text": "no", "train/on": true}\n')
        stream.write('{"step": 80, "train/st')
    curves = read_curves(run)
    assert np.isnan(curves.series["train/steps"].values[-1])
    assert "train/text" not in curves.series


@given(values=arrays(float, st.integers(0, 60), elements=st.floats(-1e3, 1e3)))
@settings(deadline=None, max_examples=30)
def test_smoothing_is_a_mean_around_each_point(values: np.ndarray) -> None:
    for window in (1, 2, 5, 200):
        got = smoothed(values, window)
        low, high = (window - 1) // 2, window // 2
        expected = [values[max(i - low, 0) : i + high + 1].mean() for i in range(len(values))]
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_smoothing_leaves_out_what_is_not_finite() -> None:
    values = np.array([1.0, np.nan, 3.0, np.nan, np.nan, np.nan])
    np.testing.assert_allclose(smoothed(values, 3), [1, 2, 3, 3, np.nan, np.nan])


@given(seed=st.integers(0, 99), length=st.integers(1, 5 * MAX_POINTS))
@settings(deadline=None, max_examples=8)
def test_thinning_keeps_spikes_and_order(seed: int, length: int) -> None:
    y = np.random.default_rng(seed).normal(size=length)
    y[seed % length] = 100.0
    x, kept = thinned(np.arange(float(length)), y)
    assert len(kept) <= MAX_POINTS
    assert kept.max() == 100.0
    assert kept.min() == y.min()
    assert (np.diff(x) > 0).all()
    assert (y[x.astype(int)] == kept).all()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.002, "0.002"), (7e-5, "7e-5"), (0, "0"), (2e6, "2e6"), (0.1 + 0.2, "0.3"), (-0.5, "-0.5")],
)
def test_numbers_on_axes(value: float, text: str) -> None:
    assert _number(value) == text


def test_pictures_of_one_and_of_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = write_run(tmp_path / "a" / "run")
    other = write_run(tmp_path / "b" / "_$run$", 3)
    write_events(other, ("start", 0), ("start", 10), ("rollback", 20))
    monkeypatch.delenv("DISPLAY", raising=False)
    assert main(["plot", str(one)]) == 0
    assert capsys.readouterr().out == f"drawn: {one / 'plot.png'}\n"
    assert (one / "plot.png").read_bytes().startswith(b"\x89PNG")
    # Nothing is left where the command was typed.
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert main(["plot", str(one), str(other), "--smooth", "3", "--metrics", "lr"]) == 0
    assert (tmp_path / "a" / "plot.png").is_file()
    assert list(here.iterdir()) == []
    monkeypatch.chdir(one)
    assert main(["plot", ".", str(other), "--metrics", "lr"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"drawn: {tmp_path / 'a' / 'plot.png'}"
    monkeypatch.chdir(tmp_path)
    svg = tmp_path / "x.SVG"
    assert main(["plot", str(one), str(other), "--out", str(svg), "--x", "hours"]) == 0
    # Text is drawn as shapes; what it says is kept in comments.
    comments = svg.read_text()
    assert "q-halt" not in comments  # too much for several runs
    ET.fromstring(comments)
    titles = ["Loss", "Exact accuracy", "Learning rate", "Halting steps", "Throughput"]
    for text in [*titles, "Peak memory", "hours of training", "restart", "rollback", "run"]:
        assert f"<!-- {text} -->" in comments, text
    assert not list(tmp_path.glob(".*tmp*"))


LINES = {
    "a single point": '{"step": 10, "train/lm_loss": 0.5, "eval/exact_accuracy": 1.0}',
    "all zero": '{"step": 1, "train/lm_loss": 0, "train/exact_accuracy": 0, "train/lr": 0}',
    "no training": '{"step": 10, "eval/lm_loss": 0.5}',
    "nothing finite": '{"step": 10, "train/lm_loss": null}',
    "negative": '{"step": 10, "train/lm_loss": -1, "train/steps": -4}',
    "step 0": '{"step": 0, "perf/peak_memory_bytes": 1e300, "train/lr": 1e-300}',
}


@pytest.mark.slow
def test_pictures_of_very_little(tmp_path: Path) -> None:
    """Each in the same picture, and more of them than there are colours."""
    runs = [tmp_path / name for name in (*LINES, "none", "empty", "another")]
    for run in runs:
        run.mkdir()
        line = LINES.get(run.name, '{"step": 3, "train/lr": 1e-4}')
        (run / "metrics.jsonl").write_text("" if run.name == "empty" else line + "\n")
    out = tmp_path / "x.png"
    assert main(["plot", *map(str, runs), "--out", str(out), "--smooth", "9"]) == 0
    assert out.stat().st_size > 1000


@pytest.mark.parametrize("name", ["a single point", "nothing finite"])
def test_a_picture_of_very_little(name: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(LINES[name] + "\n")
    assert main(["plot", str(tmp_path), "--metrics", "lm_loss"]) == 0
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_chosen_metrics(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    svg = tmp_path / "x.svg"
    names = "lm_loss,perf/peak_memory_bytes,eval/exact_accuracy"
    assert main(["plot", str(run), "--out", str(svg), "--metrics", names]) == 0
    text = svg.read_text()
    for title in [*names.split(","), "nats", "GiB", "%", "train", "evaluation"]:
        assert f"<!-- {title} -->" in text, title
    before = svg.read_bytes()
    main(["plot", str(run), "--out", str(svg), "--metrics", names])
    assert svg.read_bytes() == before
    with pytest.raises(ConfigError, match=r"Did you mean 'lm_loss'\?"):
        main(["plot", str(run), "--metrics", "lm_los"])
    with pytest.raises(ConfigError, match="up to 12"):
        main(["plot", str(run), "--metrics", ",".join(["lm_loss"] * 13)])
    with pytest.raises(ConfigError, match="names nothing"):
        main(["plot", str(run), "--metrics", ","])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--out", "x.pdf"], "neither .png nor .svg"),
        (["--out", "x"], "neither .png nor .svg"),
        (["--out", "missing/x.png"], "there is no folder missing"),
        (["--out", "folder.png"], "is a folder"),
        (["--x", "samples"], "needs perf/samples"),
        (["--x", "hours"], "needs perf/samples"),
        (["--x", "flops"], "needs perf/samples"),
        (["--smooth", "-3"], "'-3' is not a whole number from 1"),
        (["--x", "days"], "invalid choice: 'days'"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 1, "train/lm_loss": 1}\n')
    with pytest.raises(ConfigError) as caught:
        main(["plot", "run", *arguments])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.png", "run"]
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["metrics.jsonl"]


def test_nothing_reported_yet(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").touch()
    with pytest.raises(ConfigError, match="nothing to draw yet"):
        main(["plot", str(tmp_path)])


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path / "run")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(EnvironmentProblem, match="pip install matplotlib") as caught:
        main(["plot", str(run)])
    assert caught.value.exit_code == 5
    assert "\n" not in str(caught.value)
