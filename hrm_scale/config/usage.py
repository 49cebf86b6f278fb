"""The text of ``--help``: examples, presets and keys. Imports nothing heavy, so it is instant."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from hrm_scale.base.command_line import PUZZLE_HELP
from hrm_scale.config.keys import BASES, SECTIONS, section_of

_PRESETS = Path(__file__).parent / "presets"
_WIDTH = 100

_EXAMPLES = {
    "train": (
        ("experiment=sudoku_cpu", "a preset"),
        ("experiment=sudoku_laptop_16gb max_time=2h seed=1", "a preset, changed"),
        ("data_path=data/arc-2-aug-1000 global_batch_size=384 lr=7e-5", "single keys"),
        ("arch.H_cycles=1 arch.loss.loss_type=softmax_cross_entropy", "keys in sections"),
        ("experiment=demo --show", "show the settings and where they come from; do nothing"),
        ("experiment=sudoku_best --dry-run", "steps, work and memory of a run; do nothing"),
    ),
    "evaluate": (
        ("checkpoint=checkpoints/PROJECT/RUN", "the newest checkpoint of a run"),
        ("checkpoint=checkpoints/PROJECT/RUN limit=1000 halt_max_steps=32", "a part, longer"),
        ("checkpoint=... early_exit=true", "faster: a puzzle ends when the model is satisfied"),
        ("checkpoint=... steps=1,2,4,8,16,32,64 output_dir=out", "accuracy against ACT steps"),
        ("checkpoint=... trajectories=1,2,4,8 output_dir=out", "several paths for each puzzle"),
        ("checkpoint=... failures=100 output_dir=out", "a page of the puzzles that fail"),
    ),
    "predict": (
        ("checkpoint=checkpoints/PROJECT/RUN puzzle=53..7....6..195...", "one puzzle"),
        ("checkpoint=checkpoints/PROJECT/RUN file=puzzles.txt", "one puzzle a line"),
        ("checkpoint=... puzzle=53..7....6..195... trace=true", "the answer after every step"),
        ("checkpoint=... file=task.json output=answer.json", "an ARC task"),
        ("checkpoint=... file=- output=steps.gif", "from standard input, as an animation"),
    ),
    "play": (
        ("checkpoint=checkpoints/PROJECT/RUN", "type or draw a puzzle, watch the model solve it"),
    ),
}

_SYNTAX = {
    "train": (
        ("KEY=VALUE", "set a key of the list below; +KEY=VALUE means the same"),
        ("~KEY", "forget what a preset sets: back to the schema's default"),
        ("arch=NAME", "choose an architecture preset"),
        ("experiment=NAME", "choose an experiment preset"),
    ),
    "evaluate": (("KEY=VALUE", "set a key of the list below"),),
    "predict": (("KEY=VALUE", "set a key of the list below"),),
    "play": (("KEY=VALUE", "set a key of the list below"),),
}

_DRY_RUN = ("--dry-run", "print what would run, its steps, work and memory, and write nothing")
_OPTIONS = (
    ("--show", "print every setting with where it came from, and do nothing else"),
    ("--help", "print this text"),
)


def usage(program: str, description: str, base: str) -> str:
    """Help for an entry point; `program` is what to type, such as ``python -m hrm_scale.train``."""
    options = (_DRY_RUN, *_OPTIONS) if base == "train" else _OPTIONS
    blocks = [
        f"usage: {program} [KEY=VALUE ...] " + " ".join(f"[{name}]" for name, _ in options),
        textwrap.fill(description, _WIDTH),
        "examples:\n"
        + "\n".join(f"  {program} {line}\n      {about}" for line, about in _EXAMPLES[base]),
        "arguments:\n" + _table([*_SYNTAX[base], *options]),
    ]
    if base == "train":
        blocks.append("experiments (experiment=NAME):\n" + _table(preset_lines("experiment")))
        blocks.append("architectures (arch=NAME):\n" + _table(preset_lines("arch")))
    defaults = preset_defaults(base)
    section = None
    for key, text in BASES[base].items():
        if section_of(key) != section:
            section = section_of(key)
            title = SECTIONS[section] if base == "train" or section else "keys"
            blocks.append(f"{section}: {title}" if section else f"{title}:")
        default = f" [{defaults[key]}]" if key in defaults else ""
        blocks[-1] += "\n" + _table([(key, text + default)])
    blocks.append(PUZZLE_HELP)
    return "\n\n".join(blocks) + "\n"


def preset_lines(group: str) -> list[tuple[str, str]]:
    """(name, first comment line) of each preset of a group."""
    result = []
    for path in sorted((_PRESETS / group).glob("*.yaml")):
        comments = (
            line.lstrip("# ").rstrip()
            for line in path.read_text(encoding="utf-8").splitlines()
            if line.startswith("#") and not line.startswith("# @")
        )
        result.append((path.stem, next(comments, "")))
    return result


def preset_defaults(base: str) -> dict[str, str]:
    """Dotted key to the text of its default, read line by line from the base and its architecture.

    The preset files keep to ``key: value`` lines and two-space indents (a test sees to it).
    """
    result = _scalar_lines(_PRESETS / f"{base}.yaml", "")
    architecture = result.pop("defaults.arch", None)
    if architecture:
        result |= _scalar_lines(_PRESETS / "arch" / f"{architecture}.yaml", "arch.")
    return {key: value for key, value in result.items() if not key.startswith("defaults.")}


def _scalar_lines(path: Path, prefix: str) -> dict[str, str]:
    result: dict[str, str] = {}
    parents: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        match = re.fullmatch(r"( *)(?:- )?(\w+):\s*([^#]*?)\s*(?:#.*)?", line)
        if match is None:
            continue
        indent, name, value = match.groups()
        parents = parents[: len(indent) // 2]
        if value:
            result[prefix + ".".join([*parents, name])] = value.strip("\"'")
        else:
            parents.append(name)
    return result


def _table(rows: list[tuple[str, str]]) -> str:
    column = 34
    lines = []
    for name, text in rows:
        wrapped = textwrap.wrap(text, _WIDTH - column, break_on_hyphens=False) or [""]
        lines.append(f"  {name:<{column - 3}} {wrapped[0]}".rstrip())
        lines += [" " * column + rest for rest in wrapped[1:]]
    return "\n".join(lines)
