"""Tiny models, data sets and training runs that parity, reliability and tests share."""
