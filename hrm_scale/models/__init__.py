"""Models: tensors in, tensors out. No files, no environment, no processes."""

from hrm_scale.models.act import ActModel, Carry, Draws, Outputs, refill
from hrm_scale.models.config import ModelConfig
from hrm_scale.models.losses import act_loss
from hrm_scale.models.registry import build_model

__all__ = [
    "ActModel",
    "Carry",
    "Draws",
    "ModelConfig",
    "Outputs",
    "act_loss",
    "build_model",
    "refill",
]
