"""What a conversion was asked to do, and foreign examples to do it with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..builder.csv_rows import file_sha256
from ..builder.request import Request as BuilderRequest

Piece = dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Request(BuilderRequest):
    """ignore_label_id: a label, "none", or None where nothing was said. kind: None likewise."""

    source: Path
    compression: str = "none"
    split: dict[str, str] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    charset: str | None = None
    vocab_size: int | None = None
    pad_id: int | None = None
    ignore_label_id: int | str | None = None
    kind: str | None = None

    not_recorded = (*BuilderRequest.not_recorded, "source", "compression", "split")

    def recorded(self) -> dict[str, Any]:
        return {name: v for name, v in super().recorded().items() if v not in (None, {})}


class Source(ABC):
    """Examples in the files of each split. name: for messages."""

    def __init__(self, request: Request, files: dict[str, list[Path]]) -> None:
        self.request, self.files = request, files
        self.name = str(request.source)
        self.splits = sorted(files, key=lambda split: (split != "train", split))

    @abstractmethod
    def pieces(self, split: str) -> Iterator[Piece]:
        """Some examples at a time: inputs and labels [n, S], the other columns [n]; int64.

        The same every time it is called. DataError naming the file and what is wrong in it.
        """

    @property
    def ignored(self) -> int | None:
        """The label that is not trained on: with --charset the padding, unless the user says."""
        label = self.request.ignore_label_id
        if label is None:
            return None if self.request.charset is None else 0
        return None if label == "none" else int(label)

    def origin(self) -> dict[str, Any]:
        return {
            split: [{"name": path.name, "sha256": file_sha256(path)} for path in paths]
            for split, paths in self.files.items()
        }
