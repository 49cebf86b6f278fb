"""Parameter counts and floating-point operations equal the published ones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.step_flops import count_flops
from benchmarks.tiny.models import tiny_config
from hrm_scale.config.compose import compose
from hrm_scale.config.origins import PRESETS
from hrm_scale.modelling import model_config
from hrm_scale.models import ActModel, ModelConfig, build_model
from hrm_scale.models.config import ModelConfig as Config
from hrm_scale.models.flops import (
    head_flops,
    reasoning_flops,
    recomputed_flops,
    training_flops,
)

SMALL: dict[str, Any] = {"vocab_size": 11, "seq_len": 81, "hidden_size": 128, "num_heads": 2}
SMALL |= {"H_layers": 2, "L_layers": 2, "puzzle_emb_ndim": 128}
STANDARD: dict[str, Any] = {"vocab_size": 11, "seq_len": 81, "hidden_size": 512, "num_heads": 8}
STANDARD |= {"H_layers": 4, "L_layers": 4, "puzzle_emb_ndim": 512}
LONG = {**STANDARD, "vocab_size": 12, "seq_len": 900}


def build(settings: dict[str, Any]) -> ActModel:
    with torch.device("meta"):
        return build_model(ModelConfig(**settings, H_cycles=2, L_cycles=2))


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


# Counts and GFLOP a step of the published implementation, measured and worked out from its code.
@pytest.mark.parametrize(
    ("settings", "rows", "gflop", "parameters"),
    [
        pytest.param(SMALL, 64, 95.6, 1_051_650, id="small"),
        pytest.param(STANDARD, 32, 1174.7, 27_275_266, id="27M-81-tokens"),
        pytest.param(LONG, 4, 2024.5, 27_276_290, id="27M-900-tokens"),
    ],
)
def test_size_and_work_are_the_published_models(
    settings: dict[str, Any], rows: int, gflop: float, parameters: int
) -> None:
    model = build(settings)
    assert count(model) == parameters
    # The published step reads an answer out of the bootstrap's reasoning too, and drops it.
    published = training_flops(model.config, rows) + head_flops(model.config, rows)
    assert published / 1e9 == pytest.approx(gflop, abs=0.05)


def build_preset(name: str, tokens: int, vocabulary: int) -> ActModel:
    run = compose([f"arch={name}"]).run
    facts: Any = SimpleNamespace(vocab_size=vocabulary, seq_len=tokens)
    with torch.device("meta"):
        return build_model(model_config(run.arch, facts, attention="sdpa", compiled=False))


TASKS = {"Sudoku": (81, 11), "Maze": (900, 6), "ARC": (900, 12)}


@pytest.mark.parametrize(
    ("name", "parameters", "gflop"),
    [
        ("hrm_v1", (27_275_266, 27_270_146, 27_276_290), (36.7, 506.1, 506.1)),
        ("hrm_110m", (113_264_642, 113_256_962, 113_266_178), (151.4, 1971.7, 1971.8)),
        ("hrm_350m", (359_686_146, 359_675_906, 359_688_194), (478.4, 5976.3, 5976.3)),
        ("hrm_1b", (1_027_653_634, 1_027_633_154, 1_027_657_730), (1357.6, 15944.6, 15944.6)),
    ],
)
def test_presets_have_the_size_and_work_that_they_say(
    name: str, parameters: tuple[int, ...], gflop: tuple[float, ...]
) -> None:
    models = [build_preset(name, *task) for task in TASKS.values()]
    assert tuple(map(count, models)) == parameters
    work = [training_flops(model.config, 1) / 1e9 for model in models]
    assert work == pytest.approx(gflop, abs=0.05)
    config = models[0].config
    assert config.H_layers == config.L_layers
    assert 64 <= config.head_dim <= 128
    if name != "hrm_v1":
        text = (PRESETS / "arch" / f"{name}.yaml").read_text(encoding="utf-8")
        for number, task in zip(parameters, TASKS, strict=True):
            assert f"{number:,} ({task})" in text
        for amount, task in zip(gflop, TASKS, strict=True):
            assert f"{task} {amount:,.1f}" in text


@pytest.mark.parametrize(
    ("name", "parameters", "gflop"),
    [
        ("hrm_v2_params_matched", 27_144_194, 13.7),
        ("trm", 6_828_034, 47.8),
        ("trm_mlp", 5_028_866, 42.7),
        ("urm", 13_662_210, 55.1),
        ("hrm_legion", 5_969_922, 4.1),
    ],
)
def test_relatives_have_the_published_size(name: str, parameters: int, gflop: float) -> None:
    model = build_preset(name, *TASKS["Sudoku"])
    assert count(model) == parameters
    assert training_flops(model.config, 1) / 1e9 == pytest.approx(gflop, abs=0.05)


@pytest.mark.parametrize(
    "name", ["hrm_v1", "hrm_v2_params_matched", "trm", "trm_mlp", "urm", "hrm_legion"]
)
@pytest.mark.parametrize("task", ["Sudoku", "ARC"])
def test_work_by_formula_is_the_work_that_is_counted(name: str, task: str) -> None:
    model = build_preset(name, *TASKS[task]).train()
    counted = count_flops(model, rows=2)
    # Plain attention keeps its scores; the formula is of the kernels that do not.
    formula = training_flops(model.config, 2) - recomputed_flops(model.config, 2)
    assert counted == pytest.approx(formula, rel=0.002)


def test_buffers_are_not_parameters_but_are_saved() -> None:
    model = build(SMALL)
    names = {name for name, _ in model.named_parameters()}
    assert set(model.state_dict()) - names == {"inner.H_init", "inner.L_init"}


def test_learned_positions_cover_prefix_and_sequence() -> None:
    learned = build({**SMALL, "pos_encodings": "learned"})
    assert count(learned) == count(build(SMALL)) + 82 * 128


@pytest.mark.parametrize(
    ("width", "prefix"), [(0, 0), (1, 1), (31, 1), (32, 1), (33, 2), (64, 2), (65, 3)]
)
def test_prefix_has_as_many_positions_as_the_puzzle_embedding_needs(
    width: int, prefix: int
) -> None:
    config = tiny_config(puzzle_emb_ndim=width)
    assert config.prefix_len == prefix
    assert config.total_len == 16 + prefix


@pytest.mark.parametrize(("width", "inner"), [(32, 256), (128, 512), (512, 1536), (384, 1024)])
def test_mlp_width_is_rounded_up_to_256(width: int, inner: int) -> None:
    assert tiny_config(hidden_size=width).mlp_size == inner


def test_work_without_act_is_one_reasoning_step_less() -> None:
    with_act, without = tiny_config(), tiny_config(act_enabled=False)
    one_step = tiny_config(halt_max_steps=1)
    rows = 8
    saved = training_flops(with_act, rows) - training_flops(without, rows)
    assert saved == reasoning_flops(with_act, rows)
    assert training_flops(one_step, rows) == training_flops(without, rows)


def test_work_grows_linearly_with_rows() -> None:
    config: Config = tiny_config()
    assert training_flops(config, 6) == 6 * training_flops(config, 1)
