"""Rules between fields, and rules of one field that a range cannot say.

A `Problem` names the keys it is about; `{0}`, `{1}` ... in its text stand for ``key=value (where
it came from)``, filled in by whoever knows the origins. So one rule gives one line, and a rule
whose keys are wrong by themselves can be left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from hrm_scale.base.batch_shape import uneven
from hrm_scale.base.output import MAX_NAME
from hrm_scale.config.identity import path_safe
from hrm_scale.config.suggest import closest_value

if TYPE_CHECKING:
    from hrm_scale.config.schema import ArchConfig, RunConfig
    from hrm_scale.config.schema_inference import EvaluateConfig, PredictConfig

# What an architecture whose reasoning step is one pass can only have.
_ONE_PASS: dict[str, tuple[object, ...]] = {
    "H_cycles": (1,),
    "grad_cycles": (1, "all"),
    "depth_curriculum": ("off",),
}
RESUME_WORDS = ("auto", "never", "must")
# Weights & Biases refuses these in a project's name.
_NOT_IN_PROJECT = re.compile(r"[/\\#?%:\x00-\x1f]")


class Problem(NamedTuple):
    keys: tuple[str, ...]
    text: str


class RuleError(ValueError):
    """Broken rules of one configuration; carries them all."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(item.text.format(*item.keys) for item in problems))
        self.problems = problems


def require(problems: Iterator[Problem]) -> None:
    """Raise RuleError with all problems, if there are any."""
    found = list(problems)
    if found:
        raise RuleError(found)


def train_problems(run: RunConfig) -> Iterator[Problem]:
    """Everything wrong with a training run whose fields are each valid by themselves."""
    yield from _arch_problems(run.arch)
    problem = uneven(run.global_batch_size, run.engine.accumulation, 1, ("{0}", "{1}"))
    if problem is not None:
        yield Problem(("global_batch_size", "engine.accumulation"), problem)
    limits = ("epochs", "max_steps", "max_samples", "max_flops", "max_time")
    if all(getattr(run, name) is None for name in limits):
        yield Problem(
            limits,
            "nothing ends the run: epochs, max_steps, max_samples, max_flops and max_time are all "
            "null; give one of them, such as max_steps=1000 or max_time=2h",
        )
    if run.arch.depth_curriculum != "off" and all(
        getattr(run, name) is None for name in limits[:-1]
    ):
        yield Problem(
            ("arch.depth_curriculum", "max_time"),
            "{0} follows the share of steps done, and only {1} ends this run; give max_steps, "
            "max_samples or epochs too",
        )
    if run.init_from is not None and run.resume not in RESUME_WORDS:
        yield Problem(
            ("init_from", "resume"),
            "{0} starts anew from weights, {1} goes on with a run; give one of them",
        )
    if run.max_samples is not None and run.max_samples < run.global_batch_size:
        yield Problem(
            ("max_samples", "global_batch_size"),
            "{0} is less than one step of {1}; allowed: max_samples of at least "
            f"{run.global_batch_size}",
        )
    if run.resume not in RESUME_WORDS and not re.search(r"[/\\]", run.resume):
        hint = closest_value(_resume_word(run.resume), RESUME_WORDS)
        yield Problem(
            ("resume",),
            "{0} is neither auto, never, must nor the path of a checkpoint (a path has a slash: "
            f"./NAME).{hint}",
        )
    if run.project_name is not None and _NOT_IN_PROJECT.search(run.project_name):
        yield Problem(
            ("project_name",),
            "{0} has a character that a project's name may not have: / \\ # ? % :",
        )
    for name in ("run_name", "project_name"):
        value = getattr(run, name)
        if value is not None and len(path_safe(value).encode()) > MAX_NAME:
            yield Problem(
                (name,), f"{{0}} is too long for a folder; allowed: up to {MAX_NAME} bytes"
            )
    for name in ("run_name", "data_path", "checkpoint_path"):
        value = getattr(run, name)
        if value is not None and (not value.strip() or "\0" in value):
            yield Problem((name,), "{0} is blank; allowed: text")


def evaluate_problems(config: EvaluateConfig) -> Iterator[Problem]:
    """Settings of an evaluation that exclude or need each other."""
    if config.steps is not None:
        if config.halt_max_steps is not None:
            yield Problem(
                ("steps", "halt_max_steps"),
                "{0} and {1} exclude each other: a sweep runs as many steps as its largest number",
            )
        if config.early_exit:
            yield Problem(
                ("steps", "early_exit"),
                "{0} and {1} exclude each other: every puzzle runs all steps of a sweep; leave one "
                "of them out",
            )
    for name in ("trajectories", "failures"):
        if getattr(config, name) is not None and config.early_exit:
            yield Problem(
                (name, "early_exit"), "{0} and {1} exclude each other; leave one of them out"
            )
    if config.trajectories is not None:
        if config.failures is not None:
            yield Problem(
                ("trajectories", "failures"),
                "{0} and {1} exclude each other: make two evaluations",
            )
        if not config.noise and not config.random_start:
            yield Problem(
                ("trajectories", "noise", "random_start"),
                "{0} with {1} and {2} would be the same path many times; allowed: noise above 0, "
                "random_start=true, or both",
            )
    for name in ("failures", "aggregated_voting"):
        if getattr(config, name) and config.output_dir is None:
            yield Problem((name, "output_dir"), "{0} needs a folder; type output_dir=DIR")


