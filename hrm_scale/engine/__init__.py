"""The only package that imports accelerate or deepspeed.

Imports: base, checkpoint, optim.
"""

from hrm_scale.engine.engine import Engine
from hrm_scale.engine.opening import open_engine
from hrm_scale.engine.plain import PlainEngine

__all__ = ["Engine", "PlainEngine", "open_engine"]
