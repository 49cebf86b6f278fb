"""Averaged weights in a checkpoint: `ema.safetensors`, by plain parameter names.

In a run they are part of the optimizer's state, `ema/NAME` beside the moments. On disk they are a
part of their own, complete, so that any program can load them in the place of the weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from hrm_scale.checkpoint.loaded import LoadedCheckpoint

if TYPE_CHECKING:
    from torch import Tensor

AVERAGES = "ema"
"""Name of the part, and key of the averages among the moments (`hrm_scale.optim.ema`)."""
_PREFIX = f"{AVERAGES}/"


def split_averages(
    moments: Mapping[str, Tensor], parameters: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Moments without averages, and the average of each parameter: a parameter that was never
    updated is its own."""
    averages = {
        name.removeprefix(_PREFIX): value
        for name, value in moments.items()
        if name.startswith(_PREFIX)
    }
    rest = {name: value for name, value in moments.items() if not name.startswith(_PREFIX)}
    return rest, {**parameters, **averages}


class AveragedMoments(Mapping[str, "Tensor"]):
    """Moments of a checkpoint and an average beside each, fp32, read when asked for.

    One without averages gives its weights: the average starts there.
    """

    def __init__(self, checkpoint: LoadedCheckpoint) -> None:
        self._moments = checkpoint.part("optimizer")
        self._averages = checkpoint.part(AVERAGES if AVERAGES in checkpoint.parts else "model")
        updated = {name.partition("/")[2] for name in self._moments}
        self._names = [*self._moments, *(f"{_PREFIX}{name}" for name in sorted(updated))]

    def __getitem__(self, name: str) -> Tensor:
        if name.startswith(_PREFIX):
            return self._averages[name.removeprefix(_PREFIX)].float()
        return self._moments[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
