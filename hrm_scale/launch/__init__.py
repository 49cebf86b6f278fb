"""Training processes started and watched on several nodes.

Imports: base, config, train.
"""
