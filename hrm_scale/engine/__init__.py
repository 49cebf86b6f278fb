"""The only package that imports accelerate or deepspeed."""

from hrm_scale.engine.engine import Engine

__all__ = ["Engine"]
