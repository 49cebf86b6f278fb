"""The configuration of an imported network: preset, tensors, its own config, command line, in
rising order of weight, and for each setting where it came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hrm_scale.base.errors import ConfigError
from hrm_scale.base.untrusted import read_bytes
from hrm_scale.config.compose import compose
from hrm_scale.config.leaves import flatten
from hrm_scale.config.overrides import Overrides, parse_overrides
from hrm_scale.config.problems import validate
from hrm_scale.config.saved import to_dict
from hrm_scale.config.schema import ARCHITECTURE_NAMES, RunConfig
from hrm_scale.config.values import format_value
from hrm_scale.data.addresses import is_address
from hrm_scale.interchange.infer import PRESETS, Inferred, Shapes, architecture, infer
from hrm_scale.reporting.banner import Row

ALL_CONFIG = "all_config.yaml"
URM_NAMES = {"L_layers": "num_layers", "halt_max_steps": "loops"}
"""What the published URM calls settings of ours."""
RECIPE = (
    "global_batch_size",
    "epochs",
    "eval_interval",
    "lr",
    "lr_min_ratio",
    "lr_warmup_steps",
    "beta1",
    "beta2",
    "weight_decay",
    "ema",
    "ema_rate",
    "puzzle_emb_lr",
    "puzzle_emb_weight_decay",
    "seed",
)
"""Settings of training that published configurations and ours have in common."""
_MAX_BYTES = 1 << 20
# Without an effect on a network that was only read: not worth a line unless somebody set them.
_QUIET = ("random_init", "noise_scale", "relaxation", "depth_curriculum", "act_enabled")


@dataclass(frozen=True)
class InferredConfig:
    """A valid configuration, the sizes read with it, and the table of what was decided and why."""

    run: RunConfig
    inferred: Inferred
    rows: list[Row]


def read_published_config(path: Path) -> dict[str, Any]:
    """Settings by dotted key out of an `all_config.yaml`: all of `arch`, and the recipe.

    Raises ConfigError when it is missing or no configuration.
    """
    try:
        text = read_bytes(path, _MAX_BYTES, links=True)
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise ValueError("aliases are refused")  # few lines stand for more than memory holds
        content = yaml.safe_load(text)
    except FileNotFoundError:
        raise ConfigError(f"no configuration at {path}: give an {ALL_CONFIG}") from None
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or not isinstance(content.get("arch"), dict):
        raise ConfigError(f"{path} is no configuration of the published code: it has no arch")
    arch = {str(key): value for key, value in content["arch"].items()}
    name = ARCHITECTURE_NAMES.get(str(arch.get("name")), arch.get("name"))
    if name == "hrm_v2":
        arch.pop("H_cycles", None)  # has no effect there, and here only 1 is allowed
    if name == "urm":
        arch = {_ours(key): value for key, value in arch.items()}
    settings = {f"arch.{key}": value for key, value in flatten(arch)}
    settings |= {key: content[key] for key in RECIPE if key in content}
    paths = content.get("data_paths") or [content.get("data_path")]
    # An address inside a file that somebody else may have written is not followed later.
    if isinstance(paths, list) and isinstance(paths[0], str) and not is_address(paths[0]):
        settings["data_path"] = paths[0]
    return settings


def decide(
    shapes: Shapes,
    table_width: int | None,
    asked: Iterable[str],
    *,
    config: Path | None,
    seq_len: int | None,
    where: str,
) -> InferredConfig:
    """The configuration of a network with these tensors.

    asked: KEY=VALUE of the command line, `arch=PRESET` among them. config: an `all_config.yaml`.
    Raises ConfigError and CheckpointError, one line a problem.
    """
    typed = _typed(asked)
    published = read_published_config(config) if config is not None else {}
    name, preset, reason = architecture(shapes, where)
    told = typed.settings.get("arch.name", published.get("arch.name"))
    if told is not None and (told := ARCHITECTURE_NAMES.get(str(told), str(told))) != name:
        preset = PRESETS.get(told, preset)
    preset = typed.presets.get("arch", preset)

    base = dict(flatten(to_dict(compose([f"arch={preset}"]).run)))
    base |= dict.fromkeys(("project_name", "run_name", "checkpoint_path"))
    given = {**published, **typed.settings}
    defaults = {key.removeprefix("arch."): value for key, value in {**base, **given}.items()}
    told_of = {key.removeprefix("arch.") for key in given}
    inferred = infer(shapes, table_width, name, defaults, told_of, seq_len, where)
    inferred.say("name", name, reason)
    read = {f"arch.{key}": value for key, value in inferred.settings.items()}
    why = {f"arch.{key}": text for key, text in inferred.reasons.items()}
    origin = dict.fromkeys(base, f"not in the tensors: preset {preset}")
    origin |= {key: f"tensors: {why[key]}" for key in read}
    origin |= dict.fromkeys(published, config.name if config else "")
    origin |= dict.fromkeys(typed.settings, "command line")
    settings = {**base, **read, **given}
    for key in typed.deleted:
        settings.pop(key, None)
    run, problems = validate(
        RunConfig, _nested(settings), lambda key: origin.get(key, "schema default")
    )
    if run is None:
        raise ConfigError(*problems)
    return InferredConfig(run, inferred, _rows(run, origin))


def relocated(run: RunConfig, **changes: Any) -> RunConfig:
    """The same settings with others at the top level, and the names derived anew."""
    values = to_dict(run) | dict.fromkeys(("project_name", "run_name")) | changes
    new, problems = validate(RunConfig, values, lambda key: "command line")
    if new is None:
        raise ConfigError(*problems)
    return new


def _typed(asked: Iterable[str]) -> Overrides:
    typed = parse_overrides(list(asked), RunConfig)
    if typed.problems:
        raise ConfigError(*typed.problems)
    return typed


def _ours(key: str) -> str:
    return next((ours for ours, theirs in URM_NAMES.items() if theirs == key), key)


def _nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in settings.items():
        *path, last = key.split(".")
        section = values
        for part in path:
            section = section.setdefault(part, {})
        section[last] = value
    return values


def _rows(run: RunConfig, origin: Mapping[str, str]) -> list[Row]:
    rows = []
    for key, value in flatten(to_dict(run)["arch"], "arch."):
        came = origin.get(key, "")
        quiet = key.removeprefix("arch.") in _QUIET and came.startswith("not in")
        if not quiet and key != "arch.no_ACT_continue":
            rows.append((key, format_value(value), came))
    return rows
