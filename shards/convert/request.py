"""What a conversion was asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Request:
    """The arguments of `shards.convert`; names are those of the command line.

    ignore_label_id: a label, "none", or None where nothing was said. kind: None likewise.
    """

    source: Path
    output_dir: Path
    compression: str = "none"
    split: dict[str, str] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    charset: str | None = None
    vocab_size: int | None = None
    pad_id: int | None = None
    ignore_label_id: int | str | None = None
    kind: str | None = None
    overwrite: bool = False

    def recorded(self) -> dict[str, Any]:
        """What goes into dataset.json: everything that shapes the data, no path of the machine."""
        names = ("columns", "charset", "vocab_size", "pad_id", "ignore_label_id", "kind")
        given = {name: getattr(self, name) for name in names}
        return {name: value for name, value in given.items() if value not in (None, {})}
