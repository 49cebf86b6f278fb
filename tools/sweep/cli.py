"""Does a switch help? `python -m tools.sweep KEY=VALUE,VALUE ... seed=0,1,2` trains a grid of runs.

A value with commas is an axis of the grid; all other KEY=VALUE are shared by all runs. Every run is
one of `python -m hrm_scale.train`. The same command again goes on where it was; seeds and values
may be added to it. In the end one table and one plot, with mean and confidence interval over the
seeds.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrm_scale.base.command_line import Parser, positive, workers
from hrm_scale.base.errors import EXIT_STOPPED, ConfigError, EnvironmentProblem, Stopped
from hrm_scale.base.output import check_folder
from hrm_scale.base.untrusted import printable, printable_lines

if TYPE_CHECKING:
    from .cells import Result
    from .grid import Grid

_EPILOG = """\
example:
  python -m tools.sweep experiment=demo arch.H_cycles=1,2 arch.L_cycles=1,2 seed=0,1,2
groups are axes too: arch=hrm_v1,trm. A comma inside quotes or brackets makes no axis.
exit status:
   0  every run is finished
  75  stopped on request, the runs saved: the command to go on is shown
   2  an invalid setting, 3 no data, 4 a folder that holds a run of other settings
   n  a run failed with n, the others are finished
