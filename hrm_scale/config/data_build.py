"""The command that builds a run's data set, pointed at the folder that the run reads."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hrm_scale.config.schema import RunConfig

_BUILDER = "python -m shards."
# With its value, quoted as shlex.quote does or not at all.
_OUTPUT = re.compile(r""" --output-dir (?:'[^']*'|"'"|\S)+""")
_MIXTURES = (".yaml", ".yml", ".json")


def build_into(command: str | None, path: str) -> str | None:
    """`command` with `--output-dir PATH` as its last option, whatever its `--output-dir` was.

    None where no command builds into `path`: an address, or the file of a mixture. A command that
    is not one of the project's builders is kept as it is.
    """
    if command is None or "://" in path or path.endswith(_MIXTURES):
        return None
    if not command.startswith(_BUILDER):
        return command
    return f"{_OUTPUT.sub('', command)} --output-dir {shlex.quote(path)}"


def build_hint(run: RunConfig, path: str | None = None) -> str | None:
    """What an error adds when the data set at `path` (null: the run's own) is missing."""
    command = run.data_build if path is None else build_into(run.data_build, path)
    return None if command is None else f"`{command}` builds it"
