"""The command line: ``key=value``, ``+key=value``, ``++key=value``, ``~key``, ``arch=NAME``.

The grammar of values is Hydra's own. Two things are easier than in Hydra: a key of the schema may
be set with or without ``+`` whether or not a preset lists it, and free text (paths, names, puzzles)
is taken as it stands, so that no character in it needs quoting.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from hrm_scale.base.untrusted import printable
from hrm_scale.config.leaves import fields, flatten, sections, takes_text
from hrm_scale.config.origins import preset_names
from hrm_scale.config.problems import unknown_key
from hrm_scale.config.suggest import closest_key, closest_value

GROUPS = ("arch", "experiment")
# One spelling for all programs: what some keep in a section, all take at the top level.
_SHORT = {"device": "engine.device"}
_ARGUMENT = re.compile(r"(?P<sign>\+\+|\+|~)?(?P<key>[^=]*)(?:=(?P<raw>.*))?", re.DOTALL)


@dataclass
class Overrides:
    """What a command line asks for; `problems` has one line for each argument that is wrong."""

    presets: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    """Dotted key of a setting (never of a section) to its value, interpolations as text."""
    deleted: dict[str, Any] = field(default_factory=dict)
    """Keys to go back to the schema's default, with the value they must have or `...`."""
    problems: list[str] = field(default_factory=list)
    rejected: set[str] = field(default_factory=set)
    """Keys that `problems` are about already."""


class _Reject(Exception):
    """An argument that is wrong; the message is the line to show."""


def parse_overrides(argv: list[str], schema: type[BaseModel]) -> Overrides:
    """Read the arguments in order; a later one wins over an earlier one."""
    names = dict(fields(schema))
    groups = [group for group in GROUPS if "arch" in set(sections(schema))]
    result = Overrides()
    for argument in argv:
        try:
            _read(argument, schema, names, groups, result)
        except _Reject as rejection:
            result.problems.append(printable(rejection))
    return result


def _read(
    argument: str, schema: type[BaseModel], names: dict[str, Any], groups: list[str], out: Overrides
) -> None:
    match = _ARGUMENT.fullmatch(argument)
    if argument.startswith("-") or match is None:
        raise _Reject(_not_an_override(argument, [*names, *groups]))
    sign, key, raw = match["sign"] or "", match["key"], match["raw"]
    key = key.strip()
    if raw is None and sign != "~":
        if (place := _meant_by_path(argument, names)) is not None:
            out.rejected.add(place)
            raise _Reject(
                f"'{argument}' (command line) is not KEY=VALUE. Did you mean '{place}={argument}'?"
            )
        raise _Reject(_not_an_override(argument, [*names, *groups]))
    if key not in names and _SHORT.get(key) in names:
        key = _SHORT[key]
    if not key:
        raise _Reject(_not_an_override(argument, []))
    if key in groups and (sign != "~") and not (raw or "").lstrip().startswith("{"):
        _choose(key, raw or "", out)
    elif sign == "~":
        _delete(argument, key, raw, schema, names, out)
    elif key in names:
        text = takes_text(names[key])
        _set(out, key, _free_text(argument, key, raw or "") if text else _value(argument, key, raw))
    elif key in set(sections(schema)):
        value = _value(argument, key, raw)
        if not isinstance(value, dict):
            inner = ", ".join(name for name in names if name.startswith(f"{key}."))
            raise _Reject(f"'{argument}' (command line): {key} is a section; its keys are {inner}")
        settings = dict(flatten(value, f"{key}."))
        for name in settings:
            if name not in names:
                raise _Reject(unknown_key(schema, name, "command line"))
        for name, inner_value in settings.items():
            _set(out, name, inner_value)
    else:
        raise _Reject(unknown_key(schema, key, "command line"))


def _meant_by_path(argument: str, names: dict[str, Any]) -> str | None:
    """The key that a path alone stands for; None when it is no path."""
    if "/" in argument or os.path.exists(argument):
        return "checkpoint" if "checkpoint" in names else "data_path"
    # The first word that other programs take alone.
    return "checkpoint" if "checkpoint" in names and not closest_key(argument, [*names]) else None


def _set(out: Overrides, key: str, value: Any) -> None:
    out.settings[key] = value
    out.deleted.pop(key, None)


def _choose(group: str, raw: str, out: Overrides) -> None:
    name = raw.strip().strip("'\"")
    if group == "experiment" and name == "null":
        out.presets.pop(group, None)
        return
    known = preset_names(group)
    if name not in known:
        hint = closest_value(name, known)
        raise _Reject(
            f"{group}={raw} (command line) is not a preset.{hint} Allowed: {', '.join(known)}"
        )
    out.presets[group] = name


def _delete(
    argument: str, key: str, raw: str | None, schema: type[BaseModel], names: Any, out: Overrides
) -> None:
    if key == "experiment" and "arch" in set(sections(schema)):
        out.presets.pop(key, None)
        return
    below = [name for name in names if name == key or name.startswith(f"{key}.")]
    if not below:
        raise _Reject(unknown_key(schema, key, "command line"))
    if raw is not None and key not in names:
        raise _Reject(f"'{argument}' (command line): {key} is a section; type ~{key}")
    text = key in names and takes_text(names[key])
    read = _free_text if text else _value
    expected = ... if raw is None else read(argument, key, raw)
    for leaf in below:
        out.settings.pop(leaf, None)
        out.deleted[leaf] = expected


def _value(argument: str, key: str, raw: str | None) -> Any:
    """The value in Hydra's grammar. Raises _Reject when it is not in it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        override = OverridesParser.create().parse_override(f"{key}={raw or ''}")
        if override.is_sweep_override():
            raise _Reject(
                f"'{argument}' (command line) asks for several runs; one command is one run. To "
                f"give a list or text, quote it: {key}=\"'{raw}'\""
            )
        value = override.value()
        OmegaConf.create({"value": value})
    except (HydraException, OmegaConfBaseException, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split(" See https")[0].split("\n")[:1])
        raise _Reject(
            f"'{argument}' (command line) cannot be read: {reason}; quote a value with special "
            f"characters: {key}=\"'VALUE'\""
        ) from error
    return value


def _free_text(argument: str, key: str, raw: str) -> Any:
    """Text as it stands; only quotes around all of it, null and interpolations are Hydra's."""
    text = raw.strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return _value(argument, key, text) if quoted or text == "null" or "${" in text else raw


def _not_an_override(argument: str, keys: list[str]) -> str:
    name, equals, rest = argument.lstrip("-+").partition("=")
    name = name.replace("-", "_")
    near = (
        closest_key(name, keys) if equals or not argument.startswith("-") or name in keys else None
    )
    typed = f" Did you mean '{near}={rest if equals else 'VALUE'}'?" if near else ""
    if argument.startswith("-"):
        return (
            f"unknown option '{argument}' (command line); options are --help, --show and, to "
            f"train, --dry-run; settings are KEY=VALUE without dashes.{typed}"
        )
    return f"'{argument}' (command line) is not KEY=VALUE.{typed}"
