"""The resolved configuration as a file: what a run directory and a checkpoint keep."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from hrm_scale.base.errors import CheckpointError, ConfigError
from hrm_scale.base.redaction import redact_values
from hrm_scale.base.untrusted import read_bytes
from hrm_scale.config.problems import validate
from hrm_scale.config.schema import RunConfig

_MAX_BYTES = 1 << 20


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases: a few lines of them stand for more values than memory has room for."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(
                None, None, "aliases are refused", self.peek_event().start_mark
            )
        return super().compose_node(parent, index)


def to_dict(run: RunConfig) -> dict[str, Any]:
    """Plain nested values (numbers, text, booleans, null), fit for YAML and JSON.

    Credentials in text, as in the address of a data set, are masked: the result is for keeping and
    for comparing with what was kept, not for running.
    """
    return redact_values(run.model_dump(mode="json"))


def to_yaml(run: RunConfig) -> str:
    """Text of ``config.yaml``: every setting, in the order of the schema."""
    return yaml.safe_dump(to_dict(run), sort_keys=False, allow_unicode=True)


def from_dict(values: Mapping[str, Any], source: str) -> RunConfig:
    """Validate saved values; `source` names them in messages. Raises ConfigError."""
    run, problems = validate(RunConfig, values, lambda key: source)
    if run is None:
        raise ConfigError(*problems)
    return run


def from_checkpoint(values: Mapping[str, Any], folder: Path) -> RunConfig:
    """The settings in a checkpoint's ``config.json``. Raises CheckpointError, one line."""
    file = folder / "config.json"
    try:
        return from_dict(values, "config.json")
    except ConfigError as error:
        raise CheckpointError(f"{file} is damaged, or of another release: {error.line}") from None


def read_yaml(path: Path) -> RunConfig:
    """Read a ``config.yaml``. Raises ConfigError when it is missing, no YAML, or not valid."""
    try:
        values = yaml.load(read_bytes(path, _MAX_BYTES, links=True), Loader=_PlainLoader)
    except FileNotFoundError:
        raise ConfigError(f"no configuration at {path}: give the folder of a run") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path} is not valid YAML: {reason}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} does not hold a configuration: expected KEY: VALUE lines")
    return from_dict(values, str(path))
