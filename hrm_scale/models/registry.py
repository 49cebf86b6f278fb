"""Architectures by name."""

from __future__ import annotations

from hrm_scale.models.act import ActModel
from hrm_scale.models.base import RecursiveCore
from hrm_scale.models.config import ModelConfig
from hrm_scale.models.hrm import HrmCore
from hrm_scale.models.transformer import TransformerCore
from hrm_scale.models.trm import TrmCore
from hrm_scale.models.urm import UrmCore

CORES: dict[str, type[RecursiveCore]] = {
    "hrm_v1": HrmCore,
    "hrm_v2": TransformerCore,
    "trm": TrmCore,
    "urm": UrmCore,
}


def build_model(config: ModelConfig) -> ActModel:
    """A freshly initialised model, fp32, on the current default device.

    Raises ValueError when `config.name` is not in `CORES`.
    """
    core = CORES.get(config.name)
    if core is None:
        raise ValueError(f"unknown architecture {config.name!r}; known: {', '.join(CORES)}")
    return ActModel(config, core(config))
