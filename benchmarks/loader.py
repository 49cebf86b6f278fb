"""Compare this project's loader with its peers, side by side: python -m benchmarks.loader DIR

Every reader runs in a fresh process, the readers take turns, medians are shown. Batches are
shuffled and end as int32 tensors. CPU time is that of the whole process tree.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.provenance import provenance
from hrm_scale.errors import HrmError, run_cli

if TYPE_CHECKING:
    from hrm_scale.data import Dataset

# name: (reader, which set, settings)
RUNS: dict[str, tuple[str, str, dict[str, int]]] = {
    "ours": ("ours", "dense", {"threads": 1}),
    "ours, no thread": ("ours", "dense", {"threads": 0}),
    "ours, online augmentation": ("ours", "online", {"threads": 1}),
    "ours, online, no thread": ("ours", "online", {"threads": 0}),
    "plain mmap gather": ("mmap_gather", "dense", {}),
    "webdataset, these shards": ("webdataset_records", "dense", {}),
    "webdataset, record per sample": ("webdataset_samples", "dense", {}),
    "reference style, 0 workers": ("reference_style", "dense", {}),
    "reference style, 1 worker": ("reference_style", "dense", {"workers": 1}),
}
SAMPLE_RECORDS = 30_000


def main(argv: list[str]) -> int:
    arguments = _parse(argv)
    from benchmarks import loader_readers, loader_sets
    from hrm_scale.data import open_dataset

    dataset = open_dataset(arguments.dir)
    scratch = Path(tempfile.mkdtemp(prefix="hrm-loader-bench-", dir=arguments.scratch))
    try:
        print("preparing what the peers read ...", flush=True)
        dense = loader_sets.dense_set(dataset, scratch, arguments.examples)
        online = loader_sets.online_set(dataset, scratch)
        loader_sets.write_arrays(dense, scratch / "arrays")
        loader_readers.write_samples(
            scratch / "arrays", scratch / "samples.tar", min(SAMPLE_RECORDS, arguments.examples)
        )
        base = {
            "seed": 0,
            "batch": arguments.batch,
            "examples": arguments.examples,
            "seconds": arguments.seconds,
            "seq_len": dense.meta.seq_len,
            "ignored": dense.meta.ignore_label_id,
            "arrays": str(scratch / "arrays"),
            "samples": str(scratch / "samples.tar"),
            "workers": 0,
            "threads": 0,
        }
        sets = {"dense": dense, "online": online}
        _warm(scratch, dense, online)
        load_before = os.getloadavg()
        results = _measure(base, sets, arguments.repeats)
        resume = _measure_resume(base, dense, arguments.repeats)
        stored, payload = loader_sets.stored_and_payload(dense)
        report = _report(arguments, dense, results, resume, stored / payload)
        report["machine"]["load_before_and_after"] = [*load_before, *os.getloadavg()]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    _show(report)
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.loader",
        description="Compare this loader with its peers on one Sudoku data set.",
    )
    parser.add_argument("dir", type=Path, metavar="DIR", help="a Sudoku data set")
    parser.add_argument(
        "--examples", type=int, default=1_000_000, help="read per run (default %(default)s)"
    )
    parser.add_argument("--batch", type=int, default=768, help="default %(default)s")
    parser.add_argument("--repeats", type=int, default=3, help="default %(default)s")
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="limit for one run (default %(default)s)"
    )
    parser.add_argument("--scratch", type=Path, help="folder for temporary data")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write all numbers as JSON")
    return parser.parse_args(argv)


def _run(job: dict[str, Any]) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.loader_readers", json.dumps(job)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise HrmError(f"reader {job['reader']} failed: {last}")
    return json.loads(done.stdout.splitlines()[-1])


def _measure(
    base: dict[str, Any], sets: dict[str, Dataset], repeats: int
) -> dict[str, dict[str, float]]:
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in RUNS}
    for turn in range(repeats):
        for name, (reader, which, settings) in RUNS.items():
            print(f"  round {turn + 1}/{repeats}: {name}", flush=True)
            job = {**base, "reader": reader, "path": str(sets[which].path), **settings}
            runs[name].append(_run(job))
    return {name: _summary(found) for name, found in runs.items()}


def _summary(runs: list[dict[str, float]]) -> dict[str, float]:
    return {
        "samples_per_s": statistics.median(run["examples"] / run["wall_s"] for run in runs),
        "cpu_us": statistics.median(run["cpu_s"] / run["examples"] * 1e6 for run in runs),
        "first_batch_ms": statistics.median(run["first_batch_s"] * 1e3 for run in runs),
        "anonymous_mib": max(run["anonymous_mib"] for run in runs),
        "examples": min(run["examples"] for run in runs),
    }


def _measure_resume(base: dict[str, Any], dense: Dataset, repeats: int) -> float:
    """Milliseconds from opening the data set to the first batch in the middle of the data."""
    middle = dense.split("train").examples // 2
    job = {**base, "reader": "ours", "path": str(dense.path), "threads": 1}
    job |= {"position": middle, "examples": 0}
    return statistics.median(_run(job)["first_batch_s"] * 1e3 for _ in range(max(5, repeats)))


def _warm(scratch: Path, *datasets: Dataset) -> None:
    """Everything into the page cache, so that no reader pays for the disk."""
    for folder in (scratch, *(dataset.path for dataset in datasets)):
        for file in folder.rglob("*"):
            if file.is_file():
                with file.open("rb") as stream:
                    while stream.read(1 << 24):
                        pass


def _report(
    arguments: argparse.Namespace,
    dense: Dataset,
    results: dict[str, dict[str, float]],
    resume_ms: float,
    size: float,
) -> dict[str, Any]:
    ours = max(results[name]["samples_per_s"] for name in ("ours", "ours, no thread"))
    memory = max(results[name]["anonymous_mib"] for name in RUNS if name.startswith("ours"))

    def faster(peer: str) -> float:
        return ours / results[peer]["samples_per_s"]

    online = 1e6 / results["ours, online, no thread"]["cpu_us"] / 1e6
    checks = [
        ("times reference style, 1 worker", faster("reference style, 1 worker"), ">=", 50.0),
        ("times webdataset, these shards", faster("webdataset, these shards"), ">=", 3.0),
        ("times plain mmap gather", faster("plain mmap gather"), ">=", 1.3),
        ("million online examples/s/core", online, ">=", 1.5),
        ("ms to first batch after resume", resume_ms, "<=", 25.0),
        ("times payload, size on disk", size, "<=", 1.05),
        ("MiB anonymous beyond torch", memory, "<=", 80.0),
    ]
    return {
        **provenance("benchmarks.loader", sys.argv[1:], ["torch", "numpy", "webdataset", "xxhash"]),
        "data": {"fingerprint": dense.meta.fingerprint, "examples": dense.split("train").examples},
        "batch": arguments.batch,
        "repeats": arguments.repeats,
        "readers": results,
        "targets": [
            {
                "what": what,
                "value": value,
                "target": f"{sign} {target:g}",
                "met": value >= target if sign == ">=" else value <= target,
            }
            for what, value, sign, target in checks
        ],
    }


def _show(report: dict[str, Any]) -> None:
    readers = report["readers"]
    ours = max(readers["ours"]["samples_per_s"], readers["ours, no thread"]["samples_per_s"])
    print(
        f"\n{'reader':32}{'samples/s':>12}{'CPU us/ex':>11}{'ours is':>9}{'first ms':>10}"
        f"{'anon MiB':>10}"
    )
    for name, row in sorted(readers.items(), key=lambda item: -item[1]["samples_per_s"]):
        print(
            f"{name:32}{row['samples_per_s']:12,.0f}{row['cpu_us']:11.3f}"
            f"{ours / row['samples_per_s']:8.1f}x{row['first_batch_ms']:10.1f}"
            f"{row['anonymous_mib']:10.0f}"
        )
    print(f"\n{'target':36}{'measured':>10}  {'wanted':10}verdict")
    for check in report["targets"]:
        verdict = "met" if check["met"] else "MISSED"
        print(f"{check['what']:36}{check['value']:10.2f}  {check['target']:10}{verdict}")


if __name__ == "__main__":
    run_cli(main)
