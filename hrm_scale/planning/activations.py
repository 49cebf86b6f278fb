"""Memory of a micro-step as a line in its rows, fitted to the probe at two small batches."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache

from hrm_scale.models import ModelConfig
from hrm_scale.planning.probe import Reading, probe

CALIBRATION_ROWS = (8, 32)


@dataclass(frozen=True)
class ActivationModel:
    """Readings of the probe at the two `CALIBRATION_ROWS`."""

    low: Reading
    high: Reading

    def at(self, rows: int) -> Reading:
        """What the probe would count for a micro-batch of `rows`, in bytes.

        Every part is a constant (weight casts, weight gradients) and a number of bytes a row, so a
        line through two readings is exact but for peaks that change their place.
        """
        first, second = CALIBRATION_ROWS
        values = {}
        for field in fields(Reading):
            low, high = getattr(self.low, field.name), getattr(self.high, field.name)
            values[field.name] = round(low + (high - low) * (rows - first) / (second - first))
        return Reading(**values)


@lru_cache(maxsize=64)
def calibrate(config: ModelConfig, loss_type: str) -> ActivationModel:
    """Probe `config` at the calibration rows, gradients of an earlier micro-step being there.

    Takes seconds; cached.
    """
    low, high = (probe(config, rows, loss_type, accumulating=True) for rows in CALIBRATION_ROWS)
    return ActivationModel(low, high)


@lru_cache(maxsize=256)
def reading_at(config: ModelConfig, rows: int, loss_type: str, accumulating: bool) -> Reading:
    """Memory of a micro-batch of `rows`.

    Off the line where that is exact. Gradients that are made while activations go put a kink into
    it, and so do micro-batches of a few rows, whose weights outweigh them: these are probed as
    they are, which takes no longer than a point of the line.
    """
    if rows < CALIBRATION_ROWS[0] or not accumulating:
        return probe(config, rows, loss_type, accumulating=accumulating)
    return calibrate(config, loss_type).at(rows)
