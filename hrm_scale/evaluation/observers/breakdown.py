"""Exact accuracy by the rating and by the source of the puzzles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor

from hrm_scale.base.statistics import exact_row
from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.evaluation.observers.base import Observer
from hrm_scale.evaluation.report import rates_table
from hrm_scale.evaluation.rollout import ModelOutputs

if TYPE_CHECKING:
    from hrm_scale.evaluation.session import Session

_SOURCES = 256  # a source is a uint8
COLUMNS = ("ratings", "sources")


class Breakdown(Observer):
    """Rows and solved rows of each bin of ratings, and of each source."""

    name = "breakdown"
    print_order = 2
    columns = COLUMNS

    def __init__(self, meta: DatasetMeta, device: torch.device) -> None:
        self._edges = meta.puzzle.rating_edges
        self._names = meta.extra.get("sources") or []
        self._device = device
        self._sums = {
            "ratings": np.zeros((len(self._edges), 2), np.int64),
            "sources": np.zeros((_SOURCES, 2), np.int64),
        }

    @classmethod
    def make(cls, session: Session) -> Self:
        return cls(session.meta, session.device)

    def add(self, outputs: ModelOutputs) -> None:
        extras = outputs.query.extras
        if not outputs.last or not extras:
            return
        scored, solved = outputs.scored.cpu().numpy(), outputs.solved.cpu().numpy()
        if "ratings" in extras and self._edges:
            self._count("ratings", rating_bins(self._edges, extras["ratings"]), scored, solved)
        if "sources" in extras:
            self._count("sources", extras["sources"].astype(np.int64), scored, solved)

    def _count(self, name: str, where: np.ndarray, scored: np.ndarray, solved: np.ndarray) -> None:
        table = self._sums[name]
        np.add.at(table[:, 0], where[scored], 1)
        np.add.at(table[:, 1], where[scored & solved], 1)

    def sums(self) -> dict[str, Tensor]:
        return {
            name: torch.from_numpy(table).double().to(self._device)
            for name, table in self._sums.items()
        }

    def result(self, sums: dict[str, Tensor]) -> dict[str, list[dict[str, Any]]]:
        """`ratings` and `sources`: rows of name, count, exact, exact_accuracy and its Wilson
        interval; bins and sources without puzzles are left out, as are tables with one row."""
        names = {
            "ratings": [
                f"{low}" if high == low + 1 else f"{low} to {high - 1}" if high else f"{low} and up"
                for low, high in zip(self._edges, (*self._edges[1:], 0), strict=False)
            ],
            "sources": [str(name) for name in self._names],
        }
        tables = {}
        for table, labels in names.items():
            counts = sums[table].long().tolist()
            rows = [
                {"name": label, **exact_row(exact, count)}
                for label, (count, exact) in zip(labels, counts, strict=False)
                if count
            ]
            if len(rows) > 1:
                tables[table] = rows
        return tables

    def render(self, result: dict[str, list[dict[str, Any]]]) -> str:
        return "\n\n".join(rates_table(name[:-1], rows) for name, rows in result.items())


def rating_bins(edges: Sequence[int], ratings: np.ndarray) -> np.ndarray:
    """The bin of each rating, int64 [n]; edges are the lower ends."""
    return (np.searchsorted(edges, ratings, side="right") - 1).clip(0)
