"""Walking over the settings of a configuration, section by section, in the order of the schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def leaves(config: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every setting."""
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """(dotted key, field) of every setting a model has."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def sections(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted name of every section, outer ones first."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield f"{prefix}{name}"
            yield from sections(field.annotation, f"{prefix}{name}.")


def changed(config: BaseModel, prefix: str = "") -> dict[str, Any]:
    """The settings that differ from the schema's defaults."""
    result: dict[str, Any] = {}
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            result.update(changed(value, f"{prefix}{name}."))
        elif value != field.get_default(
            call_default_factory=True, validated_data=dict(config.__dict__)
        ):
            result[f"{prefix}{name}"] = value
    return result


def takes_text(field: FieldInfo) -> bool:
    """Whether a setting is free text: its command-line value is then taken as it stands."""
    options = [field.annotation, *get_args(field.annotation)]
    return any(option is str or get_args(option)[:1] == (str,) for option in options)


def flatten(values: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every leaf of nested mappings; an empty mapping has none."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
