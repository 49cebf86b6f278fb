"""The metrics of an evaluation, in the order of their keys in `results.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hrm_scale.evaluation.observers.base import Observer
from hrm_scale.evaluation.observers.breakdown import Breakdown
from hrm_scale.evaluation.observers.failures import Failures
from hrm_scale.evaluation.observers.measures import Measures
from hrm_scale.evaluation.observers.step_counts import StepCounts
from hrm_scale.evaluation.observers.tally import Tally
from hrm_scale.evaluation.observers.votes import Votes

if TYPE_CHECKING:
    from hrm_scale.evaluation.session import Session

OBSERVERS: tuple[type[Observer], ...] = (
    Tally,
    StepCounts,
    Breakdown,
    Measures,
    Votes,
    Failures,
)


def make_observers(session: Session) -> list[Observer]:
    """The observers that apply to an evaluation."""
    made = (kind.make(session) for kind in OBSERVERS)
    return [observer for observer in made if observer is not None]
