"""What a user reads when a command line is wrong."""

from __future__ import annotations

import shlex

import pytest

from hrm_scale.base.errors import ConfigError
from hrm_scale.config.compose import compose
from hrm_scale.config.overrides import parse_overrides
from hrm_scale.config.schema import RunConfig


def problems(line: str, base: str = "train") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        compose(shlex.split(line), base)  # type: ignore[call-overload]
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("arch.L_cycle=8", "arch.L_cycles"),
        ("arch.l_cycles=8", "arch.L_cycles"),
        ("L_cycles=8", "arch.L_cycles"),
        ("arch.loss_type=x", "arch.loss.loss_type"),
        ("arch.loss.los_type=x", "arch.loss.loss_type"),
        ("+arch.act_enable=false", "arch.act_enabled"),
        ("global_batchsize=3", "global_batch_size"),
        ("batch_size=3", "global_batch_size"),
        ("learning_rate=3", "lr"),
        ("gradient_accumulation_steps=3", "engine.accumulation"),
        ("arch.weight_decay=1", "weight_decay"),
        ("data.widnow=all", "data.window"),
        ("experimant=demo", "experiment"),
        ("~weight_decai", "weight_decay"),
        ("engine={accumulatio:2}", "engine.accumulation"),
    ],
)
def test_unknown_key_suggests_the_right_one(typed: str, meant: str) -> None:
    (line,) = parse_overrides(shlex.split(typed), RunConfig).problems
    assert line.startswith("unknown key '")
    assert "(command line)" in line
    assert f"Did you mean '{meant}'?" in line
    assert " Keys " in line


@pytest.mark.parametrize(
    ("typed", "parts"),
    [
        ("experiment=sudoku_cp", ["Did you mean 'sudoku_cpu'?", "maze_30x30_hard", "arc1"]),
        ("arch=hrm_v2", ["Did you mean 'hrm_v2_params_matched'?"]),
        ("arch=", ["not a preset"]),
        ("experiment=[demo,arc1]", ["not a preset"]),
        ("lr=1e-3,1e-4", ["one command is one run"]),
        ("lr=[1", ["cannot be read"]),
        ("lr", ["not KEY=VALUE", "'lr=VALUE'"]),
        ("--lr=3", ["without dashes", "'lr=3'"]),
        ("-m", ["unknown option '-m'"]),
        ("=3", ["not KEY=VALUE"]),
        ("engine=cpu", ["is a section", "engine.device"]),
        ("~data=3", ["is a section"]),
        ("hydra.run.dir=x", ["unknown key 'hydra.run.dir'"]),
        ("'data_path=${'", ["cannot be read"]),
    ],
)
def test_what_is_not_a_setting(typed: str, parts: list[str]) -> None:
    (line,) = parse_overrides(shlex.split(typed), RunConfig).problems
    for part in parts:
        assert part in line


# Wrong values of different keys, each with a part of the line it must give. All values of a list
# are typed in one command: every one must be reported.
WRONG_FIELDS = [
    ("lr=abc", "is not a number; allowed: a number > 0 and <= 1"),
    ("puzzle_emb_lr=2", "is out of range; allowed: a number >= 0 and <= 1"),
    ("weight_decay=nan", "is not a finite number"),
    ("beta1=1", "allowed: a number >= 0 and < 1"),
    ("epochs=1.5", "is not a whole number; allowed: an integer >= 1 or null"),
    ("arch.H_cycles=true", "is not a number"),
    ("lr_warmup_steps=-1", "allowed: an integer >= 0"),
    ("global_batch_size=0", "allowed: an integer from 1 to"),
    ("arch.puzzle_emb_ndim=-1", "allowed: an integer from 0 to"),
    ("max_time=2x", "is not a time; allowed: a time such as 45s"),
    ("data.window=0", "allowed: an integer >= 1 or all"),
    ("checkpoint.every_minutes=0", "allowed: a number > 0 and <= 1000000 or null"),
    ("engine.compile=maybe", "allowed: true, false or auto"),
    ("data.verify=maybe", "is neither true nor false; allowed: true or false"),
    ("data_path=", "is empty; allowed: text"),
    ("arch.loss.loss_type=softmax", "Did you mean 'softmax_cross_entropy'?"),
    ("arch.pos_encodings=ropes", "allowed: rope, learned or none. Did you mean 'rope'?"),
    ("log.console=qiet", "Did you mean 'quiet'?"),
    ("arch.name=hrm_act_v1", "Did you mean 'hrm.hrm_act_v1@"),
    ("seed=99999999999999999999", "is out of range"),
    ("evaluation.limit=???", "cannot be resolved"),
    ("max_steps='${max_steps}'", "cannot be resolved"),
    ("run_name='${oc.env:HOME}'", "reads the environment, where secrets are: refused"),
]
WRONG_TOGETHER = [
    ("max_samples=5", "less than one step of global_batch_size=768 (train.yaml line"),
    ("resume=atuo", "Did you mean 'auto'?"),
    ("project_name=a/b", "a character that a project's name may not have"),
    ("engine.accumulation=5", "or the accumulation a divisor of 768"),
    ("arch.hidden_size=100", "multiple of num_heads, such as arch.hidden_size=96 or 104"),
]
WRONG_OTHERWISE = [
    ("epochs=null", "nothing ends the run"),
    ("resume=false", "Did you mean 'never'?"),
    ("arch.hidden_size=8", "even width, or arch.pos_encodings=learned"),
]


