"""When a run is killed: planned by a seed, in events of the process that is to be killed."""

from __future__ import annotations

import random
from dataclasses import dataclass

from benchmarks.reliability.victim import Victim

SAVE_EVERY, EVALUATE_EVERY = 10, 15
# However busy the machine: a process that got this far without its event is killed at once.
_LATEST = 4 * SAVE_EVERY
# Of twenty kills; the remaining one is the last, near the end of the run.
_SHARES = {"start": 4, "saving": 5, "saved": 3, "evaluation": 4, "training": 3}


@dataclass(frozen=True)
class Pace:
    """Seconds that things take in the undisturbed run: from the start of the process to its first
    step, one save, one evaluation, compiling."""

    start: float
    save: float
    evaluation: float
    compilation: float


@dataclass(frozen=True)
class Moment:
    """`share` of the usual duration after the event `kind` has happened `count` times."""

    kind: str
    count: int
    share: float

    @property
    def steps(self) -> int:
        """How far a run may come until then."""
        each = {"saving": SAVE_EVERY, "saved": SAVE_EVERY, "evaluation": EVALUATE_EVERY}
        each |= {"training": 2 * SAVE_EVERY}
        return self.count * each.get(self.kind, 0)

    def delay(self, pace: Pace) -> float:
        """Seconds to wait after the event."""
        usual = {
            "start": pace.start,
            "compiling": pace.compilation,
            "saving": pace.save,
            "saved": pace.save / 4,  # time to delete what is too old
            "evaluation": pace.evaluation,
            "training": 0.1,  # a few steps
            "end": pace.evaluation + 2 * pace.save,
        }
        return self.share * usual[self.kind]

    def has_come(self, victim: Victim, resumed: int, total: int) -> bool:
        """Whether the event has happened, or the process is further than it should get."""
        step = victim.step or 0
        between_saves = victim.phase == "training" and len(victim.closed) == len(victim.opened)
        happened = {
            "start": True,
            "compiling": victim.phase == "compiling",
            "saving": len(victim.opened) >= self.count,
            "saved": len(victim.closed) >= self.count,
            "evaluation": victim.evaluations >= self.count,
            "training": len(victim.closed) >= self.count and between_saves,
            "end": step == total,
        }
        return happened[self.kind] or (self.kind != "end" and step >= resumed + _LATEST)

    def is_over(self, victim: Victim) -> bool:
        """Whether what was to be killed is over sooner than usual: then at once."""
        return self.kind == "compiling" and victim.phase not in ("starting", "compiling")


def plan(kills: int, rng: random.Random, *, compiled: bool) -> list[Moment]:
    """That many moments. The last is near the end of the run; one that is compiled is killed while
    it compiles first, when there is no cache yet."""
    kinds: list[str] = []
    while len(kinds) < kills:
        block = [kind for kind, share in _SHARES.items() for _ in range(share)]
        if compiled:
            block += ["compiling"] * 4
        rng.shuffle(block)
        kinds += block
    kinds[kills - 1 :] = ["end"]
    if compiled:
        kinds[0] = "compiling"
    return [Moment(kind, rng.choice((1, 1, 1, 2)), rng.random()) for kind in kinds]


def steps_for(moments: list[Moment]) -> int:
    """How long a run must be to be killed at all of them."""
    wanted = sum(moment.steps for moment in moments) + 3 * SAVE_EVERY
    return -(-wanted // SAVE_EVERY) * SAVE_EVERY
