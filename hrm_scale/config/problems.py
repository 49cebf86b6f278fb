"""Validation that reports every problem of a configuration at once, one line each.

A line says what is wrong with the value, where it came from, what is allowed, and the nearest
valid spelling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from hrm_scale.config.checks import Problem, RuleError
from hrm_scale.config.leaves import fields, sections
from hrm_scale.config.schema import MOST
from hrm_scale.config.suggest import closest_key, closest_value
from hrm_scale.config.values import format_value

Config = TypeVar("Config", bound=BaseModel)
Where = Callable[[str], str]

_WHAT = {
    "literal_error": "is not one of the choices",
    "missing": "is not given",
    "too_short": "is empty",
    "string_too_short": "is empty",
    "finite_number": "is not a finite number",
    "string_type": "is not text",
    "string_sub_type": "is not text",
}
_RANGE = ("greater_than", "less_than")
_NUMBER = ("int_", "float_", "number_type")


def validate(
    schema: type[Config], values: Mapping[str, Any], where: Where, known_bad: Iterable[str] = ()
) -> tuple[Config | None, list[str]]:
    """The configuration (None when it is not valid) and one line per problem.

    `where` says where the value of a dotted key came from; `known_bad` are keys that were already
    reported, so that rules about them are left out.
    """
    lines: list[str] = []
    bad = set(known_bad)
    try:
        return schema.model_validate(values), lines
    except ValidationError as error:
        details = error.errors(include_url=False)
    names = dict(fields(schema))
    seen: dict[str, Any] = {}
    for detail in details:
        if not detail["loc"]:
            continue
        key = _key_of(detail["loc"], names)
        seen.setdefault(key, []).append(detail)
    for key, found in seen.items():
        if key in bad and found[0]["type"] == "missing":
            continue  # what was typed for it has its line
        lines.append(_line(schema, key, found, where))
    bad |= set(seen)
    rules = details if not seen else _rules_without(schema, values, seen)
    for detail in rules:
        rule = detail.get("ctx", {}).get("error")
        if isinstance(rule, RuleError):
            lines += [
                _rule(item, values, where) for item in rule.problems if not bad & {*item.keys}
            ]
    return None, lines


def unknown_key(schema: type[BaseModel], key: str, where: str) -> str:
    """The line for a key that no configuration of this schema has."""
    keys = [name for name, _ in fields(schema)]
    groups = list(sections(schema))
    presets = ["arch", "experiment"] if "arch" in groups else []
    near = closest_key(key, [*keys, *presets])
    hint = f" Did you mean '{near}'?" if near else ""
    # The keys beside the one that was probably meant; without a guess, beside the one typed.
    section = next((s for s in _sections_around(near or key) if s in groups), "")
    here = [name for name in (*keys, *groups) if name.rpartition(".")[0] == section]
    listed = ", ".join(sorted({name.rpartition(".")[2] for name in here}, key=str.lower))
    place = f"of {section}" if section else "at the top level"
    return f"unknown key '{key}' ({where}).{hint} Keys {place}: {listed}"


def _sections_around(key: str) -> Iterator[str]:
    """The dotted sections a key is in, innermost first."""
    while key := key.rpartition(".")[0]:
        yield key


def allowed(schema: type[BaseModel], key: str) -> str:
    """What a key may be, in words, read from the schema itself."""
    return _in_words(_json_schema(schema, key))


def choices(schema: type[BaseModel], key: str) -> list[str]:
    """The words a key may be; empty when it is not a choice."""
    part = _json_schema(schema, key)
    found: list[str] = list(part.get("also", ()))
    for option in part.get("anyOf", [part]):
        found += [str(word) for word in option.get("enum", [option.get("const")]) if word]
    return found


@cache
def _whole_json_schema(schema: type[BaseModel]) -> Mapping[str, Any]:
    return schema.model_json_schema()


def _json_schema(schema: type[BaseModel], key: str) -> Mapping[str, Any]:
    whole = _whole_json_schema(schema)
    part = whole
    for name in key.split("."):
        part = part["properties"][name]
        if "$ref" in part:
            part = whole["$defs"][part["$ref"].rpartition("/")[2]]
    return part


def _in_words(part: Mapping[str, Any]) -> str:
    if "allowed" in part:
        return str(part["allowed"])
    if "anyOf" in part:
        return _either([_in_words(option) for option in part["anyOf"]])
    if "const" in part or "enum" in part:
        return _either([str(option) for option in part.get("enum", [part.get("const")])])
    kind = part.get("type")
    if kind == "boolean":
        return "true or false"
    if kind == "null":
        return "null"
    if kind in ("integer", "number"):
        what = "an integer" if kind == "integer" else "a number"
        if kind == "integer" and part.get("maximum", MOST) < MOST:
            return f"{what} from {part['minimum']} to {part['maximum']}"
        bounds = [
            f"{words} {format_value(part[name])}"
            for name, words in (
                ("minimum", ">="),
                ("exclusiveMinimum", ">"),
                ("maximum", "<="),
                ("exclusiveMaximum", "<"),
            )
            if name in part and part[name] != MOST
        ]
        return f"{what} {' and '.join(bounds)}".strip()
    return "text"


def _either(options: list[str]) -> str:
    if len(options) == 1:
        return options[0]
    return f"{', '.join(options[:-1])} or {options[-1]}".replace(
        "true or false or", "true, false or"
    )


def _key_of(location: tuple[int | str, ...], names: Mapping[str, Any]) -> str:
    """The dotted key of an error's location, without pydantic's marks for members of a union."""
    parts = [str(part) for part in location]
    for length in range(len(parts), 0, -1):
        if (key := ".".join(parts[:length])) in names:
            return key
    return ".".join(parts)


def _line(schema: type[BaseModel], key: str, found: list[Any], where: Where) -> str:
    detail = found[0]
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return unknown_key(schema, key, where(key))
    if kind == "missing":
        about = dict(fields(schema))[key].description
        return f"{key} is not given; type {key}=VALUE: {about}"
    written = f"{key}={format_value(value, key)} ({where(key)})"
    if key not in dict(fields(schema)):
        inner = ", ".join(
            sorted(name[len(key) + 1 :] for name, _ in fields(schema) if name.startswith(f"{key}."))
        )
        return f"{written} is not a section; set its keys one by one: {key}.KEY=VALUE with {inner}"
    hint = "" if isinstance(value, dict | list) else closest_value(value, choices(schema, key))
    return f"{written} {_what(found)}; allowed: {allowed(schema, key)}.{hint}"


def _what(found: list[Any]) -> str:
    kinds = {detail["type"] for detail in found}
    if any(detail.get("ctx", {}).get("le") == MOST for detail in found):
        return "is larger than any count can be"
    for kind in kinds:
        if kind.startswith(_RANGE):
            return "is out of range"
    if len(kinds) > 1:
        return "is not valid"
    kind = kinds.pop()
    if kind == "value_error":
        return str(found[0]["ctx"]["error"])
    if kind == "int_from_float":
        return "is not a whole number"
    if kind.startswith(_NUMBER):
        return "is not a number"
    if kind.startswith("bool_"):
        return "is neither true nor false"
    return _WHAT.get(kind, "is not valid")


def _rules_without(
    schema: type[BaseModel], values: Mapping[str, Any], bad: Mapping[str, list[Any]]
) -> list[Any]:
    """Broken rules between the fields that are valid: the bad ones are put back to defaults."""
    trial: dict[str, Any] = _copy(values)
    for key, found in bad.items():
        *path, last = key.split(".")
        section: Any = trial
        for name in path:
            section = section.get(name) if isinstance(section, dict) else None
        if isinstance(section, dict):
            section.pop(last, None)
            if found[0]["type"] == "missing" or _is_required(schema, key):
                section[last] = "?"
    try:
        schema.model_validate(trial)
    except ValidationError as error:
        return list(error.errors(include_url=False))
    return []


def _is_required(schema: type[BaseModel], key: str) -> bool:
    field = dict(fields(schema)).get(key)
    return field is not None and field.is_required()


def _copy(values: Mapping[str, Any]) -> dict[str, Any]:
    return {str(k): _copy(v) if isinstance(v, Mapping) else v for k, v in values.items()}


def _rule(problem: Problem, values: Mapping[str, Any], where: Where) -> str:
    rendered = []
    for key in problem.keys:
        value: Any = values
        for name in key.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        rendered.append(f"{key}={format_value(value, key)} ({where(key)})")
    return problem.text.format(*rendered)
