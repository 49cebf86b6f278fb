"""What a metric of an evaluation is: it counts on every process, and reports on one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

from hrm_scale.evaluation.files import OutputFiles
from hrm_scale.evaluation.rollout import ModelOutputs

if TYPE_CHECKING:
    from hrm_scale.evaluation.session import Session

EvalResult = dict[str, Any]
"""What each metric found, by its name."""


class Metric(ABC):
    """Something that an evaluation finds out. Rank 0 calls the methods from `finish` on."""

    name: ClassVar[str]
    """Key of the result."""
    gathers: ClassVar[bool] = False
    """`sums` are any picklable object, not tensors, and `result` gets a list of all processes'."""
    print_order: ClassVar[int] = 1
    """Place of its table on the terminal; exact accuracy has 0."""

    @abstractmethod
    def sums(self) -> Any:
        """What this process has counted: tensors by name, of the same shapes on every process."""

    @abstractmethod
    def result(self, sums: Any) -> Any:
        """The result from the sums added over all processes."""

    def finish(self, result: Any, files: OutputFiles) -> Any:
        """The result completed by files of `output_dir`; called just before `render`."""
        return result

    def render(self, result: Any) -> str:
        """A table for the terminal; empty for none."""
        return ""

    def document(self, result: Any) -> dict[str, Any]:
        """Entries of `results.json`."""
        return {self.name: result} if result else {}

    def write(self, result: Any, files: OutputFiles) -> None:
        """Write files of its own into `output_dir`, if any."""
        return


class Observer(Metric):
    """A metric that sees all outputs of the model."""

    every_step: ClassVar[bool] = False
    """Whether it needs the outputs after every ACT step, not those after `report_steps` alone."""
    columns: ClassVar[tuple[str, ...]] = ()
    """Columns of the data that it uses beside inputs and labels, where there are any."""

    @classmethod
    @abstractmethod
    def make(cls, session: Session) -> Self | None:
        """An observer for this evaluation; None where it does not apply."""

    @abstractmethod
    def add(self, outputs: ModelOutputs) -> None:
        """Count some rows; they have a final output each, with `last`."""
