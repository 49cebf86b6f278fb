"""`python -m tools.sweep`: the grid, the statistics, the table, and what is run again."""

from __future__ import annotations

import json
import math
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.tiny.data_sets import write_online
from hrm_scale.base.errors import CheckpointError, ConfigError, DataError
from hrm_scale.config.compose import compose
from hrm_scale.config.saved import to_yaml
from tools.sweep import runner as sweep_runner
from tools.sweep.cells import (
    FINISHED,
    NEW,
    STARTED,
    TO_EVALUATE,
    Result,
    check,
    command_of,
    read_result,
    state_of,
)
from tools.sweep.cli import main
from tools.sweep.grid import Grid, default_folder, make_grid, split_values
from tools.sweep.plot import mean_and_range, read_curve
from tools.sweep.runner import Failure, environment, last_line, visible_devices
from tools.sweep.statistics import EXAMPLES, SEEDS, interval_of
from tools.sweep.table import BELOW, BEST, OPEN, UNKNOWN, as_text, conclusions, make_rows


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,2, 4", ["1", "2", "4"]),
        ("1", ["1"]),
        ("", [""]),
        ("a,", ["a", ""]),
        ("[1,2],[3]", ["[1,2]", "[3]"]),
        ("{a:1,b:(2,3)},x", ["{a:1,b:(2,3)}", "x"]),
        ("'a,b',c", ["'a,b'", "c"]),
        ('"a\\",b",c', ['"a\\",b"', "c"]),
        ("it's,b", ["it's", "b"]),
        ("[']',1],2", ["[']',1]", "2"]),
        ("${f:1,2},3", ["${f:1,2}", "3"]),
        ("a),b", ["a)", "b"]),
    ],
)
def test_values_are_split_at_top_level_commas(text: str, values: list[str]) -> None:
    assert split_values(text) == values


_WORD = st.text(st.characters(exclude_characters="'\",()[]{}\\", exclude_categories=["Cs"]))
_PLAIN = _WORD.map(str.strip)
_VALUE = st.one_of(
    _PLAIN,
    _WORD.map(lambda text: f"'{text},{text}'"),
    _WORD.map(lambda text: f'"a, {text}]"'),
    st.lists(_PLAIN, max_size=3).map(lambda parts: f"[{','.join(parts)}]"),
    st.lists(_PLAIN, max_size=3).map(lambda parts: f"{{k:[{', '.join(parts)}],l:'x,'}}"),
)


@given(values=st.lists(_VALUE, min_size=1, max_size=5), blank=st.sampled_from(["", " "]))
@settings(deadline=None, max_examples=100)
def test_what_is_joined_by_commas_is_split_again(values: list[str], blank: str) -> None:
    assert split_values(f"{blank},{blank}".join(values)) == [value.strip() for value in values]


@given(text=st.text(st.sampled_from("a1,'\"[](){}\\ =$"), max_size=30))
@settings(deadline=None, max_examples=100)
def test_splitting_takes_away_commas_and_blanks_only(text: str) -> None:
    values = split_values(text)
    assert len(values) <= text.count(",") + 1
    assert ",".join(values).replace(" ", "") == text.replace(" ", "")


def grid_of(line: str) -> Grid:
    return make_grid(line.split())


def test_a_grid_has_every_combination_once_with_the_seed_outermost() -> None:
    grid = grid_of("experiment=demo arch.H_cycles=1,2 seed=0,1 +lr=1e-3,1e-4")
    assert grid.fixed == ("experiment=demo",)
    assert [axis.label for axis in grid.axes] == ["H_cycles", "seed", "lr"]
    assert len(grid.cells) == len({cell.name for cell in grid.cells}) == 8
    assert [cell.values[1] for cell in grid.cells] == ["0"] * 4 + ["1"] * 4
    assert grid.combinations() == [("1", "1e-3"), ("1", "1e-4"), ("2", "1e-3"), ("2", "1e-4")]
    assert grid.cells[1].name == "H_cycles-1_seed-0_lr-1e-4"
    assert grid.cells[1].settings == (
        "experiment=demo",
        "arch.H_cycles=1",
        "seed=0",
        "+lr=1e-4",
    )


