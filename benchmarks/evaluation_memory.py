"""Peak memory of an evaluation against the number of grids that are asked.

``python -m benchmarks.evaluation_memory`` builds ARC-AGI's evaluation tasks with 1000 augmentations
each (385,820 rows), takes an untrained model, whose answers are all different, which is the most
that votes can ask for, and evaluates seeded subsets, each in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.provenance import write_results
from hrm_scale.base.command_line import Parser, positive
from hrm_scale.base.errors import EnvironmentProblem, run_cli

GRIDS = (1_000, 3_000, 10_000, 30_000, 100_000)
# A model as small as can be, and one step: what is measured is what evaluation keeps.
_MODEL = (
    "arch.hidden_size=16",
    "arch.num_heads=1",
    "arch.mlp_t=true",
    "arch.pos_encodings=none",
    "arch.expansion=0.1",
    "arch.loss.loss_type=softmax_cross_entropy",
    "arch.H_layers=1",
    "arch.L_layers=1",
    "arch.H_cycles=1",
    "arch.L_cycles=1",
    "arch.puzzle_emb_ndim=16",
    "arch.forward_dtype=float32",
    "arch.halt_max_steps=1",
)
_RUN = (
    "epochs=null",
    "eval_interval=null",
    "max_steps=1",
    "global_batch_size=64",
    "engine.device=cpu",
    "log.wandb=off",
    "log.console=quiet",
    "evaluation.full_at_end=false",
    "evaluation.limit=1",
)
_MEASURED = """
import resource, sys
from hrm_scale.evaluate import evaluate_checkpoint
found = evaluate_checkpoint(sys.argv[1], None, sys.argv[3], {"limit": int(sys.argv[2])})
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"PEAK {peak:.1f} {found['seconds']:.1f} {int(found['results']['count'])}")
"""


def main(arguments: list[str]) -> int:
    parser = Parser(prog="python -m benchmarks.evaluation_memory", description=__doc__)
    parser.add_argument("--dataset-dirs", nargs="+", type=Path, required=True, help="as shards.arc")
    parser.add_argument("--grids", nargs="+", type=positive, default=list(GRIDS))
    parser.add_argument("--output", type=Path, help="write the figures as JSON, and a plot beside")
    options = parser.parse_args(arguments)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        run = _untrained(Path(folder), options.dataset_dirs)
        print(f"{'grids':>8} {'peak MiB':>9} {'seconds':>8}")
        for grids in options.grids:
            out = _call(["-c", _MEASURED, str(run), str(grids), str(Path(folder) / "out")])
            line = next(line for line in out.splitlines() if line.startswith("PEAK "))
            peak, seconds, count = (float(word) for word in line.split()[1:])
            rows.append({"grids": int(count), "peak_mib": peak, "seconds": seconds})
            print(f"{int(count):8} {peak:9.1f} {seconds:8.1f}", flush=True)
    packages = ["torch", "numpy"]
    write_results(
        options.output, "benchmarks.evaluation_memory", arguments, packages, {"rows": rows}
    )
    if options.output:
        _draw(rows, options.output.with_suffix(".png"))
    return 0


def _untrained(folder: Path, dataset_dirs: list[Path]) -> Path:
    data, run = folder / "data", folder / "run"
    where = ["--dataset-dirs", *map(str, dataset_dirs), "--output-dir", str(data)]
    _call(["-m", "shards.arc", *where])
    _call(["-m", "hrm_scale.train", *_MODEL, *_RUN, f"data_path={data}", f"checkpoint_path={run}"])
    return run


def _call(arguments: list[str]) -> str:
    result = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    if result.returncode:
        raise EnvironmentProblem(result.stderr.strip().splitlines()[-1])
    return result.stdout


def _draw(rows: list[dict[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.plot([row["grids"] for row in rows], [row["peak_mib"] for row in rows], marker="o")
    axes.set_xscale("log")
    axes.set_ylim(0, 1.3 * max(row["peak_mib"] for row in rows))
    axes.set_xlabel("grids evaluated, with votes")
    axes.set_ylabel("peak memory, MiB")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    run_cli(main)
