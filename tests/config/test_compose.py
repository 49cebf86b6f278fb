"""Grammar of overrides, provenance, derived names, listing, saved files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pydantic
import pytest

from hrm_scale.base.errors import ConfigError
from hrm_scale.config import origins
from hrm_scale.config.compose import compose
from hrm_scale.config.durations import format_duration, parse_duration
from hrm_scale.config.leaves import leaves
from hrm_scale.config.saved import from_dict, read_yaml, to_dict, to_yaml
from hrm_scale.config.schema import ArchConfig, RunConfig
from hrm_scale.config.show import render_show


def test_provenance_names_every_kind_of_source() -> None:
    resolved = compose(["experiment=sudoku_cpu", "lr=2e-3", "+arch.rope_theta=500"])
    source = resolved.provenance
    assert source["lr"] == "command line"
    assert source["arch.rope_theta"] == "command line"
    assert source["arch.hidden_size"] == "experiment sudoku_cpu"
    assert source["arch.grad_cycles"] == "arch trm_mlp"
    assert source["beta1"] == "default (train.yaml)"
    assert source["arch.act_enabled"] == "schema default"
    assert source["checkpoint_path"] == "derived"
    assert set(source) == {key for key, _ in leaves(resolved.run)}
    assert resolved.presets == {"arch": "trm_mlp", "experiment": "sudoku_cpu"}


def test_provenance_of_a_value_taken_from_another_key() -> None:
    resolved = compose(["arch=trm_mlp", "arch.hidden_size=96"])
    assert resolved.provenance["arch.puzzle_emb_ndim"] == "arch trm_mlp: ${.hidden_size}"
    assert resolved.run.arch.puzzle_emb_ndim == resolved.run.arch.hidden_size == 96


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_a_key_may_be_set_with_or_without_plus(sign: str) -> None:
    run = compose([f"{sign}arch.act_enabled=false", f"{sign}run_name=x"]).run
    assert run.arch.act_enabled is False
    assert run.run_name == "x"


def test_delete_goes_back_to_the_schema_and_later_arguments_win() -> None:
    resolved = compose(["experiment=sudoku_cpu", "seed=1", "~lr", "seed=2", "~beta1", "beta1=0.8"])
    assert (resolved.run.lr, resolved.provenance["lr"]) == (1e-4, "schema default")
    assert (resolved.run.seed, resolved.run.beta1) == (2, 0.8)
    assert compose(["log.every=3", "~log"]).run.log.every == 10
    assert compose(["experiment=demo", "~experiment"]).presets == {"arch": "hrm_v1"}
    with pytest.raises(ConfigError, match=r"~lr=3 .* lr is 0.0001"):
        compose(["~lr=3"])


def test_free_text_needs_no_quoting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/h")
    path = "/tmp/a b=c,(d)[1]{2}'\".tar"
    run = compose([f"data_path={path}", "run_name=1_000", "checkpoint_path=~/runs"]).run
    assert (run.data_path, run.run_name, run.checkpoint_path) == (path, "1_000", "/h/runs")
    assert compose(["data_path='in quotes'", "run_name=null"]).run.data_path == "in quotes"
    digits = compose(["checkpoint=x", "puzzle=1234.12341234123_"], "predict").run
    assert digits.puzzle == "1234.12341234123_"


def test_a_section_may_be_given_as_a_mapping() -> None:
    resolved = compose(["engine={accumulation:2,device:cpu}", "engine.accumulation=4"])
    assert (resolved.run.engine.accumulation, resolved.run.engine.device) == (4, "cpu")
    assert resolved.provenance["engine.device"] == "command line"
    assert resolved.provenance["engine.attention"] == "default (train.yaml)"


def test_words_yaml_takes_for_booleans() -> None:
    assert from_dict({"log": {"wandb": False}}, "x").log.wandb == "off"
    assert (
        compose(["log.wandb=off", "engine.compile=false", "data.verify=no"]).run.log.wandb == "off"
    )


def test_configuration_is_frozen_and_changes_no_directory(tmp_path: Path) -> None:
    before = os.getcwd()
    os.chdir(tmp_path)
    try:
        run = compose(["experiment=demo"]).run
        assert os.getcwd() == str(tmp_path)
        assert list(tmp_path.iterdir()) == []
    finally:
        os.chdir(before)
    with pytest.raises(pydantic.ValidationError):
        run.lr = 1.0  # type: ignore[misc]
    with pytest.raises(pydantic.ValidationError):
        run.arch.loss.loss_type = "x"  # type: ignore[misc, assignment]


def test_the_same_command_is_the_same_run_and_another_is_not() -> None:
    def name(*arguments: str) -> str:
        return str(compose(list(arguments)).run.checkpoint_path)

    base = name("lr=1e-3")
    assert base == name("lr=0.001")
    # Longer, faster, elsewhere: the same run goes on.
    assert base == name(
        "lr=1e-3", "epochs=7", "max_time=2h", "engine.accumulation=2", "log.every=1"
    )
    assert base == name("lr=1e-3", "resume=never", "data.threads=0", "data_path=data/arc-aug-1000/")
    others = [["lr=2e-3"], ["lr=1e-3", "seed=1"], ["lr=1e-3", "arch.L_cycles=3"]]
    others += [["lr=1e-3", "global_batch_size=384"], ["lr=1e-3", "data_path=x/arc-aug-1000"]]
    assert len({base, *(name(*other) for other in others)}) == 6
    # Pinned: a release that changes it would leave every unnamed run behind.
    assert base == "checkpoints/arc-aug-1000-hrm_v1/seed0-feeca0d1"
    assert name() == "checkpoints/arc-aug-1000-hrm_v1/seed0-ab872fb4"
    assert name("arch=trm", "seed=3") == "checkpoints/arc-aug-1000-trm/seed3-7ef311d2"


def test_only_what_changes_the_learning_makes_another_run() -> None:
    base = compose([]).run
    sections = ("guards", "early_stopping", "log", "evaluation", "checkpoint")
    others = {
        "guards.non_finite": "skip",
        "early_stopping.metric": "accuracy",
        "log.console": "quiet",
        "log.wandb": "off",
    }
    for key, value in leaves(base):
        if key.split(".")[0] in sections:
            other = others.get(key, not value if isinstance(value, bool) else 7)
            run = compose([f"{key}={other}"]).run
            assert dict(leaves(run))[key] != value
            assert run.checkpoint_path == base.checkpoint_path, key


@pytest.mark.parametrize(
    ("arguments", "former"),
    [
        ("lr=1e-3 guards.stall_minutes=30", "seed0-e911e871"),
        ("lr=1e-3 early_stopping.patience=5", "seed0-444afe3b"),
        ("lr=1e-3 early_stopping.min_delta=0.1", "seed0-4a3d4562"),
    ],
)
def test_a_run_named_by_an_earlier_release_is_found(
    arguments: str, former: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert compose(arguments.split()).run.run_name == "seed0-feeca0d1"
    folder = f"checkpoints/arc-aug-1000-hrm_v1/{former}"
    (tmp_path / folder).mkdir(parents=True)
    run = compose(arguments.split()).run
    assert (run.run_name, run.checkpoint_path) == (former, folder)
    assert compose([*arguments.split(), "run_name=mine"]).run.run_name == "mine"
    elsewhere = compose([*arguments.split(), "checkpoint_path=a/b"]).run
    assert (elsewhere.run_name, elsewhere.checkpoint_path) == ("seed0-feeca0d1", "a/b")


def test_given_names_make_the_path() -> None:
    run = compose(["project_name=My Project", "run_name=a/b"]).run
    assert run.checkpoint_path == "checkpoints/My-Project/a-b"
    assert (run.project_name, run.run_name) == ("My Project", "a/b")
    assert compose(["run_name=.."]).run.checkpoint_path.endswith("/run")


def test_show_lists_every_key_and_can_be_typed_again() -> None:
    resolved = compose(["experiment=sudoku_cpu", "max_time=90m", "run_name=my first run"])
    text = render_show(resolved)
    rows = [line.split("    # ")[0].rstrip() for line in text.splitlines() if " = " in line]
    assert len(rows) == len(resolved.provenance)
    assert "max_time = 1h30m " in text
    again = compose([row.replace(" = ", "=", 1) for row in rows])
    assert again.run == resolved.run


def test_saved_configuration_reads_back_equal(tmp_path: Path) -> None:
    run = compose(["experiment=sudoku_full", "max_time=1h", "data.window=all"]).run
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(run), encoding="utf-8")
    assert read_yaml(file) == run
    assert from_dict(to_dict(run), "x") == run
    file.write_text("lr: 3\nlrr: 1\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_yaml(file)
    assert str(file) in str(caught.value)
    assert "'lr'" in str(caught.value)
    for content in ("[1", "3", "- a"):
        file.write_text(content, encoding="utf-8")
        with pytest.raises(ConfigError):
            read_yaml(file)
    with pytest.raises(ConfigError, match="no configuration"):
        read_yaml(tmp_path / "nothing.yaml")


def test_puzzle_embedding_follows_the_width_without_presets() -> None:
    assert ArchConfig(hidden_size=64, num_heads=2).puzzle_emb_ndim == 64
    assert ArchConfig(puzzle_emb_ndim=0).puzzle_emb_ndim == 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *[("45s", 45), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("1d", 86400), (90, 90)],
        *[("1.5h", 5400), ("90", 90), ("0.5", 0.5), ("1h 5s", 3605)],
    ],
)
def test_durations(text: Any, seconds: float) -> None:
    assert parse_duration(text) == seconds
    assert parse_duration(format_duration(float(seconds))) == seconds


@pytest.mark.parametrize("text", ["", "h", "2x", "-1", "0", "0s", "1m2h", True, "nan", "1e400", -3])
def test_not_durations(text: Any) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


def _presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, experiment: str) -> None:
    """A copy of the presets with one more experiment, called `mine`."""
    import shutil

    shutil.copytree(origins.PRESETS, tmp_path / "presets")
    (tmp_path / "presets" / "experiment" / "mine.yaml").write_text(
        f"# @package _global_\n{experiment}", encoding="utf-8"
    )
    monkeypatch.setattr(origins, "PRESETS", tmp_path / "presets")


def test_an_experiment_may_choose_the_architecture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "defaults:\n  - override /arch: hrm_v2_params_matched\nlr: 1e-3\n"
    _presets(tmp_path, monkeypatch, text)
    resolved = compose(["experiment=mine"])
    assert resolved.presets == {"arch": "hrm_v2_params_matched", "experiment": "mine"}
    assert (resolved.run.arch.H_layers, resolved.run.lr) == (8, 1e-3)
    assert resolved.provenance["arch.H_layers"] == "arch hrm_v2_params_matched"
    assert resolved.provenance["lr"] == "experiment mine"
    assert compose(["experiment=mine", "arch=hrm_v1"]).run.arch.name == "hrm_v1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr: 1e-3\nseed: 1\nlr: 1e-4\n", ["experiment/mine.yaml line 4", "duplicate key", "lr"]),
        ("lr: [1\n", ["experiment/mine.yaml line", "not valid YAML"]),
        (
            "\narch:\n  hidden_sise: 3\nlr: fast\n",
            [
                *["'arch.hidden_sise' (experiment/mine.yaml line 4)", "'arch.hidden_size'"],
                "lr=fast (experiment/mine.yaml line 5) is not a number",
            ],
        ),
        ("data: 3\n", ["data=3 (experiment/mine.yaml line 2) is not a section"]),
        ("lr: ${no.such}\n", ["lr=${no.such} (experiment/mine.yaml line 2) cannot be resolved"]),
    ],
)
def test_mistakes_in_a_preset_name_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: list[str]
) -> None:
    _presets(tmp_path, monkeypatch, text)
    with pytest.raises(ConfigError) as caught:
        compose(["experiment=mine"])
    for part in expected:
        assert part in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_direct_construction_reports_broken_rules() -> None:
    with pytest.raises(pydantic.ValidationError, match="not divisible"):
        RunConfig(arch=ArchConfig(hidden_size=100))


@pytest.mark.parametrize("word", ["device=cuda", "+device=cuda", "engine.device=cuda"])
def test_device_has_one_spelling_for_all_programs(word: str) -> None:
    assert compose([word]).run.engine.device == "cuda"
    assert compose(["checkpoint=x", word], "evaluate").run.engine.device == "cuda"
    assert compose([word, "~device"]).run.engine.device == "auto"
    if not word.startswith("engine"):
        assert compose(["checkpoint=x", "puzzle=1", word], "predict").run.device == "cuda"
        assert compose(["checkpoint=x", word], "play").run.device == "cuda"
