"""The terminal: a bar when someone is looking, plain lines otherwise; `log.txt`, always plain."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TextIO

from hrm_scale.reporting.lines import ETA, duration, eval_line, lines_of, train_fields
from hrm_scale.reporting.sinks import Sink, Values

Mode = Literal["auto", "bar", "line", "quiet"]


def console_sink(
    mode: Mode, stream: TextIO | None = None, environ: Mapping[str, str] | None = None
) -> Sink:
    """The console of a run.

    auto: a bar on a terminal that can draw one, lines elsewhere (pipes, files, CI, TERM=dumb).
    bar: the same; what is not a terminal cannot have a bar. quiet: warnings only.
    """
    stream = sys.stdout if stream is None else stream
    environ = os.environ if environ is None else environ
    drawable = stream.isatty() and environ.get("TERM", "") not in ("dumb", "unknown")
    if mode in ("auto", "bar") and drawable:
        return BarSink(stream, colour=not environ.get("NO_COLOR"))
    return LineSink(stream, quiet=mode == "quiet")


class LineSink(Sink):
    """One plain line for every reported step, flushed at once."""

    name = "console"

    def __init__(self, stream: TextIO, *, quiet: bool = False) -> None:
        self._stream = stream
        self._quiet = quiet
        self._total: int | None = None

    def start(self, step: int, total_steps: int | None) -> list[str]:
        self._total = total_steps
        return []

    def metrics(self, step: int, values: Values) -> None:
        if not self._quiet:
            for line in lines_of(step, self._total, values):
                self._write(line)

    def message(self, text: str, *, warning: bool) -> None:
        if warning or not self._quiet:
            self._write(f"warning: {text}" if warning else text)

    def _write(self, line: str) -> None:
        try:
            self._stream.write(f"{line}\n")
            self._stream.flush()
        except OSError:
            # The terminal or the reader of the pipe is gone. The interpreter would complain once
            # more at its end when it flushes what is left, so that goes nowhere.
            if self._stream is sys.stdout:
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise


class BarSink(Sink):
    """A progress bar with the newest numbers; messages and evaluations scroll by above it."""

    name = "console"

    def __init__(self, stream: TextIO, *, colour: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.table import Column

        # The numbers get what room is left and never wrap: a bar that jumps cannot be read.
        numbers = Column(ratio=1, no_wrap=True, overflow="ellipsis")
        self._console = Console(
            file=stream,
            highlight=False,
            markup=False,
            color_system="auto" if colour else None,
            no_color=not colour,
        )
        self._progress = Progress(
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TextColumn("{task.fields[eta]}", markup=False),
            TextColumn("{task.description}", table_column=numbers, markup=False),
            console=self._console,
            expand=True,
            refresh_per_second=4,
        )
        self._colour = colour
        self._task = self._progress.add_task("", start=False, eta="")
        self._drawn = False

    def start(self, step: int, total_steps: int | None) -> list[str]:
        self._progress.update(self._task, total=total_steps, completed=step)
        return []

    def metrics(self, step: int, values: Values) -> None:
        if any(key.startswith("train/") for key in values):
            self._draw()
            # The time left has a column of its own: on a narrow terminal it must not be cut off.
            others = {key: value for key, value in values.items() if key != ETA}
            eta = f"ETA {duration(values[ETA])}" if ETA in values else ""
            self._progress.update(
                self._task, completed=step, description=train_fields(others), eta=eta
            )
        if any(key.startswith("eval/") for key in values):
            self._console.print(eval_line(step, values), soft_wrap=True)

    def advance(self, step: int) -> None:
        self._draw()
        self._progress.update(self._task, completed=step)

    def message(self, text: str, *, warning: bool) -> None:
        style = "yellow" if warning and self._colour else None
        text = f"warning: {text}" if warning else text
        self._console.print(text, style=style, soft_wrap=True)

    def close(self, exit_code: int, text: str) -> None:
        if self._drawn:
            self._progress.stop()

    def _draw(self) -> None:
        # Only once training moves: the start banner stays where it was printed.
        if not self._drawn:
            self._drawn = True
            self._progress.start()
            self._progress.start_task(self._task)


class TextLogSink(Sink):
    """`log.txt`: what the console said, without bar or colour, appended over restarts."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = open(path, "a", encoding="utf-8")  # noqa: SIM115 (open for the run's life)
        self._lines = LineSink(self._stream)

    def start(self, step: int, total_steps: int | None) -> list[str]:
        return self._lines.start(step, total_steps)

    def metrics(self, step: int, values: Values) -> None:
        self._lines.metrics(step, values)

    def message(self, text: str, *, warning: bool) -> None:
        self._lines.message(text, warning=warning)

    def close(self, exit_code: int, text: str) -> None:
        self._stream.close()
