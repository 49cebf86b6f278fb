"""Look at a data set in the browser: python -m tools.shards view DIR"""

from __future__ import annotations

import argparse
from pathlib import Path

from hrm_scale.base.errors import ConfigError
from hrm_scale.base.output import check_file
from hrm_scale.base.untrusted import printable

DEFAULT_LIMIT = 24


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `view` beside DIR."""
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="RUN",
        help="also show what a trained model answers: a run folder or a checkpoint",
    )
    parser.add_argument(
        "--html",
        type=Path,
        metavar="OUT",
        help="write one file that any browser opens without this program, and end",
    )
    parser.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help=f"with --html: groups of each split to include (default {DEFAULT_LIMIT})",
    )
    parser.add_argument(
        "--port", type=int, default=0, metavar="N", help="port of the page (default: a free one)"
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="print the address, open no browser"
    )


def view(arguments: argparse.Namespace) -> None:
    """Serve the page until interrupted, or write it to a file.

    DataError for what is no data set, ConfigError and CheckpointError for a model that cannot be
    used, EnvironmentProblem for a port that is taken.
    """
    _check(arguments)
    from hrm_scale.data import open_dataset

    from .api import ViewerApi

    dataset = open_dataset(arguments.directory)
    predictor = None
    if arguments.checkpoint is not None:
        from .predict import Predictor

        predictor = Predictor(arguments.checkpoint, dataset)
    api = ViewerApi(dataset, predictor)
    if arguments.html is not None:
        from .export import export

        contents = export(api, arguments.html, arguments.limit or DEFAULT_LIMIT)
        size = arguments.html.stat().st_size / 1e6
        print(printable(f"written: {arguments.html} ({size:.1f} MB): {contents}"))
        return
    from .server import ViewerServer

    with ViewerServer(api, arguments.port) as server:
        server.serve("viewer", browser=not arguments.no_browser)


def _check(arguments: argparse.Namespace) -> None:
    if arguments.limit is not None and arguments.html is None:
        raise ConfigError("--limit is for --html only: the live page reads what it shows, no more")
    if arguments.limit is not None and arguments.limit < 1:
        raise ConfigError(f"--limit {arguments.limit}: at least 1 group must be included")
    if not 0 <= arguments.port < 1 << 16:
        raise ConfigError(f"--port {arguments.port}: allowed is 1 to 65535, or 0 for a free one")
    if arguments.html is not None:
        check_file(arguments.html, "--html")