@pytest.mark.parametrize("wrong", [WRONG_FIELDS, WRONG_TOGETHER, WRONG_OTHERWISE])
def test_wrong_values(wrong: list[tuple[str, str]]) -> None:
    lines = problems(" ".join(typed for typed, _ in wrong))
    for typed, expected in wrong:
        key = typed.partition("=")[0]
        own = [line for line in lines if line.startswith(f"{key}=")]
        (line,) = own or [line for line in lines if expected in line]
        assert expected in line
        assert "(command line)" in line or typed == "epochs=null"
    assert len(lines) == len(wrong)


def test_floor_of_heads_is_allowed_for_the_baseline_only() -> None:
    assert compose(["arch=hrm_v2_params_matched"]).run.arch.num_heads == 12
    assert "not divisible" in problems("arch.num_heads=12")[0]
    assert "not divisible" in problems("arch=hrm_v2_params_matched arch.num_heads=1000")[0]


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("arch=trm arch.mlp_t=true", ("arch.mlp_t=true", "pos_encodings=none, or learned")),
        ("arch.grad_cycles=3", ("grad_cycles=3", "arch.L_cycles=2", "1 to 2, or all")),
        ("arch=hrm_v2_params_matched arch.H_cycles=2", ("no effect", "arch.H_cycles=1")),
        ("arch=hrm_v2_params_matched arch.grad_cycles=2", ("no effect", "arch.grad_cycles=1")),
        ("arch=hrm_v2_params_matched arch.depth_curriculum=cgar", ("depth_curriculum=off",)),
        ("arch.H_layers=0", ("without a high level", "arch=trm")),
        ("arch=trm arch.puzzle_emb_ndim=0", ("puzzle_emb_len=16", "puzzle_emb_len=0")),
        ("arch=trm arch.puzzle_emb_ndim=9000", ("1 to 8192 numbers",)),
        (
            "arch.depth_curriculum=cgar epochs=null max_time=1h",
            ("share of steps done", "max_steps, max_samples or epochs"),
        ),
        ("init_from=./a resume=./b", ("init_from=./a", "resume=./b", "one of them")),
    ],
)
def test_switches_that_do_not_go_together_say_why(line: str, parts: tuple[str, ...]) -> None:
    (problem,) = problems(line)
    for part in parts:
        assert part in problem


@pytest.mark.parametrize("arch", ["hrm_v1", "trm", "urm"])
def test_the_published_spelling_of_q_continue_is_the_same_run(arch: str) -> None:
    for published, ours in (("true", "none"), ("false", "bootstrap")):
        one = compose([f"arch={arch}", f"+arch.no_ACT_continue={published}"]).run
        assert one == compose([f"arch={arch}", f"arch.q_continue={ours}"]).run


def test_all_problems_at_once_one_line_each() -> None:
    lines = problems(
        "experiment=sudoku_cpu arch.L_cycle=3 lr=abc global_batch_sze=3 --seed=1 max_time=2x "
        "engine.accumulation=7 arch.num_heads=7 log.wandb=on resume=atuo data.window=0"
    )
    for part in ("arch.L_cycle'", "lr=abc", "global_batch_sze", "--seed=1", "max_time=2x"):
        assert sum(part in line for line in lines) == 1
    for part in ("engine.accumulation=7", "arch.num_heads=7", "log.wandb=on", "resume=atuo"):
        assert sum(part in line for line in lines) == 1
    assert sum("data.window=0" in line for line in lines) == 1
    assert len(lines) == 10
    heads = next(line for line in lines if "num_heads=7" in line)
    assert "arch.hidden_size=96 (experiment/sudoku_cpu.yaml line " in heads


def test_a_rule_about_a_wrong_value_is_not_reported_twice() -> None:
    assert len(problems("global_batch_size=x engine.accumulation=7")) == 1
    lines = problems("arch.hidden_size='${.no}' lr=3 arch.num_heads=7")
    assert any(line.startswith("lr=3 ") for line in lines)
    assert not any("divisible" in line for line in lines)


def test_evaluate_and_predict_are_as_strict() -> None:
    assert problems("", "evaluate")[0].startswith("checkpoint is not given")
    lines = problems("chekpoint=x seed=-1", "evaluate")
    assert len(lines) == 3
    assert "Did you mean 'checkpoint'?" in lines[0]
    assert (
        "Did you mean 'halt_max_steps'"
        in problems("checkpoint=x arch.halt_max_steps=3", "evaluate")[0]
    )
    assert (
        "Did you mean 'batch_size'" in problems("checkpoint=x global_batch_size=3", "evaluate")[0]
    )
    assert len(problems("", "predict")) == 2
    assert "exclude each other" in problems("checkpoint=x puzzle=1 file=y", "predict")[0]
    assert "Did you mean 'always'?" in problems("checkpoint=x puzzle=1 color=allways", "predict")[0]
    assert (
        "unknown key 'experiment'"
        in problems("checkpoint=x puzzle=1 experiment=demo", "predict")[0]
    )
    run = compose(["checkpoint=c", "limit=5", "dtype=float32", "engine.device=cpu"], "evaluate").run
    assert (run.checkpoint, run.limit, run.split, run.engine.device) == ("c", 5, "test", "cpu")
