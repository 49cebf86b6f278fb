"""Architectures by name: our short names and the strings that published configurations use."""

from __future__ import annotations

from hrm_scale.models.act import ActModel
from hrm_scale.models.config import ModelConfig
from hrm_scale.models.hrm import HrmCore

CORES = {"hrm_v1": HrmCore}
ALIASES = {"hrm.hrm_act_v1@HierarchicalReasoningModel_ACTV1": "hrm_v1"}


def build_model(name: str, config: ModelConfig) -> ActModel:
    """A freshly initialised model, fp32, on the current default device.

    Raises ValueError for a name that is neither in `CORES` nor in `ALIASES`.
    """
    core = CORES.get(ALIASES.get(name, name))
    if core is None:
        raise ValueError(f"unknown architecture {name!r}; known: {', '.join((*CORES, *ALIASES))}")
    return ActModel(config, core(config))
