"""The files of an evaluation in `output_dir`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hrm_scale.base.files import replace_file
from hrm_scale.base.untrusted import printable
from hrm_scale.evaluation.plots import missing


class OutputFiles:
    """The files of one evaluation, each there as a whole or not at all; `folder` exists."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.written: list[Path] = []
        self._no_pictures = ""

    def text(self, name: str, content: str) -> None:
        if self.folder is not None:
            replace_file(self.folder / name, [content.encode()])
            self.written.append(self.folder / name)

    def json(self, name: str, content: Any, indent: int | None = 1) -> None:
        self.text(name, json.dumps(content, indent=indent) + "\n")

    def csv(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        text = io.StringIO()
        table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        self.text(name, text.getvalue())

    def plot(self, name: str, draw: Any, rows: Sequence[Mapping[str, Any]]) -> None:
        if self.folder is None:
            return
        self._no_pictures = missing()
        if self._no_pictures:
            return
        draw(rows, self.folder / name)
        self.written.append(self.folder / name)

    def print_names(self) -> None:
        """Print what has been written."""
        if self.written:
            print(f"\nwritten: {', '.join(map(printable, self.written))}")
        if self._no_pictures:
            print(f"no pictures: {self._no_pictures}")