def predict_problems(config: PredictConfig) -> Iterator[Problem]:
    """A prediction needs exactly one source of puzzles."""
    if config.puzzle is None and config.file is None:
        yield Problem(
            ("puzzle", "file"), "no puzzle is given; type puzzle=TEXT (row after row) or file=PATH"
        )
    elif config.puzzle is not None and config.file is not None:
        yield Problem(("puzzle", "file"), "{0} and {1} exclude each other; give one of them")


def _arch_problems(arch: ArchConfig) -> Iterator[Problem]:
    keys = ("arch.hidden_size", "arch.num_heads")
    head, rest = divmod(arch.hidden_size, arch.num_heads)
    # The published plain-transformer baseline floors: 12 heads of 42 in a width of 512.
    if head == 0 or (rest and arch.name != "hrm_v2"):
        below = arch.hidden_size - rest
        near = [str(size) for size in (below, below + arch.num_heads) if size > 0]
        yield Problem(
            keys,
            "{0} is not divisible by {1}; allowed: a multiple of num_heads, such as "
            f"arch.hidden_size={' or '.join(near)}",
        )
    elif head % 2 and arch.pos_encodings == "rope":
        yield Problem(
            (*keys, "arch.pos_encodings"),
            f"{{0}} and {{1}} make heads {head} wide, and {{2}} needs an even width; allowed: an "
            "even width, or arch.pos_encodings=learned",
        )

    yield from _width_problems(arch)
    yield from _recursion_problems(arch)
    yield from _position_problems(arch)


def _width_problems(arch: ArchConfig) -> Iterator[Problem]:
    """Widths that follow from others."""
    inner = arch.expansion * arch.hidden_size * 2 / 3
    if not 0.5 < inner < 1 << 24:
        yield Problem(
            ("arch.expansion", "arch.hidden_size"),
            "{0} and {1} make a feed-forward layer of no possible width; allowed: arch.expansion "
            f"from {1 / arch.hidden_size:.2g} to {(1 << 24) / arch.hidden_size:.2g}",
        )


def _recursion_problems(arch: ArchConfig) -> Iterator[Problem]:
    """What is applied how often, and with a gradient or not."""
    if arch.name in ("hrm_v1", "hrm_v2") and arch.H_layers == 0:
        yield Problem(
            ("arch.H_layers", "arch.name"),
            "{0} leaves {1} without a high level; allowed: at least 1, or arch=trm, whose two "
            "levels share the blocks of L_layers",
        )
    if arch.name == "hrm_v2":
        for name, allowed in _ONE_PASS.items():
            if getattr(arch, name) not in allowed:
                yield Problem(
                    (f"arch.{name}", "arch.name"),
                    f"{{0}} has no effect on {{1}}, whose ACT steps are one pass each; allowed: "
                    f"arch.{name}={allowed[0]}",
                )
    elif isinstance(arch.grad_cycles, int) and arch.grad_cycles > arch.L_cycles:
        yield Problem(
            ("arch.grad_cycles", "arch.L_cycles"),
            "{0} asks for a gradient through more low-level steps than the last cycle has, {1}; "
            f"allowed: 1 to {arch.L_cycles}, or all",
        )


def _position_problems(arch: ArchConfig) -> Iterator[Problem]:
    """What is done along the sequence."""
    if arch.mlp_t and arch.pos_encodings == "rope":
        yield Problem(
            ("arch.mlp_t", "arch.pos_encodings"),
            "{1} turns queries and keys, and {0} has none; allowed: arch.pos_encodings=none, or "
            "learned",
        )
    room = arch.puzzle_emb_len * arch.hidden_size
    if arch.puzzle_emb_len and not 0 < arch.puzzle_emb_ndim <= room:
        yield Problem(
            ("arch.puzzle_emb_len", "arch.puzzle_emb_ndim", "arch.hidden_size"),
            f"{{0}} of {{2}} holds 1 to {room} numbers, not {{1}}; allowed: "
            "arch.puzzle_emb_len=0 for as many positions as are needed",
        )


def _resume_word(value: str) -> str:
    return {"false": "never", "no": "never", "true": "must", "yes": "must"}.get(
        value.lower(), value
    )
