"""The DeepSpeed settings of a run: where they come from, what is filled in, what is refused.

Whatever would silently change what is learned (clipping, another optimizer, fp16) or is known to
break (bf16 parameters with stage 0) is an error here, before DeepSpeed sees it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hrm_scale.base.batch_shape import BatchShape
from hrm_scale.base.errors import ConfigError
from hrm_scale.base.untrusted import parse_json, read_bytes

_MAX_BYTES = 1 << 20

Settings = dict[str, Any]
_TRUE = ("1", "true", "yes", "y", "on", "t")


@dataclass(frozen=True)
class Shape:
    """What a run asks of its engine."""

    batch: BatchShape
    bf16_forward: bool
    on_cpu: bool


def requested(
    asked: str, environment: Mapping[str, str] = os.environ
) -> tuple[Settings, str] | None:
    """DeepSpeed settings for ``engine.deepspeed`` as written, and where they come from.

    None when the run does without DeepSpeed. Raises ConfigError for a file that is no JSON object.
    """
    if asked == "off":
        return None
    if asked != "auto":
        return _read(asked, "engine.deepspeed"), asked
    if environment.get("ACCELERATE_USE_DEEPSPEED", "").lower() not in _TRUE:
        return None
    file = environment.get("ACCELERATE_DEEPSPEED_CONFIG_FILE", "none")
    if file.lower() not in ("", "none"):
        return _read(file, "accelerate launch"), file
    return _from_flags(environment), "flags of accelerate launch"


def complete(settings: Settings, source: str, shape: Shape) -> Settings:
    """`settings` checked, with everything filled in that the run decides. Raises ConfigError."""
    settings = json.loads(json.dumps(settings))
    for name in ("zero_optimization", "bf16", "fp16", "data_types", "torch_autocast"):
        _section(settings, name, source)
    zero = settings["zero_optimization"]
    stage = zero.setdefault("stage", 0)
    if isinstance(stage, bool) or stage not in (0, 1, 2, 3):
        raise _refused(source, "zero_optimization.stage", stage, "allowed: 0, 1, 2 or 3")
    _refuse_what_changes_learning(settings, source)
    _fill_batch(settings, source, shape)
    _fill_precision(settings, source, shape)
    _fill_offload(settings, source, shape)
    settings["gradient_clipping"] = 0.0  # left out, DeepSpeed clips at 1.0
    settings["zero_allow_untested_optimizer"] = True
    settings["zero_force_ds_cpu_optimizer"] = False
    settings.setdefault("steps_per_print", 2**31)
    if zero["stage"] == 3 and _is_open(zero.get("stage3_param_persistence_threshold")):
        # Parameters are gathered once a step, all together: none needs to stay behind.
        zero["stage3_param_persistence_threshold"] = 0
    if shape.on_cpu:
        zero["overlap_comm"] = False  # there is no second stream to overlap with
    return settings


def describe(settings: Settings) -> str:
    """`ZeRO stage 2, bf16 parameters, optimizer offload`, for people."""
    zero = settings["zero_optimization"]
    parts = [f"ZeRO stage {zero['stage']}"]
    parts.append("bf16 parameters" if settings["bf16"]["enabled"] else "fp32 parameters")
    for name, word in (("offload_optimizer", "optimizer"), ("offload_param", "parameter")):
        if _device(zero, name) != "none":
            parts.append(f"{word} offload to {_device(zero, name)}")
    return ", ".join(parts)


def _read(file: str, asked_by: str) -> Settings:
    try:
        data = read_bytes(Path(file), _MAX_BYTES, links=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"DeepSpeed file {file} (from {asked_by}) cannot be read: {reason}; give the"
            " path of a DeepSpeed JSON file (a clone has some in ds_configs, an installed package"
            " none), or engine.deepspeed=off"
        ) from None
    try:
        settings = parse_json(data)
    except ValueError as error:
        raise ConfigError(f"DeepSpeed file {file} (from {asked_by}) is not JSON: {error}") from None
    if not isinstance(settings, dict):
        raise ConfigError(f"DeepSpeed file {file} (from {asked_by}) is not a JSON object")
    return settings


def _from_flags(environment: Mapping[str, str]) -> Settings:
    def value(name: str, default: str) -> str:
        return environment.get(f"ACCELERATE_DEEPSPEED_{name}", default)

    stage = value("ZERO_STAGE", "2")
    zero: Settings = {"stage": int(stage) if stage.isdigit() else stage}
    for name in ("optimizer", "param"):
        device = value(f"OFFLOAD_{name.upper()}_DEVICE", "none")
        if device != "none":
            zero[f"offload_{name}"] = {"device": device}
    bf16 = environment.get("ACCELERATE_MIXED_PRECISION", "no") == "bf16"
    return {"zero_optimization": zero, "bf16": {"enabled": bf16}}


def _section(settings: Settings, name: str, source: str) -> None:
    """Make `settings[name]` an object, whose `enabled`, if any, is a switch."""
    if settings.get(name) is None:
        settings[name] = {}
    section = settings[name]
    if not isinstance(section, dict):
        raise _refused(source, name, section, "allowed: an object, {...}")
    if section.get("enabled") not in (None, True, False, "auto"):
        raise _refused(
            source, f"{name}.enabled", section["enabled"], 'allowed: true, false or "auto"'
        )


def _refuse_what_changes_learning(settings: Settings, source: str) -> None:
    if settings.pop("fp16").get("enabled") is True:
        raise _refused(source, "fp16.enabled", True, "allowed: bf16, which needs no loss scale")
    for section in ("optimizer", "scheduler"):
        if section in settings:
            raise _refused(
                source,
                section,
                settings[section],
                "leave it out: the optimizer is AdamATan2, set by lr, beta1, beta2, weight_decay",
            )
    clipping = settings.get("gradient_clipping")
    if not _is_open(clipping) and clipping != 0:
        raise _refused(
            source,
            "gradient_clipping",
            clipping,
            "allowed: 0.0; a run must learn the same with and without DeepSpeed",
        )
    if settings.get("zero_force_ds_cpu_optimizer") is True:
        raise _refused(
            source,
            "zero_force_ds_cpu_optimizer",
            True,
            "allowed: false; true replaces AdamATan2 by Adam",
        )
    if settings.pop("torch_autocast").get("enabled") is True:
        raise _refused(
            source, "torch_autocast.enabled", True, "leave it out: arch.forward_dtype decides"
        )


def _fill_batch(settings: Settings, source: str, shape: Shape) -> None:
    batch = shape.batch
    for key, right, keys in (
        ("train_batch_size", batch.global_batch_size, "global_batch_size"),
        ("gradient_accumulation_steps", batch.accumulation, "engine.accumulation"),
        (
            "train_micro_batch_size_per_gpu",
            batch.rows,
            "global_batch_size / (engine.accumulation x processes)",
        ),
    ):
        if not _is_open(settings.get(key)) and settings[key] != right:
            raise _refused(
                source, key, settings[key], f'the run has {right} ({keys}): write "auto" there'
            )
        settings[key] = right


def _fill_precision(settings: Settings, source: str, shape: Shape) -> None:
    bf16 = settings["bf16"]
    stage = settings["zero_optimization"]["stage"]
    if bf16.get("enabled") == "auto":
        bf16["enabled"] = shape.bf16_forward and stage > 0
    bf16["enabled"] = bf16.get("enabled", False) or False
    if not bf16["enabled"]:
        return
    if stage == 0:
        raise _refused(
            source,
            "bf16.enabled",
            True,
            "with stage 0 it takes an optimizer step before training begins; use stage 1, or false:"
            " the model computes in bf16 by itself (arch.forward_dtype)",
        )
    if not shape.bf16_forward:
        raise _refused(
            source,
            "bf16.enabled",
            True,
            "the run computes in float32 (arch.forward_dtype): write false or auto there",
        )
    # bf16 sums lose small gradients; both default to the parameters' type otherwise.
    types = settings["data_types"]
    for section, key in ((types, "grad_accum_dtype"), (settings, "communication_data_type")):
        if section.get(key, "fp32") != "fp32":
            raise _refused(source, key, section[key], 'allowed: "fp32"')
        section[key] = "fp32"


def _fill_offload(settings: Settings, source: str, shape: Shape) -> None:
    zero = settings["zero_optimization"]
    for name, least in (("offload_optimizer", 1), ("offload_param", 3)):
        if _device(zero, name) == "none":
            zero.pop(name, None)
            continue
        if zero["stage"] < least:
            raise _refused(
                source, f"zero_optimization.{name}", zero[name], f"it needs stage {least} or more"
            )
        if _device(zero, name) != "cpu":
            raise _refused(source, f"zero_optimization.{name}", zero[name], 'allowed: "cpu"')
        if shape.on_cpu:
            zero[name]["pin_memory"] = False  # pinned memory belongs to a GPU


def _device(zero: Settings, name: str) -> str:
    section = zero.get(name) or {}
    return str(section.get("device", "none")) if isinstance(section, dict) else repr(section)


def _is_open(value: object) -> bool:
    """Whether a setting is left for the run to decide."""
    return value is None or value == "auto"


def _refused(source: str, key: str, value: object, why: str) -> ConfigError:
    return ConfigError(f"{source}: {key}={json.dumps(value)} cannot be used; {why}")
