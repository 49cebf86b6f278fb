"""hrm_scale: the scalable trainer for the Hierarchical Reasoning Model and its relatives."""

__version__ = "0.1.0"
