"""Every command of the seed documents parses and dry-runs with only its program's name changed.

The documents' programs are either mapped to ours, or in a list that says why not.
"""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from hrm_scale.base.errors import CheckpointError, ConfigError
from hrm_scale.config.compose import compose
from hrm_scale.config.leaves import leaves
from hrm_scale.models.registry import CORES

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
        text = document.read_text(encoding="utf-8", errors="replace").replace("\\\n", " ")
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


@pytest.mark.parametrize(
    ("preset", "published", "short"),
    [
        ("hrm_v1", "hrm.hrm_act_v1@HierarchicalReasoningModel_ACTV1", "hrm_v1"),
        ("hrm_v2_params_matched", "hrm.hrm_act_v2@HierarchicalReasoningModel_ACTV2", "hrm_v2"),
        ("trm", "recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1", "trm"),
        ("urm", "urm.urm@URM", "urm"),
        ("hrm_v1", "hrm_v1", "hrm_v1"),
    ],
)
def test_published_and_short_names_of_architectures(
    preset: str, published: str, short: str
) -> None:
    names = [f"arch.name={published}", "arch.loss.name=losses@ACTLossHead"]
    run = compose([f"arch={preset}", *names]).run
    assert (run.arch.name, run.arch.loss.name) == (short, "act")


def test_every_architecture_of_a_configuration_can_be_built() -> None:
    for name in ("hrm_v1", "hrm_v2_params_matched", "trm", "trm_mlp", "urm", "hrm_legion"):
        assert compose([f"arch={name}"]).run.arch.name in CORES


# What the documents type after the builders' names, by what they build.
DATA_COMMANDS: list[tuple[str, str]] = [
    ("arc", ""),
    ("arc", "--dataset-dirs dataset/raw-data/ARC-AGI-2/data --output-dir data/arc-2-aug-1000"),
    (
        "arc",
        "--input-file-prefix kaggle/input --output-dir data/arc-aug-1000 "
        "--subsets concept training evaluation --test-set-name evaluation",
    ),
    (
        "arc",
        "--input-file-prefix kaggle/input --output-dir data/arc-aug-600 --num-aug 600 "
        "--subsets concept training evaluation --test-set-name evaluation",
    ),
    ("arc", "--output-dir ../data/arc-aug-500 --num-aug 500 --seed 42"),
    ("sudoku", ""),
    (
        "sudoku",
        "--output-dir data/sudoku-extreme-1k-aug-1000 --subsample-size 1000 --num-aug 1000",
    ),
    ("maze", ""),
]
OURS = {
    "pretrain": "hrm_scale.train",
    "evaluate": "hrm_scale.evaluate",
    "evaluate_trained_model": "hrm_scale.evaluate",
    "build_arc_dataset": "shards.arc",
    "build_sudoku_dataset": "shards.sudoku",
    "build_maze_dataset": "shards.maze",
}
# Programs that have another shape here: what is typed instead, for each.
INSTEAD = {
    "train_arc_full": ("train", ["experiment=arc_legion_16gb"]),
    "train_arc_simple": ("train", ["experiment=demo"]),
    "train_arc_legion": ("train", ["experiment=arc1", "engine.accumulation=8"]),
    "eval_inference_steps": (
        "evaluate",
        ["checkpoint=./run", "halt_max_steps=4", "batch_size=512", "output_dir=eval/steps_4"],
    ),
    "run_augmentation_ablation_eval": (
        "evaluate",
        ["checkpoint=./run", "augmentation_counts=1,2,3,5,10,30,100", "output_dir=eval/votes"],
    ),
}
NOT_COVERED_YET = {
    "distill_tinyvae": "no distillation yet",
    "test_trained_model": "tests the distilled model",
}
NOT_PROGRAMS = {
    "setup": "installs FlashAttention, which is optional here and comes as a wheel",
    "hrm_act_v1": "a file that is mentioned",
    "hrm_act_v2": "a file that is mentioned",
}
# Tools of the shell: installing, looking, moving about.
NOT_OURS = {"cd", "export", "git", "grep", "nvtop", "pip", "pip3", "python3", "sh", "source"}
NOT_OURS |= {"sudo", "tail", "uv", "wandb", "watch", "wget"}


def documents() -> dict[str, str]:
    """Text of each document, continued lines joined."""
    if not SEEDS.is_dir():
        pytest.skip(f"no seed documents at {SEEDS}")
    texts = {}
    for path in sorted(SEEDS.glob("*.txt")):
        text = path.read_text(encoding="utf-8", errors="replace")
        texts[path.name] = re.sub(r"\\\n\s*", " ", text)
    assert len(texts) == 5
    return texts


def test_every_program_of_the_documents_is_accounted_for() -> None:
    named = set()
    for text in documents().values():
        named |= set(re.findall(r"\b(\w+)\.py\b", text))
        named |= set(re.findall(r"python3? -m (?:\w+\.)*(\w+)", text))
        named |= set(re.findall(r"^from (\w+) import \w+_checkpoint", text, re.MULTILINE))
    listed = [*OURS, *INSTEAD, *NOT_COVERED_YET, *NOT_PROGRAMS]
    assert sorted(named) == sorted(listed)


