"""Killed, stopped and moved runs beside undisturbed ones."""