def test_one_seed_is_an_axis_and_no_axis_is_one_run() -> None:
    assert [axis.key for axis in grid_of("lr=1e-3 seed=5").axes] == ["seed"]
    grid = grid_of("lr=1e-3")
    assert [cell.name for cell in grid.cells] == ["run"]
    assert grid.combinations() == [()]


def test_labels_and_folders_tell_everything_apart() -> None:
    grid = grid_of("arch.loss.name=act,b arch.name=trm,urm")
    assert [axis.label for axis in grid.axes] == ["arch.loss.name", "arch.name"]
    names = {cell.name for cell in grid_of("data_path=a/b,a-b,'a,b' seed=0").cells}
    assert len(names) == 3
    assert not any("/" in name for name in names)
    names = {cell.name for cell in grid_of("x.a=1_b-2,1 x.b=3,2_b-3").cells}
    assert len(names) == 4
    long = grid_of(f"data_path={'x' * 300},{'x' * 301}").cells
    assert len({cell.name for cell in long}) == 2
    assert max(len(cell.name) for cell in long) < 120


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("seed=0,1 seed=2", "seed is given twice"),
        ("lr=1,2 lr=3", "lr is given twice"),
        ("lr=1,,2", "empty value"),
        ("checkpoint_path=x", "--output-dir"),
        ("+resume=never", "leave it out"),
    ],
)
def test_arguments_that_no_sweep_can_have(line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        grid_of(line)


def test_the_folder_is_that_of_settings_and_axes_not_of_their_values() -> None:
    one = default_folder(grid_of("experiment=demo lr=1e-3,1e-4 seed=0"))
    assert one == default_folder(grid_of("experiment=demo lr=1e-3,1e-4,1e-5 seed=0,1"))
    assert one.parent == Path("sweeps")
    assert one.name.startswith("demo-lr-seed-")
    assert one != default_folder(grid_of("experiment=demo lr=1e-3,1e-4 seed=0 max_steps=5"))
    assert one != default_folder(grid_of("experiment=demo beta1=0.8,0.9 seed=0"))


def test_which_interval() -> None:
    over = {"share": True, "bounded": True}
    found = interval_of([0.5, 0.6, 0.7], 100, **over)
    assert found is not None
    assert found.over == SEEDS
    assert found.high - 0.6 == pytest.approx(4.3027 * 0.1 / math.sqrt(3), abs=1e-4)
    wide = interval_of([0.1, 0.9], 100, **over)
    assert wide is not None
    assert (wide.low, wide.high) == (0.0, 1.0)
    loss = interval_of([0.1, 0.9], 100, share=False, bounded=False)
    assert loss is not None
    assert loss.low < 0 < 1 < loss.high
    for values in ([0.5], [0.5, 0.5, 0.5]):
        alone = interval_of(values, 100, **over)
        assert alone is not None
        assert alone.over == EXAMPLES
        assert interval_of(values, 100, share=False, bounded=True) is None
    assert interval_of([], 100, **over) is None
    assert interval_of([0.5], None, **over) is None


def write_cell(
    run: Path, exact: float | None, *, end: tuple[int, str] | None = (0, "done")
) -> None:
    """A made-up run of 20 steps of 8 samples, 1e9 FLOPs a sample."""
    run.mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, Any]] = []
    for step in (10, 20):
        speed = {"perf/examples_per_second": 4.0, "perf/gflops": 4.0} if step > 10 else {}
        lines.append({"step": step, "train/lm_loss": 1.0, "perf/samples": 8.0 * step, **speed})
        if exact is not None:
            values = {"count": 100.0, "exact_accuracy": exact * step / 20, "lm_loss": 1 / step}
            baseline = {"baseline/copy_input/exact_accuracy": 0.25, "baseline/all_pad/accuracy": 1}
            lines.append(
                {"step": step, **{f"eval/{k}": v for k, v in {**values, **baseline}.items()}}
            )
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    events: list[dict[str, Any]] = [{"time": 1.0, "event": "start", "step": 0}]
    if end is not None:
        events.append(
            {"time": 2.0, "event": "end", "step": 20, "exit_code": end[0], "text": end[1]}
        )
    (run / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in events))
    for step, seconds in ((10, 3.0), (20, 7.0)):
        checkpoint = run / "checkpoints" / f"step-{step:08d}"
        checkpoint.mkdir(parents=True, exist_ok=True)
        (checkpoint / "state.json").write_text(json.dumps({"clock": {"train": seconds}}))


