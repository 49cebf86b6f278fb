"""Where metrics and messages of a run go, and the fan-out that no broken destination can stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hrm_scale.base.redaction import redact
from hrm_scale.base.untrusted import printable

Values = Mapping[str, float]


class Sink:
    """One destination. Every method does nothing here, so a sink overrides what it cares for.

    name: how warnings call it. keeps_trying: after a failure it is asked again (it has kept what
    it could not write); others are dropped.
    """

    name = "sink"
    keeps_trying = False

    def start(self, step: int, total_steps: int | None) -> list[str]:
        """Called once, `step` steps being done. Returns lines worth telling the user."""
        return []

    def metrics(self, step: int, values: Values) -> None:
        """Numbers by name (`train/...`, `eval/...`, `perf/...`) as of `step`."""

    def advance(self, step: int) -> None:
        """A step without numbers is done."""

    def message(self, text: str, *, warning: bool) -> None:
        """Text for people; may hold several lines."""

    def sync(self) -> None:
        """Make everything so far survive a power failure."""

    def rewind(self, step: int) -> list[str]:
        """The run went back to `step` and goes on from there, in the same process. What was said
        about later steps no longer holds. Returns lines worth telling the user."""
        return []

    def close(self, exit_code: int, text: str) -> None:
        """The run ends with this exit status. text: why, in one line; may be empty."""


class Reporter:
    """Hands everything to all sinks, in their order.

    An exception in a sink becomes one warning and never reaches the training loop; whatever
    went wrong with a dashboard or a log file, the run is worth more.
    """

    def __init__(self, sinks: Sequence[Sink] = ()) -> None:
        self._sinks = list(sinks)
        self._complained: set[str] = set()

    def start(self, step: int = 0, total_steps: int | None = None) -> None:
        """Open the sinks. step: steps already done; total_steps: of the whole run, if known."""
        self._each(lambda sink: sink.start(step, total_steps))

    def metrics(self, step: int, values: Values) -> None:
        """Numbers of a step that is reported."""
        self._each(lambda sink: sink.metrics(step, values))

    def advance(self, step: int) -> None:
        """A step that is not reported; costs next to nothing."""
        self._each(lambda sink: sink.advance(step))

    def say(self, *lines: str) -> None:
        """Something the user should read; a line break inside a line is shown as an escape."""
        self._message(lines, warning=False)

    def warn(self, text: str) -> None:
        """Something the user must not overlook."""
        self._message((text,), warning=True)

    def sync(self) -> None:
        """Call before a checkpoint is saved: a resumed run relies on the lines up to it."""
        self._each(lambda sink: sink.sync())

    def rewind(self, step: int) -> None:
        """Call after the state of `step` was restored in this process, before training goes on."""
        self._each(lambda sink: sink.rewind(step))

    def close(self, exit_code: int = 0, text: str = "") -> None:
        """Close all sinks. Safe to call twice. text: how the run ended; its first line is kept."""
        line = printable(redact(text.partition("\n")[0]))
        self._each(lambda sink: sink.close(exit_code, line))
        self._sinks.clear()

    def _each(self, call: Callable[[Sink], list[str] | None]) -> None:
        """Call every sink, and say the lines it returns."""
        for sink in list(self._sinks):
            try:
                notes = call(sink)
            except Exception as error:
                self._failed(sink, error)
                continue
            for note in notes or ():
                self.say(note)

    def _message(self, lines: Sequence[str], *, warning: bool) -> None:
        text = "\n".join(printable(redact(line)) for line in lines)
        self._each(lambda sink: sink.message(text, warning=warning))

    def _failed(self, sink: Sink, error: Exception) -> None:
        if not sink.keeps_trying and sink in self._sinks:
            self._sinks.remove(sink)
        if sink.name in self._complained:
            return
        self._complained.add(sink.name)
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        then = "trying again" if sink.keeps_trying else "going on without it"
        self.warn(f"{sink.name}: {reason}; {then}")
