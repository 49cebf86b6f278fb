"""What the headers of the recipes say is true: length and work are computed again from their keys,
their build commands parse, and the values are those of the documents."""

from __future__ import annotations

import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from hrm_scale.config.compose import compose
from hrm_scale.config.origins import PRESETS, preset_names
from hrm_scale.config.schema import RunConfig
from hrm_scale.modelling import model_config
from hrm_scale.models.flops import training_flops
from hrm_scale.planning.tasks import task_of
from hrm_scale.training.horizon import plan_horizon

DOCUMENT = Path(__file__).parents[2] / "docs" / "recipes.md"
# The demo has a header of its own kind: a test of the documentation runs it.
RECIPES = [name for name in preset_names("experiment") if name != "demo"]
# Examples an epoch of the sets that our builder makes (docs/arc.md): a puzzle of each task has as
# many as its task. Other tasks are as the planner knows them.
EXAMPLES = {
    "data/arc-aug-1000": 3988,
    "data/arc-aug-500": 3988,
    "data/arc-2-aug-1000": 4667,
    "data/arc-2-concept-aug-1000": 5573,
}


def header(name: str) -> str:
    """The comment of a recipe as one line of text."""
    text = (PRESETS / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")
    lines = [line.lstrip("# ") for line in text.splitlines() if line.startswith("#")]
    return " ".join(" ".join(lines).split())


def length_and_work(run: RunConfig) -> tuple[int, int, int]:
    """(steps, samples, FLOP of an example and step)."""
    task: Any = task_of(run.data_path)
    examples = EXAMPLES.get(run.data_path, task.examples_per_epoch)
    steps = plan_horizon(run, examples).total_steps
    config = model_config(run.arch, task, attention="sdpa", compiled=False)
    return steps, steps * run.global_batch_size, training_flops(config, 1)


def total(name: str) -> float:
    _, samples, flops = length_and_work(compose([f"experiment={name}"]).run)
    return float(samples * flops)


@pytest.mark.parametrize("name", RECIPES)
def test_the_header_has_every_part_and_its_numbers_are_true(name: str) -> None:
    text = header(name)
    for part in ("What:", "Hardware:", "Data:", "Length:", "Work:", "Time:", "Accuracy:"):
        assert f" {part} " in text
    steps, samples, flops = length_and_work(compose([f"experiment={name}"]).run)
    assert f"{steps:,} steps = {samples:,} samples" in text
    assert f"{flops / 1e9:,.1f} GFLOP per example and step" in text
    assert f"{samples * flops:.2e} FLOP in all".replace("e+", "e") in text


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("sudoku_best", "sudoku_extreme_1k"),
        ("maze_best", "maze_30x30_hard"),
        ("arc1_best", "arc1"),
        ("arc2_best", "arc2"),
    ],
)
def test_the_price_of_a_best_recipe_is_stated(name: str, of: str) -> None:
    assert f"{total(name) / total(of):.1f} times {of}" in header(name)
    if name.startswith("arc"):
        hours = total(name) / (0.3 * 989e12) / 3600
        assert f"{hours:,.0f} GPU-hours" in header(name)


def test_other_computed_figures_of_headers() -> None:
    with_prefix = ["arch.puzzle_emb_ndim=512", "arch.puzzle_emb_len=16"]
    _, _, dear = length_and_work(compose(["experiment=sudoku_best", *with_prefix]).run)
    _, _, cheap = length_and_work(compose(["experiment=sudoku_best"]).run)
    assert f"{dear / cheap:.2f} times cheaper" in header("sudoku_best")
    of_trm = compose(["experiment=arc1", "arch=trm", "arch.L_cycles=4"]).run
    _, samples, flops = length_and_work(of_trm)
    assert f"{total('arc1_best') / (samples * flops):.1f} times the work of TRM" in header(
        "arc1_best"
    )
    assert f"{total('sudoku_full') / 7200 / 8 / 1e12:,.0f} TFLOP/s of each" in header("sudoku_full")


