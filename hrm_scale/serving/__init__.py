"""Serving a page of the project to a browser on this machine.

Imports: base.
"""
