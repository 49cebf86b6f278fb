"""Speed of the training step, beside the machine's own matrix rate, in one run.

``python -m benchmarks.step`` times the very step that training uses on random data, for the three
configurations that the reference was measured at, and beside it a step in the style of the
reference: every weight cast at every use, torch's fused attention. ``--configs family`` does every
architecture, at its published size on Sudoku. Work is by formula; ``counted`` is what torch counts,
operator by operator, as a share of it. Medians of several steps.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.provenance import write_results
from hrm_scale.base.command_line import Parser, positive
from hrm_scale.base.errors import run_cli


class Shape(NamedTuple):
    """A preset of `arch` with changes, at so many tokens of a vocabulary, and rows of a step."""

    arch: str
    tokens: int
    vocabulary: int
    cpu_rows: int
    gpu_rows: int
    changes: tuple[str, ...] = ()


_SMALL = ("hidden_size=128", "num_heads=2", "H_layers=2", "L_layers=2")
FAMILY = ("hrm_v1", "hrm_v2_params_matched", "trm", "trm_mlp", "urm", "hrm_legion")
CONFIGS: dict[str, Shape] = {
    "small": Shape("hrm_v1", 81, 11, 64, 768, _SMALL),
    "sudoku27m": Shape("hrm_v1", 81, 11, 32, 768),
    "arc27m": Shape("hrm_v1", 900, 12, 4, 96),
    **{name: Shape(name, 81, 11, 16, 768) for name in FAMILY},
}
_FIRST = ("small", "sudoku27m", "arc27m")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m benchmarks.step", description=__doc__)
    parser.add_argument("--configs", nargs="+", choices=(*CONFIGS, "family"), default=_FIRST)
    parser.add_argument(
        "--dtypes", nargs="+", choices=("bfloat16", "float32"), default=["bfloat16"]
    )
    parser.add_argument(
        "--variants",
        nargs="+",
        choices=("eager", "compiled", "reference-style"),
        default=["reference-style", "eager", "compiled"],
    )
    parser.add_argument(
        "--rows", type=positive, help="rows of the batch (default: per configuration)"
    )
    parser.add_argument("--steps", type=positive, default=7, help="timed steps of each variant")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--output", type=Path, help="also write the figures as JSON")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    if options.one:
        from benchmarks.step_runner import measure

        print(json.dumps(measure(**json.loads(options.one))))
        return 0
    rows: list[dict[str, Any]] = []
    print(
        f"{'config':21} {'dtype':9} {'variant':16} {'s/step':>8} {'min':>8} {'ex/s':>8}"
        f" {'GFLOP/ex':>8} {'counted':>7} {'GFLOP/s':>8} {'matrix':>8} {'share':>6}"
        f" {'peak MiB':>9} {'first s':>8} {'ratio':>6}"
    )
    names = [n for name in options.configs for n in (FAMILY if name == "family" else (name,))]
    for name in dict.fromkeys(names):
        for dtype in options.dtypes:
            base: float | None = None
            for variant in options.variants:
                if variant == "reference-style" and CONFIGS[name].arch != "hrm_v1":
                    continue  # it is written for attention without a convolution
                row = run_one(name, dtype, variant, options)
                base = row["median_s"] if base is None else base
                row["ratio"] = row["median_s"] / base
                rows.append(row)
                print(format_row(row), flush=True)
    print("share: of the machine's matrix rate in that process; ratio: time against the first row")
    packages = ["torch", "accelerate"]
    write_results(options.output, "benchmarks.step", arguments, packages, {"rows": rows})
    return 0


def run_one(name: str, dtype: str, variant: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure in a fresh process, so that memory and compilation are its own."""
    job = {
        "shape": CONFIGS[name],
        "dtype": dtype,
        "variant": variant,
        "rows": options.rows,
        "steps": options.steps,
        "device": options.device,
    }
    command = [sys.executable, "-m", "benchmarks.step", "--one", json.dumps(job)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    return {"config": name, "dtype": dtype, "variant": variant, **figures}


def format_row(row: dict[str, Any]) -> str:
    return (
        f"{row['config']:21} {row['dtype']:9} {row['variant']:16} {row['median_s']:8.3f}"
        f" {row['min_s']:8.3f} {row['examples_per_s']:8.1f} {row['gflop_per_example']:8.1f}"
        f" {row['counted']:7.4f} {row['gflops']:8.0f}"
        f" {row['matrix_gflops']:8.0f} {row['share']:6.0%} {row['peak_mib']:9.0f}"
        f" {row['first_s']:8.1f} {row['ratio']:6.2f}"
    )


if __name__ == "__main__":
    run_cli(main)
