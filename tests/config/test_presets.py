"""Presets, descriptions, help text and document say the same as the schema."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hrm_scale.config import keys, origins
from hrm_scale.config.compose import compose
from hrm_scale.config.leaves import fields, leaves, sections
from hrm_scale.config.problems import allowed, choices
from hrm_scale.config.schema import RunConfig
from hrm_scale.config.schema_inference import SCHEMAS
from hrm_scale.config.usage import preset_defaults, preset_lines, usage
from hrm_scale.config.values import format_value

EXPERIMENTS = origins.preset_names("experiment")
DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_composes(name: str) -> None:
    resolved = compose([f"experiment={name}"])
    assert f"experiment {name}" in resolved.provenance.values()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_says_hardware_time_and_accuracy(name: str) -> None:
    text = (origins.PRESETS / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")
    for word in ("Hardware:", "Length:", "Accuracy:"):
        assert word in text
    # A number is either ours, and then says that it was measured, or stands as not measured.
    assert "measured" in text
    first = dict(preset_lines("experiment"))[name]
    assert ";" in first
    assert "%" in first or "measured" in first


def test_expected_experiments_exist() -> None:
    needed = {"sudoku_cpu", "demo", "sudoku_extreme_1k", "sudoku_laptop_16gb", "maze_30x30_hard"}
    assert needed | {"arc1", "arc2", "sudoku_full"} <= set(EXPERIMENTS)
    assert origins.preset_names("arch") == [
        "hrm_110m",
        "hrm_1b",
        "hrm_350m",
        "hrm_legion",
        "hrm_v1",
        "hrm_v2_params_matched",
        "trm",
        "trm_mlp",
        "urm",
    ]


def test_documents_hyper_parameters() -> None:
    run = compose(["experiment=sudoku_laptop_16gb"]).run
    assert (run.global_batch_size, run.lr, run.puzzle_emb_lr) == (384, 7e-5, 7e-5)
    assert (run.epochs, run.eval_interval, run.weight_decay) == (20000, 2000, 1.0)
    full = compose(["experiment=sudoku_full"]).run
    assert (full.global_batch_size, full.epochs, full.lr_min_ratio) == (2304, 100, 0.1)
    assert (full.arch.L_cycles, full.arch.halt_max_steps) == (8, 8)
    arc1 = compose(["experiment=arc1"]).run
    assert arc1.model_copy(update={"data_build": None}) == compose([]).run


@pytest.mark.parametrize("base", list(SCHEMAS))
def test_descriptions_and_schema_have_the_same_keys_in_the_same_order(base: str) -> None:
    described = keys.BASES[base]
    schema = dict(fields(SCHEMAS[base]))
    assert set(described) == set(schema)
    for key, field in schema.items():
        assert field.description == described[key]
    assert {keys.section_of(key) for key in described} <= set(keys.SECTIONS)
    assert set(sections(SCHEMAS[base])) <= set(keys.SECTIONS)


@pytest.mark.parametrize("base", list(SCHEMAS))
def test_descriptions_name_every_choice(base: str) -> None:
    for key, _ in fields(SCHEMAS[base]):
        for word in choices(SCHEMAS[base], key):
            if "@" not in word:  # a published name
                assert word in keys.BASES[base][key], key


def test_preset_files_and_schema_agree_on_the_defaults() -> None:
    from_presets = dict(leaves(compose([]).run))
    from_schema = dict(leaves(RunConfig()))
    assert from_presets == from_schema


def test_defaults_shown_by_help_are_the_composed_ones() -> None:
    shown = preset_defaults("train")
    run = compose([]).run
    values = dict(leaves(run))
    derived = {"project_name", "run_name", "checkpoint_path"}
    named = {"arch.name", "arch.loss.name", "arch.puzzle_emb_ndim"}
    for key, text in shown.items():
        if key not in derived | named:
            value = values[key]
            number = isinstance(value, float) and not isinstance(value, bool)
            assert (float(text) == value) if number else (text == format_value(value)), key
    assert set(values) - set(shown) == {"arch.act_enabled"}


@pytest.mark.parametrize("base", list(SCHEMAS))
def test_usage_lists_every_key_and_preset(base: str) -> None:
    text = usage(f"python -m hrm_scale.{base}", "Does it.", base)
    for key in keys.BASES[base]:
        assert f"\n  {key} " in text
    if base == "train":
        for name in (*EXPERIMENTS, *origins.preset_names("arch")):
            assert f"\n  {name} " in text
    assert max(map(len, text.splitlines())) <= 100


def _loaded(code: str) -> set[str]:
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(' '.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    return set(run.stdout.split())


def test_usage_needs_nothing_heavy_and_nothing_imports_torch() -> None:
    light = _loaded("from hrm_scale.config.usage import usage\nusage('x', 'y', 'train')")
    assert not light & {"torch", "pydantic", "hydra", "omegaconf", "yaml", "numpy"}
    whole = _loaded(
        "import hrm_scale.config, hrm_scale.config.show, hrm_scale.config.saved\n"
        "from hrm_scale.config.compose import compose\ncompose(['experiment=demo'])"
    )
    assert not whole & {"torch", "numpy", "accelerate", "wandb"}


def document_row(base: str, key: str) -> str:
    """The line of docs/configuration.md about one key."""
    schema = SCHEMAS[base]
    field = dict(fields(schema))[key]
    if field.is_required():
        default = "(must be given)"
    elif field.default_factory is not None:
        default = "`arch.hidden_size`"
    else:
        default = f"`{format_value(field.default, key)}`"
    may_be = allowed(schema, key).replace("|", "\\|")
    return f"| `{key}` | {default} | {may_be} | {keys.BASES[base][key]} |"


@pytest.mark.parametrize("base", list(SCHEMAS))
def test_the_document_has_a_row_for_every_key(base: str) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    missing = [row for key in keys.BASES[base] if (row := document_row(base, key)) not in text]
    assert missing == []
    for group in ("experiment", "arch"):
        for name, about in preset_lines(group):
            assert f"| `{name}` | {about} |" in text
    titles = [line for line in text.splitlines() if line.startswith("## ")]
    assert len(titles) == len(set(titles))
