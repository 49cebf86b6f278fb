"""What happens when a loss or a gradient is not a number, and when a loss jumps.

`guards.non_finite`: `raise` ends the run, `skip` leaves the step out, `rollback` goes back to the
last checkpoint and past the samples. A faulty step never reaches parameters, moments or table.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hrm_scale.base.errors import NonFiniteError
from hrm_scale.checkpoint import write_tensors
from hrm_scale.config.schema import GuardsConfig
from hrm_scale.engine import Engine
from hrm_scale.models import Carry
from hrm_scale.training.step import StepResult

Positions = tuple[int, int]

_WINDOW = 1000  # steps over which `guards.limit` counts
_REPORTS = 50  # logged losses whose median a spike is compared with
_FEW = 10  # fewer say nothing of what is usual
_ADVICE = "Lower lr, lengthen lr_warmup_steps, or set arch.forward_dtype=float32"


@dataclass(frozen=True)
class Fault:
    """A step that must not count: what is not finite, and where."""

    step: int
    positions: Positions
    what: str

    def __str__(self) -> str:
        start, stop = self.positions
        return f"{self.what} at step {self.step}, samples [{start}, {stop})"


class Guard:
    """Looks at every step before it updates anything, and at every reported loss.

    run_dir: gets the batch of a faulty step, in `non_finite/`.
    warn: tells the user.
    """

    def __init__(
        self,
        config: GuardsConfig,
        engine: Engine,
        run_dir: Path,
        warn: Callable[[str], None],
    ) -> None:
        self._config, self._engine, self._run_dir = config, engine, run_dir
        self._warn = warn
        self.last_checkpoint: Callable[[], Path | None] = lambda: None
        """The newest checkpoint, named in messages; `Saving` knows it."""
        self._recent: list[int] = []  # steps left out or gone back from, of the last _WINDOW
        self._losses: list[float] = []
        self._in_spike = False
        self._unread: list[tuple[int, Positions, Tensor]] = []
        self.skipped = 0
        self.rollbacks = 0
        self.fault: Fault | None = None
        """The fault of the last checked step, None when it was well."""

    def reads(self, step: int, log_every: int) -> bool:
        """Whether `step` has to be checked before its update. On a GPU that makes the host wait for
        the device, so a run that would end anyway is looked at when it is logged."""
        on_cpu = self._engine.device.type == "cpu"
        return on_cpu or self._config.non_finite != "raise" or step % log_every == 0

    def remember(self, step: int, positions: Positions, result: StepResult) -> None:
        """Take note of a step that nobody has read."""
        self._unread.append((step, positions, _loss(result)))

    def check(self, step: int, positions: Positions, result: StepResult, norm: float) -> bool:
        """Whether the step may update. `norm`: of all gradients, the same on every rank.

        Raises NonFiniteError, after writing the batch to disk, when the run must not go on.
        """
        loss = float(_loss(result))
        # All ranks must decide alike: a loss that is lost on one makes the norm so on all.
        well = math.isfinite(norm) and (self._engine.ranks > 1 or math.isfinite(loss))
        if well:
            self.fault = None
            self._unread.clear()
            return True
        what = f"loss is {loss}" if not math.isfinite(loss) else f"gradient norm is {norm}"
        self.fault = self._earliest() or Fault(step, positions, what)
        dumped = dump_batch(self._run_dir, step, self._engine.rank, result.carries)
        saved = f"batch: {dumped}" if dumped else "the batch could not be written"
        self._recent = [s for s in self._recent if abs(step - s) < _WINDOW]
        back = self.last_checkpoint()
        if self._config.non_finite == "raise":
            raise NonFiniteError(f"{self.fault}; {_good(back)}; {saved}. {_ADVICE}")
        if len(self._recent) >= self._config.limit:
            raise NonFiniteError(
                f"{self.fault}; guards.limit={self._config.limit} such steps within {_WINDOW} were"
                f" passed over already; {_good(back)}; {saved}. {_ADVICE}"
            )
        if self._config.non_finite == "rollback" and back is None:
            raise NonFiniteError(
                f"{self.fault}; guards.non_finite=rollback has no checkpoint to go back to;"
                f" {saved}. Type checkpoint.every_steps=N for early ones. {_ADVICE}"
            )
        self._recent.append(step)
        if self._config.non_finite == "skip":
            self.skipped += 1
            self._warn(f"{self.fault}: step left out ({self.skipped} so far); {saved}")
        else:
            self.rollbacks += 1
            self._warn(f"{self.fault}: going back to {back}, past these samples; {saved}")
        return False

    def reported(self, step: int, values: Mapping[str, float]) -> None:
        """Look at a loss that is logged, the mean of all ranks.

        Raises NonFiniteError when it is lost; warns when it has jumped.
        """
        loss = values["train/lm_loss"]
        self.require_finite(loss, f"in the report of step {step}")
        usual = statistics.median(self._losses) if len(self._losses) >= _FEW else math.inf
        factor = self._config.loss_spike
        spike = factor is not None and loss > factor * usual > 0
        if spike and not self._in_spike:
            self._warn(
                f"loss spike: train/lm_loss is {loss:.4g} at step {step}, {loss / usual:.1f} times"
                f" the median of the last {len(self._losses)} reports ({usual:.4g});"
                f" {_good(self.last_checkpoint())}"
            )
        self._in_spike = spike
        self._losses = [*self._losses, loss][-_REPORTS:]

    def require_finite(self, loss: float, where: str) -> None:
        """Raise NonFiniteError when a loss, the same on every rank, is lost."""
        if not math.isfinite(loss):
            fault = self._earliest() or f"loss is {loss} {where}"
            raise NonFiniteError(f"{fault}; {_good(self.last_checkpoint())}. {_ADVICE}")

    def state_dict(self) -> dict[str, Any]:
        """JSON values for the checkpoint."""
        return {
            "skipped": self.skipped,
            "rollbacks": self.rollbacks,
            "recent": self._recent,
            "losses": self._losses,
            "in_spike": self._in_spike,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.skipped, self.rollbacks = state["skipped"], state["rollbacks"]
        self._recent, self._losses = list(state["recent"]), list(state["losses"])
        self._in_spike = state["in_spike"]

    def _earliest(self) -> Fault | None:
        """The first of the unread steps that was not well on any rank. All ranks call it."""
        mine = None
        if self._unread:
            steps, positions, losses = zip(*self._unread, strict=True)
            lost = (~torch.stack(losses).isfinite()).nonzero()
            if len(lost):
                at = int(lost[0])
                mine = Fault(steps[at], positions[at], "loss is not finite")
        self._unread.clear()
        found = [fault for fault in self._engine.gather_objects(mine) if fault is not None]
        return min(found, key=lambda fault: fault.step, default=None)


def free_lost_slots(carries: Sequence[Carry]) -> list[Carry]:
    """The carries with those slots halted whose state is not finite: they begin anew."""
    freed = []
    for carry in carries:
        kept = torch.stack([z.isfinite().flatten(1).all(1) for z in carry.z]).all(0)
        freed.append(replace(carry, halted=carry.halted | ~kept))
    return freed


def _loss(result: StepResult) -> Tensor:
    return torch.stack([micro.loss for micro in result.micro]).sum()


def _good(checkpoint: Path | None) -> str:
    if checkpoint is None:
        return "there is no checkpoint yet"
    return f"last good checkpoint: {checkpoint}"


def dump_batch(run_dir: Path, step: int, rank: int, carries: Sequence[Carry]) -> Path | None:
    """Write what the slots of this rank worked on to `non_finite/step-S-rank-R.safetensors`.

    `carries` after the step, one a micro-step. Columns over slots in order: `inputs`, `labels`,
    `puzzle_identifiers`, `steps` (ACT steps done), `lost` (the slot's latent state is not finite).
    The latent states themselves are large, and left out. Returns None when the disk refuses.
    """
    columns = {name: torch.cat([carry.data[name] for carry in carries]) for name in carries[0].data}
    columns["steps"] = torch.cat([carry.steps for carry in carries])
    columns["lost"] = torch.cat(
        [
            ~torch.stack([z.isfinite().flatten(1).all(1) for z in carry.z]).all(0)
            for carry in carries
        ]
    )
    path = run_dir / "non_finite" / f"step-{step:08d}-rank-{rank:05d}.safetensors"
    try:
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        write_tensors(path, columns)
    except OSError:
        return None
    return path