TIME_IS_UP = (75, "time limit max_time reached: stopped after step 20, saved in x.")


def test_what_is_left_to_do(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert state_of(run) == NEW
    run.mkdir()
    (run / "output.txt").write_text("error: no data\n")
    assert state_of(run) == NEW
    write_cell(run, 0.5)
    assert state_of(run) == FINISHED
    for end in (None, (75, "signal SIGTERM: stopped"), (1, "ValueError"), (6, "loss")):
        write_cell(run, 0.5, end=end)
        assert state_of(run) == STARTED
    write_cell(run, 0.5, end=TIME_IS_UP)
    assert state_of(run) == TO_EVALUATE
    (run / "evaluation").mkdir()
    (run / "evaluation" / "results.json").write_text(
        json.dumps({"step": 21, "results": {"exact_accuracy": 0.75, "count": 10.0}})
    )
    assert state_of(run) == FINISHED
    result = read_result(run)
    assert result is not None
    assert (result.step, result.values) == (21, {"exact_accuracy": 0.75, "count": 10.0})
    assert result.samples == pytest.approx(168)  # steps after the last line of metrics count too
    assert result.flops == pytest.approx(168e9)


def test_the_result_of_a_run(tmp_path: Path) -> None:
    write_cell(tmp_path / "run", 0.5)
    result = read_result(tmp_path / "run")
    assert result is not None
    assert (result.step, result.samples, result.seconds) == (20, 160, 7.0)
    assert result.flops == pytest.approx(160e9)  # the rate was not known before step 20
    with open(tmp_path / "run" / "metrics.jsonl", "a") as stream:
        stream.write('{"step": 20, "perf/samples": 160, "perf/flops": 5e9}\n')
    counted = read_result(tmp_path / "run")
    assert counted is not None
    assert counted.flops == 5e9
    assert result.values["exact_accuracy"] == 0.5
    assert result.baseline("exact_accuracy") == result.baseline("raw/exact_accuracy") == 0.25
    assert result.baseline("lm_loss") is None
    curve = read_curve(tmp_path / "run", "exact_accuracy")
    assert (curve.steps.tolist(), curve.values.tolist()) == ([10, 20], [0.25, 0.5])
    write_cell(tmp_path / "blind", None)
    assert read_result(tmp_path / "blind") is None
    assert read_result(tmp_path / "nothing") is None


def test_the_result_of_a_run_at_a_time(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    lines: list[dict[str, Any]] = []
    for step in (10, 20, 30):
        lines.append(
            {"step": step, "perf/samples": 80.0 * step / 10, "perf/examples_per_second": 20.0}
        )
        lines.append({"step": step, "eval/exact_accuracy": step / 100})
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for within, exact in ((4, 0.1), (7.9, 0.1), (8, 0.2), (100, 0.3)):
        result = read_result(run, within)
        assert result is not None
        assert result.values["exact_accuracy"] == exact
    assert read_result(run, 3.9) is None


def results_of(grid: Grid, values: dict[str, float], **more: Any) -> dict[str, Result]:
    """Made-up results by cell name."""
    fields = {"step": 20, "samples": 160.0, "flops": 1e9, "seconds": 5.0, **more}
    return {
        cell.name: Result({"exact_accuracy": values[cell.name], "count": 500.0}, **fields)
        for cell in grid.cells
        if cell.name in values
    }


def test_rows_are_judged_by_their_intervals() -> None:
    grid = grid_of("lr=1,2,3 seed=0,1,2")
    exact = {"1": (0.90, 0.91, 0.92), "2": (0.88, 0.93, 0.89), "3": (0.10, 0.11, 0.12)}
    values = {cell.name: exact[cell.values[0]][int(cell.values[1])] for cell in grid.cells}
    rows = make_rows(grid, results_of(grid, values), "exact_accuracy")
    assert [row.combination for row in rows] == [("1",), ("2",), ("3",)]
    assert [row.verdict for row in rows] == [BEST, OPEN, BELOW]
    assert rows[0].mean == pytest.approx(0.91)
    text = as_text(grid, rows, "exact_accuracy", ["failed: x"])
    assert "| 1  | 3     | 0.9100" in text
    assert "0.9000 to 0.9200" in text
    assert "1 of 3 are not distinguishable from the best" in text
    assert text.endswith("- failed: x\n")
    lowest = make_rows(grid, results_of(grid, values), "lm_loss")
    assert all(row.mean is None and not row.verdict for row in lowest)


def test_what_one_seed_and_missing_ones_allow_to_say() -> None:
    grid = grid_of("lr=1,2 seed=0,1")
    one = {"lr-1_seed-0": 0.5, "lr-2_seed-0": 0.9}
    rows = make_rows(grid, results_of(grid, one), "exact_accuracy")
    assert {row.interval.over for row in rows if row.interval} == {EXAMPLES}
    text = as_text(grid, rows, "exact_accuracy", [])
    assert "1 of 2" in text
    assert "*" in text
    assert "lack seeds" in text
    assert "nothing is known of how much training varies" in text
    same = {cell.name: 0.5 for cell in grid.cells}
    rows = make_rows(grid, results_of(grid, same), "exact_accuracy")
    assert any(line.startswith("no difference is shown") for line in conclusions(rows, "x"))
    results = results_of(grid, one)
    for result in results.values():
        result.values["accuracy"] = result.values["exact_accuracy"]
    rows = make_rows(grid, results, "accuracy")
    assert [row.verdict for row in rows] == [UNKNOWN, BEST]
    assert any("give more seeds" in line for line in conclusions(rows, "accuracy"))


def test_unequal_efforts_are_named() -> None:
    grid = grid_of("lr=1,2 seed=0")
    results = results_of(grid, {"lr-1_seed-0": 0.5})
    results.update(results_of(grid, {"lr-2_seed-0": 0.5}, flops=2e9, seconds=5.1))
    rows = make_rows(grid, results, "exact_accuracy")
    assert "the rows did not get the same compute" in conclusions(rows, "exact_accuracy")


def test_curves_of_seeds_become_one() -> None:
    one = (np.array([0.0, 10.0, 20.0]), np.array([0.0, 1.0, 2.0]))
    other = (np.array([5.0, 20.0, 30.0]), np.array([1.5, 3.0, 9.0]))
    x, mean, low, high = mean_and_range([one, other])
    assert x.tolist() == [5, 10, 20]
    assert mean.tolist() == [1.0, 1.5, 2.5]
    assert low.tolist() == [0.5, 1.0, 2.0]
    assert high.tolist() == [1.5, 2.0, 3.0]


BASE = ("experiment=demo", "max_steps=20", "global_batch_size=8", "data.threads=0")


def test_invalid_cells_are_named_with_their_reason_and_stop_the_sweep(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_online(tmp_path / "data")
    words = [*BASE, f"data_path={data}", "arch.L_cycles=1,2", "arch.grad_cycles=1,2", "seed=0"]
    words += ["--output-dir", str(tmp_path / "sweep")]
    for mode in ([], ["--dry-run"]):
        with pytest.raises(ConfigError, match="1 of 4 runs are invalid") as caught:
            main([*words, *mode])
        assert "L_cycles-1_grad_cycles-2_seed-0: arch.grad_cycles=2" in str(caught.value)
    assert not (tmp_path / "sweep").exists()
    assert main([*words, "--dry-run", "--skip-invalid"]) == 0
    out = capsys.readouterr().out
    assert "skipped, invalid: L_cycles-1_grad_cycles-2_seed-0" in out
    assert out.count("  python -m hrm_scale.train experiment=demo") == 3
    assert "log.wandb=off" in out
    assert not (tmp_path / "sweep").exists()
    nowhere = [*BASE, f"data_path={tmp_path / 'none'}", "seed=0,1", "--dry-run"]
    with pytest.raises(DataError, match="none"):
        main(nowhere)


def test_cells_that_are_one_run_and_folders_of_another_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="are the same run"):
        check(make_grid([*BASE, "lr=0.001,1e-3"]).cells, tmp_path)
    grid = make_grid([*BASE, "lr=1e-3,1e-4"])
    cell = grid.cells[0]
    (tmp_path / cell.name).mkdir()
    config = tmp_path / cell.name / "config.yaml"
    runs, reasons = check(grid.cells, tmp_path)
    assert (set(runs), reasons) == ({one.name for one in grid.cells}, {})
    config.write_text(to_yaml(runs[cell.name]))
    check(grid.cells, tmp_path)
    moved = [*command_of(cell, tmp_path / "elsewhere"), "log.every=3"]
    config.write_text(to_yaml(compose(moved).run))
    check(grid.cells, tmp_path)
    # What a run has decided for itself is no other setting.
    config.write_text(to_yaml(compose([*moved, "arch.forward_dtype=float32"]).run))
    check(grid.cells, tmp_path)
    config.write_text(to_yaml(compose([*moved, "beta1=0.5"]).run))
    with pytest.raises(CheckpointError, match=r"beta1: 0\.5 -> 0\.9"):
        check(grid.cells, tmp_path)


def test_wishes_of_the_user_win_over_the_quiet_defaults(tmp_path: Path) -> None:
    cell = make_grid(["log.wandb=offline"]).cells[0]
    assert command_of(cell, tmp_path) == [
        "log.wandb=offline",
        f"checkpoint_path={tmp_path}/run",
        "log.console=quiet",
    ]


def test_a_report_of_what_is_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*BASE, "arch.H_cycles=1,2,4", "seed=0,1", "--report", "--output-dir", str(tmp_path)]
    assert main(words) == 0
    assert "no run" in capsys.readouterr().out
    for number, cycles in enumerate((1, 2, 4)):
        for seed in (0, 1):
            run = tmp_path / f"H_cycles-{cycles}_seed-{seed}"
            write_cell(
                run, 0.3 * number + 0.01 * seed, end=None if (cycles, seed) == (4, 1) else (0, "")
            )
    assert main(words) == 0
    out = capsys.readouterr().out
    assert (tmp_path / "table.md").read_text().strip() in out
    document = json.loads((tmp_path / "results.json").read_text())
    assert [row["values"] for row in document["rows"]] == [[0.0, 0.01], [0.3, 0.31], [0.6]]
    assert document["runs"][-1]["result"] is None
    assert document["rows"][0]["combination"] == {"H_cycles": "1"}
    pytest.importorskip("matplotlib")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert main([*words, "--metric", "lm_loss"]) == 0
    with pytest.raises(ConfigError, match="in no evaluation"):
        main([*words, "--metric", "raw/accuracy"])
    with pytest.raises(ConfigError, match="is not a metric"):
        main([*words, "--metric", "raw/loss"])
    capsys.readouterr()
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    assert main(words) == 0
    assert "pip install matplotlib" in capsys.readouterr().err


def test_how_a_failure_is_told(tmp_path: Path) -> None:
    output = tmp_path / "output.txt"
    output.write_text("step 1\nerror: loss is NaN\n       more of it\n")
    assert last_line(output) == "loss is NaN"
    output.write_text("Traceback\nValueError: \x1b[31mno\n\n")
    assert last_line(output) == r"ValueError: \x1b[31mno"
    output.write_text("")
    assert last_line(output) == "it wrote nothing"
    cell = make_grid(["lr=1"]).cells[0]
    killed = Failure(cell, -signal.SIGKILL, "step 5")
    assert killed.reason == "killed by SIGKILL (often: out of memory): step 5"
    assert (killed.exit_code, Failure(cell, 6, "").exit_code) == (1, 6)


def test_runs_share_the_cores_and_take_a_gpu_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(sweep_runner, "usable_cores", lambda: 8)
    assert "OMP_NUM_THREADS" not in environment(1, [], 0)
    assert environment(3, [], 0)["OMP_NUM_THREADS"] == "2"
    assert environment(30, [], 0)["OMP_NUM_THREADS"] == "1"
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert environment(3, [], 0)["OMP_NUM_THREADS"] == "5"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 6")
    assert visible_devices() == ["4", "6"]
    assert [environment(3, ["4", "6"], slot)["CUDA_VISIBLE_DEVICES"] for slot in range(3)] == [
        "4",
        "6",
        "4",
    ]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_devices() == []
