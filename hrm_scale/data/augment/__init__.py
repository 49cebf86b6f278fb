"""Equivalent forms of an example, computed while training."""
