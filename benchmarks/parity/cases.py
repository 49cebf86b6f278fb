"""Reading golden cases and collecting what was compared."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor


@dataclass(frozen=True)
class Case:
    """One golden case: its JSON and its tensors (none for cases of numbers only)."""

    name: str
    meta: dict[str, Any]
    tensors: dict[str, Tensor]

    @property
    def ranks(self) -> int:
        return max(1, sum(key.startswith("rank") for key in self.meta.get("results", {})))


def load_case(path: Path) -> Case:
    tensors = path.with_suffix(".safetensors")
    return Case(
        path.stem,
        json.loads(path.read_text()),
        load_file(tensors) if tensors.exists() else {},
    )


@dataclass
class Row:
    quantity: str
    difference: float
    tolerance: float
    passed: bool
    note: str = ""


@dataclass
class Report:
    """Comparisons of one case. Only the worst of each quantity is kept, so tables stay short.

    through: the engine in use, put before the names of quantities where there are several.
    """

    case: str
    through: str = ""
    rows: dict[str, Row] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    """Recorded quantities that were not compared, and why."""

    def skip(self, quantity: str, reason: str) -> None:
        self.skipped[quantity] = reason

    def add(
        self, quantity: str, difference: float, tolerance: float, passed: bool | None = None
    ) -> None:
        quantity = f"{self.through} {quantity}".lstrip()
        ok = difference <= tolerance if passed is None else passed
        old = self.rows.get(quantity)
        worse = (not ok, difference / tolerance if tolerance else difference)
        if old is None or worse > (
            not old.passed,
            old.difference / old.tolerance if old.tolerance else old.difference,
        ):
            self.rows[quantity] = Row(quantity, difference, tolerance, ok)

    def close(
        self, quantity: str, ours: Tensor, golden: Tensor, tolerance: float, rare: float = 0.0
    ) -> None:
        """Largest absolute difference against `tolerance`. With `rare`, one element in 10^4 (at
        least one) may differ by up to `rare`: a sign that flips where the gradient is rounding."""
        if ours.shape != golden.shape:
            self.add(f"{quantity} (shape {tuple(ours.shape)})", float("inf"), tolerance)
            return
        difference = (ours.detach().double() - golden.double()).abs()
        largest = float(difference.max()) if difference.numel() else 0.0
        if largest != largest:
            largest = float("inf")
        passed = largest <= tolerance
        if not passed and rare:
            beyond = int((difference > tolerance).sum())
            passed = beyond <= max(1, difference.numel() // 10_000) and largest <= rare
        self.add(quantity, largest, tolerance, passed)

    def equal(self, quantity: str, ours: Tensor, golden: Tensor) -> None:
        """Number of differing elements, which must be none."""
        if ours.shape != golden.shape:
            self.add(f"{quantity} (shape {tuple(ours.shape)})", float("inf"), 0.0)
            return
        self.add(quantity, float((ours.long() != golden.long()).sum()), 0.0)

    def number(self, quantity: str, ours: float, golden: float, relative: float) -> None:
        """Relative difference of two numbers."""
        scale = max(abs(golden), 1e-12)
        self.add(quantity, abs(ours - golden) / scale, relative)

    @property
    def passed(self) -> bool:
        return bool(self.rows) and all(row.passed for row in self.rows.values())


def noise(spread: dict[str, Any], name: str) -> float:
    """Ten times the reference's own noise for a quantity; 0 where it was not recorded."""
    return 10 * float(spread.get(name, {}).get("max_abs", 0.0))


def as_tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else torch.as_tensor(value)
