"""The resolved configuration as a file: what a run directory and a checkpoint keep."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from hrm_scale.config.problems import validate
from hrm_scale.config.schema import RunConfig
from hrm_scale.config.values import one_line
from hrm_scale.errors import ConfigError


def to_dict(run: RunConfig) -> dict[str, Any]:
    """Plain nested values (numbers, text, booleans, null), fit for YAML and JSON."""
    return run.model_dump(mode="json")


def to_yaml(run: RunConfig) -> str:
    """Text of ``config.yaml``: every setting, in the order of the schema."""
    return yaml.safe_dump(to_dict(run), sort_keys=False, allow_unicode=True)


def from_dict(values: Mapping[str, Any], source: str) -> RunConfig:
    """Validate saved values; `source` names them in messages. Raises ConfigError."""
    run, problems = validate(RunConfig, values, lambda key: source)
    if run is None:
        raise ConfigError("\n".join(one_line(problem) for problem in problems))
    return run


def read_yaml(path: Path) -> RunConfig:
    """Read a ``config.yaml``. Raises ConfigError when it is missing, no YAML, or not valid."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no configuration at {path}: give the folder of a run") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path} is not valid YAML: {reason}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} does not hold a configuration: expected KEY: VALUE lines")
    return from_dict(values, str(path))