def test_every_line_that_starts_a_tool_is_python_or_a_known_tool() -> None:
    unknown = set()
    for text in documents().values():
        # A line of a shell: a lower-case word, then an option, a path, an assignment or a number.
        for line in text.splitlines():
            words = re.sub(r"^(?:\w+=\S+ )+", "", line.strip()).split()
            shell = len(words) > 1 and re.fullmatch(r"[a-z][\w.-]*", words[0])
            if shell and re.match(r"-|\.\.?/|https?:|[\w.-]+/|[\w.]+=", words[1]):
                unknown |= {words[0]} - NOT_OURS - {"python", "torchrun"}
    assert unknown == set()


def test_the_list_of_data_commands_is_what_the_documents_say() -> None:
    found = set()
    for text in documents().values():
        for kind, rest in re.findall(
            r"python (?:-m )?(?:dataset[./])?build_(\w+)_dataset(?:\.py)?([^\n#`]*)", text
        ):
            found.add((kind, " ".join(rest.split())))
    assert found == set(DATA_COMMANDS)


@pytest.mark.parametrize(("kind", "line"), DATA_COMMANDS)
def test_data_command_parses_to_a_plan(
    kind: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = import_module(f"shards.{kind}.cli")
    requests: list[Any] = []

    def built(request: Any) -> None:
        requests.append(request)
        raise InterruptedError

    monkeypatch.setattr(f"shards.{kind}.build.build", built)
    with pytest.raises(InterruptedError):
        builder.main(shlex.split(line))
    (request,) = requests
    values = {name: getattr(request, name) for name in request.__dataclass_fields__}
    for option, text in re.findall(r"--([\w-]+) ((?:[^-\s]\S*\s*)+)", line):
        value = values[option.replace("-", "_")]
        shown = map(str, value) if isinstance(value, tuple) else [str(value)]
        assert " ".join(shown) == text.strip()


@pytest.fixture(scope="module")
def empty_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nothing")


TRAINING = [line for base, line in COMMANDS if base == "train"]
TRAINING += [" ".join(words) for base, words in INSTEAD.values() if base == "train"]


@pytest.mark.parametrize("line", TRAINING)
def test_training_command_dry_runs(
    line: str,
    empty_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from hrm_scale.train import main

    monkeypatch.chdir(empty_folder)
    assert main([*shlex.split(line), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"length +[\d,]+ steps = [\d,]+ samples", shown)
    assert re.search(r"work +[\d.,]+ GFLOP", shown)
    assert re.search(r"parameters +[\d,]+", shown)
    assert list(empty_folder.iterdir()) == []


def test_dry_run_says_the_length_of_the_documents_command(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from hrm_scale.train import main

    monkeypatch.chdir(empty_folder)
    main(["experiment=sudoku_laptop_16gb", "--dry-run"])
    shown = capsys.readouterr().out
    assert "52,083 steps = 19,999,872 samples" in shown
    assert "36.7 GFLOP" in shown
    assert "7.34e17 FLOP in all" in shown
    assert "27,275,266" in shown
    with pytest.raises(ConfigError, match="data_path=what: there is no data set"):
        main(["data_path=what", "--dry-run"])


@pytest.mark.parametrize(
    ("base", "words"), INSTEAD.values(), ids=[f"instead of {name}" for name in INSTEAD]
)
def test_what_is_typed_instead_composes(base: str, words: list[str]) -> None:
    compose(words, base)  # type: ignore[call-overload]


def test_the_documents_evaluation_from_python_is_understood(tmp_path: Path) -> None:
    from hrm_scale.evaluate import evaluate_checkpoint

    # Everything is read and checked before the checkpoint is looked for.
    with pytest.raises(CheckpointError):
        evaluate_checkpoint(
            checkpoint_path=tmp_path / "step_1",
            data_path="data/arc-aug-1000",
            output_dir="eval_results/steps_4",
            config_overrides={"arch": {"halt_max_steps": 4}, "global_batch_size": 512},
        )


# Forms in which the documents start pretrain.py; `{}` stands for the program and its settings.
LAUNCHES = (
    "--nproc-per-node 8 {}",
    "--nnodes 2 --node_rank 1 --nproc_per_node 8 "
    "--rdzv_backend c10d --rdzv_endpoint node0:29500 {}",
)


@pytest.mark.parametrize("form", LAUNCHES)
@pytest.mark.parametrize("line", ["", "arch.halt_max_steps=16 +arch.act_enabled=false"])
def test_torchrun_takes_our_module_in_the_place_of_the_script(form: str, line: str) -> None:
    from torch.distributed.run import get_args_parser

    words = form.format(f"-m hrm_scale.train {line}").split()
    options = get_args_parser().parse_args(words)
    assert (options.training_script, options.module) == ("hrm_scale.train", True)
    assert options.training_script_args == line.split()


@pytest.mark.parametrize(
    "options",
    [
        "--processes 8",
        "--nodes 2 --node-rank 1 --processes 8 --rendezvous node0:29500",
    ],
)
def test_our_launcher_takes_the_same_commands(
    options: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from hrm_scale.launch.cli import main

    line = "arch.H_cycles=4 arch.L_cycles=4"
    assert main([*options.split(), *line.split(), "--show"]) == 0
    assert "arch.H_cycles = 4" in capsys.readouterr().out


def test_the_documents_launch_in_no_other_form() -> None:
    forms = set()
    for text in documents().values():
        for options in re.findall(r"torchrun\s+(--[^\n]*?)\s[\w<>/]+\.py", text):
            forms |= set(re.findall(r"--[\w-]+", options))
    assert forms == {
        "--nproc-per-node",
        "--nproc_per_node",
        "--nnodes",
        "--node_rank",
        "--rdzv_backend",
        "--rdzv_endpoint",
    }
