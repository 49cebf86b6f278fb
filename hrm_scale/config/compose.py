"""From a command line to a validated configuration that knows where each value came from.

Hydra's compose API merges the presets and overrides (never ``@hydra.main``: no output folders, no
change of directory); the schema then validates strictly. Hydra is imported on first use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, Literal, TypeVar, overload

from hrm_scale.base.errors import ConfigError
from hrm_scale.config import origins
from hrm_scale.config.leaves import leaves
from hrm_scale.config.origins import Origin
from hrm_scale.config.overrides import GROUPS, Overrides, parse_overrides
from hrm_scale.config.problems import validate
from hrm_scale.config.schema import RunConfig, Section
from hrm_scale.config.schema_inference import SCHEMAS, EvaluateConfig, PlayConfig, PredictConfig
from hrm_scale.config.values import format_value

Run = TypeVar("Run", bound=Section, covariant=True)
_DERIVED = "derived"


@dataclass(frozen=True)
class Resolved(Generic[Run]):
    """A configuration, and for each dotted key where its value came from."""

    run: Run
    provenance: dict[str, str]
    presets: dict[str, str]
    """The chosen preset of each group: ``{"arch": "hrm_v1", "experiment": "sudoku_cpu"}``."""


@overload
def compose(argv: list[str], base: Literal["train"] = "train") -> Resolved[RunConfig]: ...
@overload
def compose(argv: list[str], base: Literal["evaluate"]) -> Resolved[EvaluateConfig]: ...
@overload
def compose(argv: list[str], base: Literal["predict"]) -> Resolved[PredictConfig]: ...
@overload
def compose(argv: list[str], base: Literal["play"]) -> Resolved[PlayConfig]: ...
def compose(argv: list[str], base: str = "train") -> Resolved[Any]:
    """The configuration that the arguments (without the program's name) ask for.

    Raises ConfigError with one line for each thing that is wrong.
    """
    schema = SCHEMAS[base]
    asked = parse_overrides(argv, schema)
    merged, presets = _merge(base, asked)
    came_from = origins.preset_origins(base, presets)
    came_from.update(dict.fromkeys(asked.settings, origins.COMMAND_LINE))

    def origin(key: str) -> Origin:
        return came_from.get(key, origins.SCHEMA)

    problems = list(asked.problems)
    failed = set(asked.rejected)
    formulas: dict[str, str] = {}
    values = _plain(merged, "", origin, failed, problems, formulas)
    _delete(values, asked.deleted, came_from, problems)
    run, found = validate(schema, values, lambda key: origin(key).where, failed)
    problems += found
    if run is None or problems:
        raise ConfigError(*problems)
    provenance = {}
    for key, value in leaves(run):
        derived = value is not None and _at(values, key, ...) is None
        label = _DERIVED if derived else origin(key).label
        provenance[key] = f"{label}: {formulas[key]}" if key in formulas else label
    return Resolved(run, provenance, presets)


def _merge(base: str, asked: Overrides) -> tuple[Any, dict[str, str]]:
    """Presets and command line merged, interpolations unresolved; and the presets chosen."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    files = sorted(origins.PRESETS.rglob("*.yaml"))
    stamp = tuple((str(file), file.stat().st_mtime_ns) for file in files)
    try:
        # A copy: the cached one must stay as it is.
        merged, presets = deepcopy(_merge_presets(base, tuple(asked.presets.items()), stamp))
        for key, value in asked.settings.items():
            OmegaConf.update(merged, key, value, merge=True, force_add=True)
    except OmegaConfBaseException as error:
        reason = f"cannot compose: {' '.join(str(error).split())}"
        raise ConfigError(*asked.problems, reason) from error
    return merged, presets


@lru_cache(maxsize=32)
def _merge_presets(
    base: str, chosen: tuple[tuple[str, str], ...], stamp: tuple[tuple[str, int], ...]
) -> tuple[Any, dict[str, str]]:
    """What Hydra makes of the preset files. `stamp` is their state, so that an edit is seen."""
    import yaml
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    overrides = [f"{group}={name}" for group, name in chosen]
    try:
        with initialize_config_dir(str(origins.PRESETS), version_base="1.3"):
            merged = hydra_compose(base, overrides, return_hydra_config=True)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        name = mark.name.removeprefix(f"{origins.PRESETS}/") if mark else "a preset"
        place = f"{name} line {mark.line + 1}" if mark else name
        raise ConfigError(f"{place} is not valid YAML: {error.problem}") from error
    except HydraException as error:
        raise ConfigError(f"cannot compose: {' '.join(str(error).split())}") from error
    choices = merged.hydra.runtime.choices
    presets = {group: str(choices[group]) for group in GROUPS if choices.get(group)}
    OmegaConf.set_struct(merged, False)
    del merged["hydra"]
    return merged, presets


def _plain(
    node: Any,
    prefix: str,
    origin: Callable[[str], Origin],
    failed: set[str],
    problems: list[str],
    formulas: dict[str, str],
) -> dict[str, Any]:
    """Nested plain values with interpolations resolved; those that cannot be are reported.

    Fills `failed` (keys), `problems` (lines) and `formulas` (the text of each interpolation).
    """
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    result: dict[str, Any] = {}
    for name in node:
        key = f"{prefix}{name}"
        if "oc.env" in str(written := _raw(node, name)):
            # What is resolved here is written to disk and sent to dashboards.
            failed.add(key)
            problems.append(
                f"{key}={format_value(written)} ({origin(key).where}) reads the environment, where"
                " secrets are: refused; let the shell fill it in"
            )
            continue
        try:
            value = node[name]
            if isinstance(value, DictConfig):
                result[str(name)] = _plain(value, f"{key}.", origin, failed, problems, formulas)
            else:
                is_list = OmegaConf.is_config(value)
                result[str(name)] = (
                    OmegaConf.to_container(value, resolve=True) if is_list else value
                )
            if OmegaConf.is_interpolation(node, name):
                formulas[key] = str(_raw(node, name))
        except (OmegaConfBaseException, RecursionError) as error:
            written = format_value(_raw(node, name))
            reason = (str(error).splitlines() or ["endless"])[0]
            failed.add(key)
            problems.append(f"{key}={written} ({origin(key).where}) cannot be resolved: {reason}")
    return result


def _raw(node: Any, name: Any) -> Any:
    """A value as it is written in the preset, interpolations unresolved."""
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(node, resolve=False)
    return plain[name]


def _delete(
    values: dict[str, Any],
    deleted: Mapping[str, Any],
    came_from: dict[str, Origin],
    problems: list[str],
) -> None:
    """Take out the keys given as ``~key``, so that the schema's defaults apply."""
    for key, expected in deleted.items():
        current = _at(values, key, ...)
        if expected is not ... and current is not ... and current != expected:
            problems.append(
                f"~{key}={format_value(expected)} (command line): {key} is "
                f"{format_value(current)}; type ~{key}"
            )
            continue
        *path, last = key.split(".")
        section: Any = values
        for name in path:
            section = section.get(name, {}) if isinstance(section, dict) else {}
        if isinstance(section, dict):
            section.pop(last, None)
        came_from.pop(key, None)


def _at(values: Mapping[str, Any], key: str, missing: Any) -> Any:
    value: Any = values
    for name in key.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return missing
        value = value[name]
    return value
