"""Where each value of a composed configuration came from: which preset file, which line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

PRESETS = Path(__file__).parent / "presets"
# The C parser is ten times faster and not everywhere.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Origin:
    label: str
    """For listings: ``experiment sudoku_cpu``."""
    where: str
    """For messages: ``experiment/sudoku_cpu.yaml line 12``."""


COMMAND_LINE = Origin("command line", "command line")
SCHEMA = Origin("schema default", "schema default")


def preset_origins(base: str, choices: Mapping[str, str | None]) -> dict[str, Origin]:
    """Origin of every key that the chosen preset files set, the last file to set it winning.

    `choices` maps a preset group (``arch``, ``experiment``) to the chosen name.
    """
    # The order in which Hydra merges: architecture, the base file itself, experiment.
    files = (
        [(f"arch/{arch}.yaml", f"arch {arch}", "arch.")] if (arch := choices.get("arch")) else []
    )
    files.append((f"{base}.yaml", f"default ({base}.yaml)", ""))
    if experiment := choices.get("experiment"):
        files.append((f"experiment/{experiment}.yaml", f"experiment {experiment}", ""))
    result: dict[str, Origin] = {}
    for file, label, prefix in files:
        for key, line in _lines(PRESETS / file):
            result[prefix + key] = Origin(label, f"{file} line {line}")
    return result


def preset_names(group: str) -> list[str]:
    """Names of the presets of a group, sorted."""
    return sorted(path.stem for path in (PRESETS / group).glob("*.yaml"))


def _lines(path: Path) -> Iterator[tuple[str, int]]:
    node = yaml.compose(path.read_text(encoding="utf-8"), Loader=_LOADER)
    if isinstance(node, yaml.MappingNode):
        for key, line in _walk(node, ""):
            if key != "defaults" and not key.startswith("defaults."):
                yield key, line


def _walk(node: yaml.MappingNode, prefix: str) -> Iterator[tuple[str, int]]:
    for key_node, value_node in node.value:
        key = f"{prefix}{key_node.value}"
        if isinstance(value_node, yaml.MappingNode):
            yield from _walk(value_node, f"{key}.")
        else:
            yield key, key_node.start_mark.line + 1