@pytest.mark.parametrize("name", [*RECIPES, "demo"])
def test_the_build_command_parses_and_makes_the_folder_that_is_trained_on(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = compose([f"experiment={name}"]).run
    if run.data_build is None:
        assert name == "finetune"
        return
    python, minus_m, module, *arguments = shlex.split(run.data_build)
    assert (python, minus_m) == ("python", "-m")
    requests: list[Any] = []

    def built(request: Any) -> None:
        requests.append(request)
        raise InterruptedError

    monkeypatch.setattr(f"{module}.build.build", built)
    with pytest.raises(InterruptedError):
        import_module(f"{module}.cli").main(arguments)
    assert str(requests[0].output_dir) == run.data_path


def test_laptop_batch_of_the_log() -> None:
    run = compose(["experiment=arc_legion_16gb"]).run
    assert (run.global_batch_size, run.engine.accumulation) == (48, 2)
    arch = run.arch
    assert (arch.hidden_size, arch.num_heads, arch.H_layers, arch.L_layers) == (256, 8, 4, 3)
    assert (arch.halt_max_steps, arch.forward_dtype) == (8, "bfloat16")
    assert (run.optimizer, run.lr, run.weight_decay) == ("adamw", 3e-4, 0.01)
    assert run.max_steps == 10 * 80_998
    # It has a column of its own in the vocabulary and the length, and ours agree with them.
    task = task_of(run.data_path)
    assert (task.seq_len, task.vocab_size) == (900, 12)


def test_finetune_is_gentle_and_keeps_the_chosen_architecture() -> None:
    run = compose(["experiment=finetune", "arch=trm", "init_from=./somewhere"]).run
    assert (run.lr, run.weight_decay, run.lr_warmup_steps) == (1e-5, 0.1, 200)
    assert (run.arch.name, run.arch.halt_exploration_prob) == ("trm", 0.0)
    assert run.init_from == "./somewhere"


def test_best_recipes_are_the_published_settings_of_their_models() -> None:
    sudoku = compose(["experiment=sudoku_best"])
    assert sudoku.presets["arch"] == "trm_mlp"
    assert (sudoku.run.arch.H_cycles, sudoku.run.arch.L_cycles) == (3, 6)
    assert (sudoku.run.epochs, sudoku.run.weight_decay, sudoku.run.lr) == (50_000, 1.0, 1e-4)
    maze = compose(["experiment=maze_best"]).run
    assert (maze.arch.mlp_t, maze.arch.L_cycles, maze.puzzle_emb_lr) == (False, 4, 1e-4)
    for name, optimizer in (("arc1_best", "adam_atan2"), ("arc2_best", "muon")):
        run = compose([f"experiment={name}"]).run
        assert (run.arch.name, run.optimizer, run.epochs) == ("urm", optimizer, 200_000)
        assert (run.lr, run.weight_decay, run.puzzle_emb_lr) == (1e-4, 0.1, 1e-2)
    for name in ("sudoku_best", "maze_best", "arc1_best", "arc2_best"):
        run = compose([f"experiment={name}"]).run
        assert (run.ema, run.ema_rate, run.global_batch_size) == (True, 0.999, 768)
        assert (run.arch.q_continue, run.arch.halt_max_steps) == ("none", 16)
        assert run.checkpoint.keep_best


@pytest.mark.parametrize("name", [*RECIPES, "demo"])
def test_the_document_lists_every_recipe(name: str) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
    if name != "demo":
        steps, samples, flops = length_and_work(compose([f"experiment={name}"]).run)
        assert f"{steps:,}" in row
        assert f"{samples * flops:.2e}".replace("e+", "e") in row
    # The same words as the preset's key, however the line is wrapped.
    command = compose([f"experiment={name}"]).run.data_build
    assert command is None or f"`{command}`" in " ".join(text.split())
