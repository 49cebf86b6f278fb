"""Where the wall time of a run goes, how fast it is, and when it will be done.

Counts over the whole run: the state is part of every checkpoint, so total time and ETA go on after
a restart. Time between two processes does not count, nor does work that was lost since the last
checkpoint.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple


class _Mark(NamedTuple):
    """Counters of this process after one step: train seconds, steps, samples, FLOPs, data
    seconds."""

    seconds: float
    steps: int
    samples: int
    flops: float
    waited: float


class _Rates(NamedTuple):
    """Per second of training time; flops is None where it is not known."""

    steps: float
    samples: float
    flops: float | None


class Clock:
    """Stopwatch of a run. Start it when training starts; call `tick` after every step.

    window: steps over which speed is averaged. The first step of a process (compilation,
        allocation) is left out.
    now: seconds from any monotonic source.
    """

    def __init__(self, *, window: int = 100, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._began = now()
        self._paused: dict[str, float] = {}
        self._pause: tuple[str, float] | None = None  # what for, since when
        self._waited = 0.0
        self._steps = 0
        self._samples = 0
        self._flops = 0.0
        self._marks: deque[_Mark] = deque(maxlen=window + 1)
        self._earlier: dict[str, Any] = {
            "train": 0.0,
            "paused": {},
            "steps": 0,
            "rates": None,
            "flops": 0.0,
            "flops_per_second": None,
        }

    def tick(self, samples: int, flops: float = 0.0) -> None:
        """One optimizer step over `samples` samples (the global batch) is done; it cost `flops`
        floating-point operations, of all ranks together."""
        self._steps += 1
        self._samples += samples
        self._flops += flops
        seconds = self._process_train_seconds()
        self._marks.append(_Mark(seconds, self._steps, self._samples, self._flops, self._waited))

    @contextmanager
    def paused(self, what: str) -> Iterator[None]:
        """Time in here is not training time. `what`: "evaluation", "checkpoint", ...

        Inside another pause it belongs to the outer one.
        """
        if self._pause is not None:
            yield
            return
        self._pause = (what, self._now())
        try:
            yield
        finally:
            self._paused = self._process_paused()
            self._pause = None

    @contextmanager
    def waiting_for_data(self) -> Iterator[None]:
        """Time in here is training time spent waiting for the loader."""
        began = self._now()
        try:
            yield
        finally:
            self._waited += self._now() - began

    @property
    def train_seconds(self) -> float:
        """Training time of the whole run, all processes together."""
        return self._earlier["train"] + self._process_train_seconds()

    @property
    def paused_seconds(self) -> dict[str, float]:
        """Time of the whole run by what it was paused for."""
        total = dict(self._earlier["paused"])
        for what, seconds in self._process_paused().items():
            total[what] = total.get(what, 0.0) + seconds
        return total

    @property
    def total_seconds(self) -> float:
        """Wall time of the whole run, pauses included: what `max_time` is compared with."""
        return self.train_seconds + sum(self.paused_seconds.values())

    @property
    def steps_per_second(self) -> float | None:
        """Recent speed in training time; before the second step that of the process before."""
        rates = self._rates()
        return None if rates is None else rates.steps

    @property
    def examples_per_second(self) -> float | None:
        """Recent samples per second of training time, over all ranks."""
        rates = self._rates()
        return None if rates is None else rates.samples

    @property
    def flops(self) -> float:
        """FLOPs of the whole run."""
        return float(self._earlier["flops"]) + self._flops

    @property
    def flops_per_second(self) -> float | None:
        """Recent FLOP/s of training time, over all ranks: what the steps cost, however deep."""
        rates = self._rates()
        return None if rates is None else rates.flops

    @property
    def data_wait_share(self) -> float | None:
        """Recent share of training time spent waiting for data, 0 to 1."""
        window = self._window()
        if window is None:
            return None
        first, last = window
        return (last.waited - first.waited) / (last.seconds - first.seconds)

    def eta_seconds(self, steps_left: int, flops_left: float | None = None) -> float | None:
        """Wall seconds until `steps_left` more steps are done; None while speed is unknown.

        flops_left: what they cost, for steps that cost more than the recent ones, or less.
        Pauses are expected at the rate per step they have had so far in the run.
        """
        rates = self._rates()
        if rates is None:
            return None
        training = max(steps_left, 0) / rates.steps
        if rates.flops and flops_left is not None:
            training = max(flops_left, 0.0) / rates.flops
        steps = self._earlier["steps"] + self._steps
        pause = sum(self.paused_seconds.values()) / steps if steps else 0.0
        return training + max(steps_left, 0) * pause

    def state_dict(self) -> dict[str, Any]:
        """JSON values for the checkpoint."""
        rates = self._rates()
        return {
            "train": self.train_seconds,
            "paused": self.paused_seconds,
            "steps": self._earlier["steps"] + self._steps,
            "rates": None if rates is None else [rates.steps, rates.samples],
            "flops": self.flops,
            "flops_per_second": None if rates is None else rates.flops,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from an earlier process: its totals are added to this one's."""
        self._earlier = {key: state[key] for key in self._earlier}

    def _process_paused(self) -> dict[str, float]:
        """Pauses of this process, the one going on included."""
        paused = dict(self._paused)
        if self._pause is not None:
            what, began = self._pause
            paused[what] = paused.get(what, 0.0) + self._now() - began
        return paused

    def _process_train_seconds(self) -> float:
        return self._now() - self._began - sum(self._process_paused().values())

    def _window(self) -> tuple[_Mark, _Mark] | None:
        if len(self._marks) < 2 or self._marks[-1].seconds <= self._marks[0].seconds:
            return None
        return self._marks[0], self._marks[-1]

    def _rates(self) -> _Rates | None:
        window = self._window()
        if window is None:
            earlier = self._earlier["rates"]
            if earlier is None:
                return None
            return _Rates(earlier[0], earlier[1], self._earlier["flops_per_second"])
        first, last = window
        seconds = last.seconds - first.seconds
        return _Rates(
            (last.steps - first.steps) / seconds,
            (last.samples - first.samples) / seconds,
            (last.flops - first.flops) / seconds or None,
        )
