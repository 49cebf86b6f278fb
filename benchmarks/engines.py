"""What several processes cost: time per step by engine, beside one process on the same cores.

``python -m benchmarks.engines`` gives the same global batch to one process with all cores and to
several processes that share them, so a ratio of 1 would be communication for nothing. It prints
the median time of a step, the share of it that goes away when nothing is exchanged (DDP), the share
of it during which a collective is in flight, and every collective of a step with its number.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.provenance import write_results
from benchmarks.step import CONFIGS
from hrm_scale.base.command_line import Parser, positive
from hrm_scale.base.errors import run_cli

# name: processes, DeepSpeed's zero_optimization
ENGINES: dict[str, tuple[bool, dict[str, Any] | None]] = {
    "one-process": (False, None),
    "ddp": (True, None),
    "zero0": (True, {"stage": 0}),
    "zero1": (True, {"stage": 1}),
    "zero2": (True, {"stage": 2}),
    "zero3": (True, {"stage": 3}),
}


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m benchmarks.engines", description=__doc__)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--config", choices=CONFIGS, default="sudoku27m")
    parser.add_argument("--processes", type=positive, default=2)
    parser.add_argument("--rows", type=positive, help="global batch (default: the configuration's)")
    parser.add_argument(
        "--identifiers", type=positive, default=1000, help="rows of the puzzle table"
    )
    parser.add_argument("--steps", type=positive, default=7, help="timed steps of each engine")
    parser.add_argument("--output", type=Path, help="also write the figures as JSON")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    rows: list[dict[str, Any]] = []
    print(
        f"{'engine':12} {'ranks':>5} {'rows':>5} {'s/step':>8} {'min':>8} {'ratio':>6}"
        f" {'cost':>6} {'flight':>7}  collectives of a step"
    )
    for name in options.engines:
        row = run_one(name, options)
        base = rows[0]["median_s"] if rows else row["median_s"]
        row["ratio"] = row["median_s"] / base
        rows.append(row)
        print(format_row(row), flush=True)
    print("ratio: time against the first row. cost: share of the step that exchanging takes (DDP)")
    print("flight: share of the step with a collective under way, waiting for other ranks included")
    packages = ["torch", "accelerate", "deepspeed"]
    write_results(options.output, "benchmarks.engines", arguments, packages, {"rows": rows})
    return 0


def run_one(name: str, options: argparse.Namespace) -> dict[str, Any]:
    several, zero = ENGINES[name]
    ranks = options.processes if several else 1
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        settings = "off"
        if zero is not None:
            settings = f"{folder}/zero.json"
            Path(settings).write_text(json.dumps({"zero_optimization": zero}))
        job = {
            "shape": CONFIGS[options.config],
            "rows": options.rows or CONFIGS[options.config][5],
            "identifiers": options.identifiers,
            "steps": options.steps,
            "deepspeed": settings,
            "output": f"{folder}/figures.json",
        }
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={ranks}", "-m", "benchmarks.engines_rank", json.dumps(job)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(max(cores // ranks, 1))}
        subprocess.run(command, check=True, env=environment)
        figures: dict[str, Any] = json.loads(Path(job["output"]).read_text())
    return {"engine": name, "ranks": ranks, "rows": job["rows"], **figures}


def format_row(row: dict[str, Any]) -> str:
    cost = "" if row["cost"] is None else f"{row['cost']:.0%}"
    collectives = ", ".join(f"{count:g} {name}" for name, count in row["collectives"].items())
    return (
        f"{row['engine']:12} {row['ranks']:5} {row['rows']:5} {row['median_s']:8.3f}"
        f" {row['min_s']:8.3f} {row['ratio']:6.2f} {cost:>6} {row['flight']:7.0%}"
        f"  {collectives or 'none'}"
    )


if __name__ == "__main__":
    run_cli(main)
