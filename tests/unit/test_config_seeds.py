"""Every command of the seed documents parses with only its program's name changed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from hrm_scale.config.compose import compose
from hrm_scale.config.leaves import leaves
from hrm_scale.errors import ConfigError

SEEDS = Path(__file__).parents[2].parent / "shared" / "seeds"

_SMALL = "epochs=20000 eval_interval=2000"
_WD = "weight_decay=1.0 puzzle_emb_weight_decay=1.0"
# (base, arguments): what the documents type after `pretrain.py` or `evaluate.py`.
COMMANDS: list[tuple[str, str]] = [
    ("train", ""),
    ("train", "data_path=data/arc-2-aug-1000"),
    ("train", "data_path=data/arc-aug-600"),
    (
        "train",
        f"data_path=data/maze-30x30-hard-1k {_SMALL} lr=1e-4 puzzle_emb_lr=1e-4 {_WD}",
    ),
    ("train", "data_path=data/sudoku-extreme-1k-aug-1000 global_batch_size=384 lr=7e-5"),
    (
        "train",
        f"data_path=data/sudoku-extreme-1k-aug-1000 {_SMALL} global_batch_size=384 lr=7e-5 "
        f"puzzle_emb_lr=7e-5 {_WD}",
    ),
    (
        "train",
        f"data_path=data/sudoku-extreme-1k-aug-1000 {_SMALL} lr=1e-4 puzzle_emb_lr=1e-4 {_WD}",
    ),
    (
        "train",
        "data_path=data/sudoku-hard-full epochs=100 eval_interval=10 lr_min_ratio=0.1 "
        "global_batch_size=2304 lr=3e-4 puzzle_emb_lr=3e-4 weight_decay=0.1 "
        "puzzle_emb_weight_decay=0.1 arch.loss.loss_type=softmax_cross_entropy arch.L_cycles=8 "
        "arch.halt_max_steps=8 arch.pos_encodings=learned",
    ),
    ("train", "arch=hrm_v2_params_matched"),
    ("train", "arch.H_cycles=1 arch.L_cycles=1"),
    ("train", "arch.H_cycles=2 arch.L_cycles=2"),
    ("train", "arch.H_cycles=4 arch.L_cycles=4"),
    ("train", "arch.halt_max_steps=16 +arch.act_enabled=false"),
    ("train", "arch.halt_max_steps=1"),
    ("train", "arch.halt_max_steps=4"),
    ("train", "arch.halt_max_steps=16"),
    ("evaluate", "checkpoint=<CHECKPOINT_PATH>"),
]


@pytest.mark.parametrize(("base", "line"), COMMANDS, ids=[line for _, line in COMMANDS])
def test_seed_command_parses_and_every_value_arrives(base: str, line: str) -> None:
    arguments = shlex.split(line.replace("<", r"\<").replace(">", r"\>"))
    resolved = compose(arguments, base)  # type: ignore[call-overload]
    values = dict(leaves(resolved.run))
    for argument in arguments:
        key, _, value = argument.lstrip("+").partition("=")
        if key == "arch":
            assert resolved.presets["arch"] == value
            continue
        assert resolved.provenance[key] == "command line"
        expected = {"true": True, "false": False}.get(value, value)
        assert values[key] == (
            expected if isinstance(expected, bool) else type(values[key])(expected)
        )


def test_the_list_is_what_the_documents_say() -> None:
    if not SEEDS.is_dir():
        pytest.skip(f"no seed documents at {SEEDS}")
    found = set()
    for document in sorted(SEEDS.glob("*.txt")):
        text = document.read_text(encoding="utf-8").replace("\\\n", " ")
        text = re.sub(r"= < (\w+) >", r"=<\1>", text)  # a document that was copied from a page
        for program, rest in re.findall(
            r"(?:python|torchrun)\b[^\n]*?\b(pretrain|evaluate)\.py([^\n#]*)", text
        ):
            line = " ".join(rest.split())
            if line != "[HYDRA_OPTIONS]":
                found.add(("train" if program == "pretrain" else program, line))
    assert len(found) > 10
    assert found == set(COMMANDS)


def test_defaults_are_those_of_the_configuration_document() -> None:
    run = compose([]).run
    assert (run.data_path, run.global_batch_size) == ("data/arc-aug-1000", 768)
    assert (run.epochs, run.eval_interval, run.checkpoint_every_eval) == (100000, 10000, True)
    assert (run.lr, run.lr_min_ratio, run.lr_warmup_steps) == (1e-4, 1.0, 2000)
    assert (run.beta1, run.beta2, run.weight_decay) == (0.9, 0.95, 0.1)
    assert (run.puzzle_emb_lr, run.puzzle_emb_weight_decay) == (1e-2, 0.1)
    arch = run.arch
    assert (arch.halt_exploration_prob, arch.halt_max_steps) == (0.1, 16)
    assert (arch.H_cycles, arch.L_cycles, arch.H_layers, arch.L_layers) == (2, 2, 4, 4)
    assert (arch.hidden_size, arch.num_heads, arch.expansion) == (512, 8, 4.0)
    assert (arch.puzzle_emb_ndim, arch.pos_encodings) == (512, "rope")
    assert (arch.name, arch.loss.name) == ("hrm_v1", "act")
    assert arch.loss.loss_type == "stablemax_cross_entropy"


def test_an_architecture_of_a_later_release_parses_but_is_refused_for_use() -> None:
    run = compose(["arch=hrm_v2_params_matched"]).run
    with pytest.raises(ConfigError, match=r"'?hrm_v2'? is not available .* hrm_v1") as caught:
        run.check_runnable()
    assert "\n" not in str(caught.value)
    compose([]).run.check_runnable()


@pytest.mark.parametrize(
    ("published", "short"),
    [
        ("hrm.hrm_act_v1@HierarchicalReasoningModel_ACTV1", "hrm_v1"),
        ("hrm.hrm_act_v2@HierarchicalReasoningModel_ACTV2", "hrm_v2"),
        ("recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1", "trm"),
        ("hrm_v1", "hrm_v1"),
    ],
)
def test_published_and_short_names_of_architectures(published: str, short: str) -> None:
    run = compose([f"arch.name={published}", "arch.loss.name=losses@ACTLossHead"]).run
    assert (run.arch.name, run.arch.loss.name) == (short, "act")
