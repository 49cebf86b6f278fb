"""Models in the formats of other programs, read and written (docs/interchange.md)."""
