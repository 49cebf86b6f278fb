"""Look at training runs: `python -m tools.run status|plot RUN_DIR ...`.

status: alive or not, how far, the time left, checkpoints, the best result, what went wrong.
plot: loss, exact accuracy, learning rate, halting steps, throughput and memory in one picture.

Both only read, and work while a run trains, after it ended, and after it was killed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from hrm_scale.base.command_line import Parser, whole_number
from hrm_scale.base.errors import ConfigError
from hrm_scale.base.untrusted import printable

_STATUS_EPILOG = """exit status:
   0  running, or finished
  75  stopped on request: the command to go on is shown
   1  needs a look: stalled, failed, died, never started, or unknown
   2  wrong arguments, or a folder that is not a run
Of several runs the worst counts, in the order 1, 75, 0.
"""
_PLOT_EPILOG = "exit status: 0 drawn, 2 wrong arguments or nothing to draw, 5 no matplotlib\n"


def main(arguments: list[str]) -> int:
    """Entry point. Returns the exit status."""
    options = _parser().parse_args(arguments)
    return _plot(options) if options.command == "plot" else _status(options)


def _status(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from .report import as_table, as_text
    from .status import EXIT_OF_STATE, examine

    statuses = [examine(folder) for folder in options.run_dirs]
    if options.json:
        records = [asdict(status) for status in statuses]
        print(json.dumps(records[0] if len(records) == 1 else records, indent=1))
    else:
        print(as_text(statuses[0]) if len(statuses) == 1 else as_table(statuses))
    worst = {status.state for status in statuses}
    return next(code for state, code in EXIT_OF_STATE.items() if state in worst)


def _plot(options: argparse.Namespace) -> int:
    from .plot import draw

    metrics = [name for name in (options.metrics or "").split(",") if name]
    if options.metrics is not None and not metrics:
        raise ConfigError("--metrics names nothing: type for example --metrics lm_loss,accuracy")
    out = draw(options.run_dirs, options.out, metrics, options.x, options.smooth)
    print(printable(f"drawn: {out}"))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m tools.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    status = commands.add_parser(
        "status",
        help="how runs stand; several make a table",
        epilog=_STATUS_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    plot = commands.add_parser(
        "plot",
        help="runs as one picture, PNG or SVG",
        epilog=_PLOT_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for command in (status, plot):
        command.add_argument(
            "run_dirs",
            type=Path,
            nargs="+",
            metavar="RUN_DIR",
            help="folder of a run: the `run folder` of its first lines",
        )
    status.add_argument("--json", action="store_true", help="everything as JSON; times in seconds")
    plot.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="picture to write, .png or .svg (default: plot.png in RUN_DIR, of several runs in the "
        "folder above the first)",
    )
    plot.add_argument(
        "--metrics",
        metavar="NAME,...",
        help="a panel for each instead: train/lm_loss, or lm_loss for all of that name",
    )
    plot.add_argument(
        "--x",
        choices=("step", "samples", "hours", "flops"),
        default="step",
        help="horizontal axis; hours and FLOPs are those of training alone (default step)",
    )
    plot.add_argument(
        "--smooth",
        type=whole_number(1, 1_000_000),
        default=1,
        metavar="N",
        help="average train/... over N logged points; of a single run the points stay visible",
    )
    return parser
