"""Cost of the puzzle table at each placement: memory, time, and what travels.

``python -m benchmarks.table`` starts the ranks itself, for one placement after the other, gives
all of them the same steps, and compares rows with those of the first placement, bit for bit. A step
is what training does with the table: offer, gather, exchange of gradients, update.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import multiprocessing.connection
import os
import socket
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.provenance import write_results
from hrm_scale.base.command_line import Parser, positive
from hrm_scale.base.errors import EnvironmentProblem, run_cli

PLACEMENTS = ("device", "host", "sharded")
MIB = 1 << 20


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m benchmarks.table", description=__doc__)
    parser.add_argument("--rows", type=positive, default=1_000_000, help="identifiers of the table")
    parser.add_argument("--width", type=positive, default=512)
    parser.add_argument("--ranks", type=positive, default=2, help="processes to start")
    parser.add_argument("--batch", type=positive, default=768, help="slots of all ranks together")
    parser.add_argument("--busy", type=float, default=0.5, help="share of slots that keep theirs")
    parser.add_argument("--placements", nargs="+", choices=PLACEMENTS, default=list(PLACEMENTS))
    parser.add_argument(
        "--steps", type=positive, default=20, help="timed steps, after 3 to warm up"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--output", type=Path, help="also write the figures as JSON")
    options = parser.parse_args(arguments)
    if options.batch % options.ranks:
        parser.error(f"--batch {options.batch} is no multiple of --ranks {options.ranks}")
    return options


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    # One thread a rank, unless told otherwise: ranks must not take each other's cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    rows: list[dict[str, Any]] = []
    print(
        f"{options.rows:,} x {options.width} fp32 = {options.rows * options.width * 4 / MIB:,.0f}"
        f" MiB, {options.ranks} ranks, {options.batch} slots, {options.busy:.0%} of them busy"
    )
    with tempfile.TemporaryDirectory() as folder:
        for placement in options.placements:
            row = measure(placement, options, Path(folder))
            if not rows:
                print(f"on {row['device']}\n{HEADER}")
            rows.append(row)
            print(format_row(row), flush=True)
    print(LEGEND)
    packages = ["torch", "accelerate", "numpy"]
    write_results(options.output, "benchmarks.table", arguments, packages, {"rows": rows})
    return 0 if all(row["max_difference"] == 0 for row in rows) else 1


def measure(placement: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Start the ranks for one placement; figures of the rank that has the largest."""
    job = {
        "placement": placement,
        "folder": str(folder),
        **{name: getattr(options, name) for name in ("rows", "width", "batch", "busy", "steps")},
        "device": options.device,
    }
    start_ranks(job, options.ranks)
    ranks = [
        json.loads((folder / f"{placement}-{rank}.json").read_text())
        for rank in range(options.ranks)
    ]
    first: dict[str, Any] = ranks[0]
    largest = {
        name: max(rank[name] for rank in ranks)
        for name, value in first.items()
        if isinstance(value, int | float)
    }
    return {
        "placement": placement,
        **first,
        **largest,
        "max_difference": difference(folder, options.placements[0], placement, options.ranks),
    }


def start_ranks(job: dict[str, Any], ranks: int) -> None:
    """Run the job in fresh processes, one a rank, to their end."""
    # They fork from a server that has imported everything, and done nothing, once.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch._dynamo", "benchmarks.table_worker"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        context.Process(target=run_rank, args=(job, rank, ranks, port), daemon=True)
        for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    running: dict[Any, Any] = {process.sentinel: process for process in processes}
    while running:
        for sentinel in multiprocessing.connection.wait(list(running)):
            code = running.pop(sentinel).exitcode
            if code:
                # The others would wait for this one until the exchange times out.
                for process in running.values():
                    process.terminate()
                failure = EnvironmentProblem(f"a rank of placement {job['placement']} failed")
                failure.already_reported = code == failure.exit_code
                raise failure


def run_rank(job: dict[str, Any], rank: int, ranks: int, port: int) -> None:
    """In a process of its own: join the others as torchrun's processes do, and measure."""
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in names.items()})
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    from benchmarks.table_worker import run

    run_cli(lambda _: run(job), [])


def difference(folder: Path, base: str, placement: str, ranks: int) -> float:
    """Largest difference between the sampled rows of any rank and those of `base`."""
    import numpy as np

    expected = np.load(folder / f"{base}-0.npy")
    found = [np.load(folder / f"{placement}-{rank}.npy") for rank in range(ranks)]
    # NaN is no row either.
    return max(float(np.abs(np.nan_to_num(rows, nan=np.inf) - expected).max()) for rows in found)


HEADER = (
    f"{'placement':9} {'kept MiB':>9} {'peak MiB':>9} {'GPU MiB':>8} {'pinned':>7} {'ms/step':>8}"
    f" {'min':>7} {'wire MB':>8} {'link MB':>8} {'calls':>6} {'max diff':>9}"
)
LEGEND = """\
of each column the rank with the most. kept: rows the rank stores (computed); peak: resident memory
beyond what the process had before the table; GPU, pinned: peak of device and page-locked memory;
wire: received from other ranks a step (computed); link: between host memory and GPU a step
(computed; on a CPU nothing is copied); calls: collectives of a step (counted);
max diff: to the first placement, over up to 4096 rows that moved and 4096 drawn from all"""


def format_row(row: dict[str, Any]) -> str:
    return (
        f"{row['placement']:9} {row['kept_bytes'] / MIB:9,.0f} {row['peak_bytes'] / MIB:9,.0f}"
        f" {row['device_bytes'] / MIB:8,.0f} {row['pinned_bytes'] / MIB:7,.0f}"
        f" {row['median_s'] * 1e3:8.2f} {row['min_s'] * 1e3:7.2f} {row['wire_bytes'] / 1e6:8.2f}"
        f" {row['link_bytes'] / 1e6:8.2f} {row['collectives']:6}"
        f" {row['max_difference']:9.3g}"
    )


if __name__ == "__main__":
    run_cli(main)
