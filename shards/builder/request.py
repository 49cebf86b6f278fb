"""What a builder was asked to do, as its command line says it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Request:
    """Arguments of a builder, checked for sense; names are those of the command line."""

    output_dir: Path
    overwrite: bool = False

    not_recorded: ClassVar[tuple[str, ...]] = ("output_dir", "overwrite")

    def recorded(self) -> dict[str, Any]:
        """What goes into dataset.json: everything that shapes the data, no path of the machine."""
        names = [field.name for field in fields(self) if field.name not in self.not_recorded]
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class SourceRequest(Request):
    """Of a builder that takes boards from the hub, from CSV files or from a generator."""

    source: str = "hf"
    input: Path | None = None
    size: int
    count: int = 1000
    subsample_size: int | None = None
    test_size: int | None = None
    seed: int = 0

    not_recorded = (*Request.not_recorded, "input", "jobs")
    only_generate: ClassVar[tuple[str, ...]] = ("size", "count")

    def recorded(self) -> dict[str, Any]:
        left_out = () if self.source == "generate" else self.only_generate
        return {name: value for name, value in super().recorded().items() if name not in left_out}
