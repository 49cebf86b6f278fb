"""The best evaluation so far, and when to stop waiting for a better one.

Long training on few examples is known to collapse late: exact accuracy falls although the loss
goes on falling. The best checkpoint is therefore kept, and a run may end by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hrm_scale.config.schema import EarlyStoppingConfig


class EarlyStopping:
    """What evaluations during training have shown. `best` is None before the first that has shown
    anything: an accuracy of 0 has not."""

    def __init__(self, config: EarlyStoppingConfig) -> None:
        self._config = config
        self.best: float | None = None
        self.best_step = 0
        self.waited = 0

    def observe(self, step: int, values: Mapping[str, float]) -> bool:
        """Take the evaluation of `step` into account; whether it is a new best.

        Nothing is waited for before the first best: a model may take long to begin to solve.
        """
        value = values[self._config.metric]
        falling = self._config.metric.endswith("loss")
        if self.best is None:
            better = math.isfinite(value) if falling else value > 0
        else:
            better = (self.best - value if falling else value - self.best) > self._config.min_delta
        if better:
            self.best, self.best_step, self.waited = value, step, 0
        elif self.best is not None:
            self.waited += 1
        return better

    @property
    def exhausted(self) -> bool:
        """Whether the run has waited long enough for a better evaluation."""
        patience = self._config.patience
        return patience is not None and self.waited >= patience

    def describe(self) -> str:
        """Why the run ends."""
        return (
            f"early stopping: {self._config.metric} has not been better than {self.best:.4f}"
            f" (step {self.best_step}) for {self.waited} evaluations"
        )

    def state_dict(self) -> dict[str, Any]:
        """JSON values for the checkpoint."""
        return {
            "metric": self._config.metric,
            "best": self.best,
            "best_step": self.best_step,
            "waited": self.waited,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint; anew when another metric counts now."""
        if state["metric"] == self._config.metric:
            self.best, self.best_step = state["best"], state["best_step"]
            self.waited = state["waited"]