"""


def main(arguments: list[str]) -> int:
    """Entry point. Returns the exit status."""
    options = _parser().parse_intermixed_args(arguments)
    from .grid import default_folder, make_grid

    grid = make_grid(options.settings)
    folder = options.output_dir or default_folder(grid)
    check_folder(folder, "--output-dir")
    grid = _checked(grid, folder, options)
    if options.dry_run:
        return _show(grid, folder)
    if options.report:
        _report(grid, folder, options, [])
        return 0
    return _run(grid, folder, options, arguments)


def _checked(grid: Grid, folder: Path, options: argparse.Namespace) -> Grid:
    """The grid of the cells that can be run. Raises ConfigError unless that is all of them, or
    invalid ones are to be skipped."""
    from dataclasses import replace

    from hrm_scale.base.redaction import redact

    from .cells import check, check_data

    runs, reasons = check(grid.cells, folder)
    if not options.report:
        problem = check_data(runs)
        if problem and len(problem) == len(runs):
            raise next(iter(problem.values()))
        reasons.update({name: error.line for name, error in problem.items()})
    if not reasons:
        return grid
    names: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        names.setdefault(redact(reason), []).append(name)
    lines = [f"{', '.join(those)}: {reason}" for reason, those in names.items()]
    if not options.skip_invalid or len(reasons) == len(grid.cells):
        more = "" if len(reasons) == len(grid.cells) else ", or leave them out by --skip-invalid"
        head = f"{len(reasons)} of {len(grid.cells)} runs are invalid, nothing is started"
        raise ConfigError(f"{head}: change their values{more}", *lines)
    for line in lines:
        print(printable(f"skipped, invalid: {line}"))
    return replace(grid, cells=tuple(cell for cell in grid.cells if cell.name not in reasons))


def _show(grid: Grid, folder: Path) -> int:
    from hrm_scale.base.redaction import redact

    from .cells import command_of, state_of

    axes = " x ".join(f"{len(axis.values)} {axis.label}" for axis in grid.axes)
    print(printable(f"{len(grid.cells)} runs ({axes or 'no axis'}) in {folder}"), end="\n\n")
    for cell in grid.cells:
        print(printable(f"{cell.name}: {state_of(folder / cell.name)}"))
        command = shlex.join(["python", "-m", "hrm_scale.train", *command_of(cell, folder)])
        print(printable(f"  {redact(command)}"))
    return 0


def _run(grid: Grid, folder: Path, options: argparse.Namespace, arguments: list[str]) -> int:
    from hrm_scale.base.redaction import redact
    from hrm_scale.training.watch import Occupied, lock_run

    from .cells import FINISHED, state_of
    from .runner import Runner

    try:
        lock = lock_run(folder, "--output-dir")
    except Occupied:
        raise ConfigError(
            f"another sweep is at work in {folder}: wait for it, or give another --output-dir"
        ) from None
    with lock:
        left = [cell for cell in grid.cells if state_of(folder / cell.name) != FINISHED]
        done = len(grid.cells) - len(left)
        finished = f", {done} of them finished already" if done else ""
        print(printable(f"{len(grid.cells)} runs in {folder}{finished}"), flush=True)
        runner = Runner(folder, options.parallel, lambda line: print(printable(line), flush=True))
        runner.run(left, len(grid.cells))
        if runner.stopped:
            command = redact(shlex.join(["python", "-m", "tools.sweep", *arguments]))
            raise Stopped(f"the sweep is stopped, its runs are saved. Continue with: {command}")
        notes = [f"failed: {failure.cell.name}: {failure.reason}" for failure in runner.failures]
        _report(grid, folder, options, notes)
    codes = [failure.exit_code for failure in runner.failures]
    # A run that somebody stopped by itself matters less than one that failed.
    return next((code for code in codes if code != EXIT_STOPPED), max(codes, default=0))


def _report(grid: Grid, folder: Path, options: argparse.Namespace, notes: list[str]) -> None:
    """Print the table of the finished runs, and write it, its numbers and its picture."""
    from hrm_scale.base.files import replace_file
    from hrm_scale.base.redaction import redact, redact_values

    from .cells import EVALUATION
    from .table import as_json, as_text, make_rows

    metric, within = options.metric, options.at_seconds
    results = _results(grid, folder, within)
    if within is not None:
        said = f"after {within:g} s of training each, by the last evaluation until then"
        notes = [*notes, f"{said}: seconds of runs that shared their cores with others mislead"]
    known = sorted({name for result in results.values() for name in result.values})
    if metric not in known:
        for note in notes:
            print(printable(f"- {note}"))
        if not results:
            print(printable(f"no run in {folder} is finished and evaluated: no table"))
            return
        raise ConfigError(
            f"--metric {metric} is in no evaluation of these runs; allowed:"
            f" {', '.join(name for name in known if not name.startswith('baseline/'))}"
        )
    rows = make_rows(grid, results, metric)
    timed = sum((folder / name / EVALUATION).is_dir() for name in results)
    if 0 < timed < len(results):
        # Averaged with runs that came to their end, they would say something of the machine.
        cut = f"{timed} of {len(results)} runs were ended by max_time, the others by their steps"
        notes = [*notes, f"{cut}: compare them with care, or give more time"]
    text = printable_lines(redact(as_text(grid, rows, metric, notes)))
    print(f"\n{text}")
    document = json.dumps(redact_values(as_json(grid, rows, results, metric)), indent=1)
    replace_file(folder / "table.md", [text.encode()])
    replace_file(folder / "results.json", [document.encode()])
    written = [str(folder / "table.md"), str(folder / "results.json")]
    from .plot import draw

    try:
        written.append(str(draw(grid, rows, set(results), folder, metric)))
    except EnvironmentProblem as error:
        print(f"no plot: {error}", file=sys.stderr)
    print(printable(f"written: {', '.join(written)}"))


def _results(grid: Grid, folder: Path, within: float | None) -> dict[str, Result]:
    from .cells import FINISHED, read_result, state_of

    found: dict[str, Result] = {}
    for cell in grid.cells:
        run = folder / cell.name
        if state_of(run) == FINISHED and (result := read_result(run, within)):
            found[cell.name] = result
    return found


def _metric(text: str) -> str:
    from hrm_scale.base.errors import nearest

    from .table import METRICS

    allowed = [*METRICS, *(f"raw/{name}" for name in METRICS)]
    if text not in allowed:
        raise argparse.ArgumentTypeError(
            f"'{text}' is not a metric.{nearest(text, allowed)} Allowed: {', '.join(allowed)}"
        )
    return text


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m tools.sweep",
        usage="python -m tools.sweep [OPTION ...] KEY=VALUE[,VALUE...] ...",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add: Any = parser.add_argument
    add("settings", nargs="+", metavar="KEY=VALUE", help="settings of python -m hrm_scale.train")
    add(
        "--output-dir",
        type=Path,
        metavar="DIR",
        help="where the runs are (default: sweeps/NAME, derived from the settings and the axes)",
    )
    add(
        "--parallel",
        type=workers,
        default=1,
        metavar="N",
        help="runs at once; they share the cores, and take one GPU each where there are several"
        " (default: 1)",
    )
    add(
        "--metric",
        type=_metric,
        default="exact_accuracy",
        metavar="NAME",
        help="exact_accuracy (default), accuracy or lm_loss; raw/NAME is of the weights that are"
        " not averaged",
    )
    add(
        "--at-seconds",
        type=positive,
        metavar="S",
        help="compare at equal time: what each run had learned after S seconds of training",
    )
    add("--dry-run", action="store_true", help="check and print every run, start nothing")
    add("--skip-invalid", action="store_true", help="leave invalid runs out")
    add("--report", action="store_true", help="only table and plot of what is finished")
    return parser
