"""`python -m tools.plan` as a user types it, and docs/memory.md beside what it prints."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.planner import CASES, Checked, check, compiled_cases, table
from benchmarks.tiny.data_sets import write_online
from benchmarks.tiny.runs import environment, saved_steps, train_here
from hrm_scale.base.errors import ConfigError
from hrm_scale.config.compose import compose
from hrm_scale.planning import hardware
from hrm_scale.planning.hardware import MACHINES
from tools.plan import main

DOCUMENT = Path(__file__).parents[2] / "docs" / "memory.md"
LAPTOP = "hardware=laptop_16gb"


def plan_of(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    assert main([*words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert isinstance(result, dict)
    return result


@pytest.mark.parametrize(
    ("experiment", "batch"),
    [
        ("sudoku_laptop_16gb", 384),
        ("sudoku_extreme_1k", 768),
        ("maze_30x30_hard", 768),
        ("arc1", 768),
    ],
)
def test_presets_fit_a_laptop_with_their_full_batch(
    experiment: str, batch: int, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_of(capsys, f"experiment={experiment}", LAPTOP)
    assert plan["fits"]
    assert plan["global_batch_size"] == batch
    assert plan["micro_batch_size"] * plan["accumulation"] == batch  # type: ignore[operator]
    memory = {name: figure["value"] for name, figure in plan["memory"].items()}  # type: ignore[attr-defined]
    total, there = memory.pop("sum"), memory.pop("one GPU")
    assert sum(memory.values()) == total <= there == MACHINES["laptop_16gb"].memory
    # The command it prints is one that training takes, with the same batch.
    program, *words = shlex.split(str(plan["command"]))
    assert program == "python"
    run = compose(words[2:]).run
    assert run.global_batch_size == batch
    assert run.engine.accumulation == plan["accumulation"]
    assert run.engine.activation_checkpointing == plan["activation_checkpointing"]


def test_the_report_says_where_each_figure_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment=arc1", "hardware=h100_8x", "--nodes", "2", "--rate", "5000"]) == 0
    text = capsys.readouterr().out
    shown, command = text.split("Type:\n")
    assert max(map(len, shown.splitlines())) <= 100
    assert "engine" not in command
    memory = text.split("Memory of a GPU")[1].split("\n\n")[0].splitlines()[1:]
    marks = ("probe", "computed", "quoted", "given")
    assert all("---" in line or any(mark in line for mark in marks) for line in memory)
    for word in ("DDP", "ZeRO stage 3", "MB", "ms", "5,000 examples/s  given", "--nnodes 2"):
        assert word in text
    assert "22.2 h" in text  # 398,799,360 samples at 5000 a second


def test_a_small_gpu_takes_more_steps_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    small = plan_of(capsys, "experiment=arc1", "--vram", "6")
    large = plan_of(capsys, "experiment=arc1", "--vram", "141")
    assert small["activation_checkpointing"] or small["puzzle_table"] == "host"
    changes = {change["key"]: change["why"] for change in small["changes"]}  # type: ignore[attr-defined]
    assert all(changes.values())
    assert large["changes"] == []


@pytest.mark.parametrize(
    ("words", "assumed", "memory"),
    [
        (["experiment=arc1"], "laptop_16gb;", MACHINES["laptop_16gb"].memory),
        (
            ["experiment=arc1", "--gpus", "8", "--nodes", "4"],
            "h100_8x;",
            MACHINES["h100_8x"].memory,
        ),
        (["experiment=arc1", "--vram", "24"], "speed and links of laptop_16gb;", 24 << 30),
    ],
)
def test_what_was_assumed_comes_first(
    words: list[str], assumed: str, memory: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.split(maxsplit=1)[0] == "assumed"
    assert first.split(maxsplit=1)[1].startswith(assumed)
    plan = plan_of(capsys, *words)
    assert str(plan["assumed_machine"]).startswith(assumed)
    assert plan["memory"]["one GPU"]["value"] == memory  # type: ignore[index]
    assert plan_of(capsys, "experiment=arc1", LAPTOP)["assumed_machine"] is None


CPU_RECIPE = ["experiment=sudoku_cpu", "arch.hidden_size=32"]


@pytest.mark.parametrize(
    ("words", "gpu_here", "machine"),
    [
        (CPU_RECIPE, False, "cpu"),
        (["experiment=sudoku_cpu"], True, "laptop_16gb"),
        ([*CPU_RECIPE, "engine.device=cpu"], True, "cpu"),
        ([*CPU_RECIPE, "hardware=cpu"], True, "cpu"),
        (["experiment=sudoku_cpu", LAPTOP], False, "laptop_16gb"),
        (["experiment=sudoku_best"], False, "laptop_16gb"),
    ],
)
def test_a_small_run_without_a_gpu_is_planned_for_the_cpu(
    words: list[str],
    gpu_here: bool,
    machine: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(hardware, "gpu_here", lambda: gpu_here)
    plan = plan_of(capsys, *words)
    assert plan["machine"] == machine
    speed = plan["run"]["speed"]  # type: ignore[index]
    assert speed["value"] > 0
    assert speed["from"] == ("measured" if machine == "cpu" else "assumed")
    # On a machine with a GPU the printed command must say that it is not wanted.
    assert ("engine.device=cpu" in str(plan["command"])) == (machine == "cpu" and gpu_here)


@pytest.mark.slow
def test_a_process_on_the_cpu_takes_the_memory_that_is_planned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = tmp_path / "sudoku", tmp_path / "run"
    write_online(data, size=9, examples=200)
    words = ["experiment=sudoku_cpu", f"data_path={data}", "max_steps=2", "evaluation.limit=1"]
    plan = plan_of(capsys, *words, "hardware=cpu")
    quiet = ["engine.device=cpu", f"checkpoint_path={run}", "log.wandb=off", "log.console=quiet"]
    # Not ru_maxrss, which counts the process that started this one too.
    code = (
        "import sys; from hrm_scale.train import main; main(sys.argv[1:])\n"
        "lines = dict(line.split(':') for line in open('/proc/self/status'))\n"
        "print(lines['VmHWM'].split()[0])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code, *words, *quiet],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    planned = plan["memory"]["sum"]["value"]  # type: ignore[index]
    # Most starts are within a tenth; malloc gives back less on a busy machine.
    assert planned == pytest.approx(int(shown.split()[-1]) * 1024, rel=0.25)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["arch=hrm_1b", "experiment=arc1", LAPTOP], "nothing fits"),
        (["experiment=arc1", "hardware=toaster"], "hardware=toaster"),
        (["engine.device=cuda", "hardware=cpu"], "exclude each other"),
        (["experiment=arc1", "--vram", "much"], "--vram"),
        (["experiment=arc1", "--rate", "0"], "--rate 0"),
        (["experiment=arc1", "--gpus", "7"], "a multiple of 7"),
        (["experiment=arc1", "engine.deepspeed=./none.json"], "none.json"),
        (["data_path=data/chess"], "known task"),
        (["arch.L_cycle=3"], "Did you mean"),
    ],
)
def test_mistakes_are_one_line(words: list[str], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        main(words)
    assert says in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.exit_code == 2


def test_a_checkpoint_is_as_large_as_planned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = tmp_path / "sudoku", tmp_path / "run"
    write_online(data, examples=40)
    settings = {
        "global_batch_size": 16,
        "arch.hidden_size": 128,
        "arch.puzzle_emb_ndim": 128,
        "arch.num_heads": 2,
        "arch.H_layers": 2,
        "arch.L_layers": 2,
    }
    renamed = {key.replace(".", "__"): value for key, value in settings.items()}
    train_here(data, run, max_steps=1, **renamed)
    words = [f"{key}={value}" for key, value in settings.items()]
    plan = plan_of(capsys, f"data_path={data}", "max_steps=1", *words)
    predicted = plan["run"]["checkpoint"]["value"]  # type: ignore[index]
    (folder,) = (run / "checkpoints").glob(f"*{saved_steps(run)[-1]}")
    size = sum(file.stat().st_size for file in folder.iterdir())
    assert predicted == pytest.approx(size, rel=0.05)


@pytest.mark.slow
def test_predictions_against_real_steps(capsys: pytest.CaptureFixture[str]) -> None:
    results: list[Checked] = [check(case) for case in CASES]
    with capsys.disabled():
        print(f"\n{table(results)}")
    assert len({(r.case.rows, r.case.seq_len, r.case.width) for r in results}) >= 6
    assert max(result.worst for result in results) <= 0.1


@pytest.mark.slow
def test_predictions_of_compiled_blocks_against_real_steps() -> None:
    """One whose activations are computed again; `python -m benchmarks.planner` does all."""
    assert check(compiled_cases()[5], compiled=True).worst <= 0.1


@pytest.mark.parametrize("words", [["--table"], ["experiment=arc1", LAPTOP]])
def test_the_document_shows_what_the_tool_prints(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 0
    assert capsys.readouterr().out.strip() in DOCUMENT.read_text(encoding="utf-8")
