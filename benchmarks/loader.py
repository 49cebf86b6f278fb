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

from benchmarks.provenance import write_results
from hrm_scale.base.command_line import Parser, positive
from hrm_scale.base.errors import HrmError, run_cli

if TYPE_CHECKING:
    from hrm_scale.data import Dataset

# name: (reader, which set, settings)
RUNS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "ours": ("ours", "dense", {"threads": 1}),
    "ours, no thread": ("ours", "dense", {}),
    "ours, widen on the device": ("ours", "dense", {"threads": 1, "widen": "device"}),
    "ours, widen on device, no thread": ("ours", "dense", {"widen": "device"}),
    "ours, online augmentation": ("ours", "online", {"threads": 1}),
    "ours, online, no thread": ("ours", "online", {}),
    "ours, online, widen on device": ("ours", "online", {"widen": "device"}),
    "ours, on the published arrays": ("ours", "arrays", {"threads": 1}),
    "plain mmap gather": ("mmap_gather", "dense", {}),
    "webdataset, these shards": ("webdataset_records", "dense", {}),
    "webdataset, record per sample": ("webdataset_samples", "dense", {}),
    "reference style, 0 workers": ("reference_style", "dense", {}),
    "reference style, 1 worker": ("reference_style", "dense", {"workers": 1}),
}
SAMPLE_RECORDS = 30_000
PUBLISHED_VARIANTS = 1000
EXAMPLES = {"sudoku": 1_000_000, "arc": 400_000}


def main(argv: list[str]) -> int:
    arguments = _parse(argv)
    from benchmarks import loader_sets, loader_targets
    from hrm_scale.data import open_dataset

    dataset = open_dataset(arguments.dir)
    examples = arguments.examples or EXAMPLES.get(dataset.meta.kind, 0)
    loader_sets.check_set(dataset, arguments.batch, examples)
    scratch = Path(tempfile.mkdtemp(prefix="hrm-loader-bench-", dir=arguments.scratch))
    try:
        print("preparing what the peers read ...", flush=True)
        dense = open_dataset(arguments.dense) if arguments.dense else dataset
        dense = loader_sets.dense_set(dense, scratch, examples)
        online = loader_sets.online_set(dataset, scratch)
        arrays = scratch / "arrays"
        loader_sets.write_arrays(dense, arrays)
        loader_sets.write_samples(arrays, scratch / "samples.tar", min(SAMPLE_RECORDS, examples))
        base = {
            "seed": 0,
            "batch": arguments.batch,
            "examples": examples,
            "seconds": arguments.seconds,
            "seq_len": dense.meta.seq_len,
            "ignored": dense.meta.ignore_label_id,
            "arrays": str(arrays),
            "samples": str(scratch / "samples.tar"),
            "workers": 0,
            "threads": 0,
            "widen": "host",
        }
        sets = {"dense": dense.path, "arrays": arrays}
        if online is not None:
            sets["online"] = online.path
        _warm(scratch, *sets.values())
        load_before = os.getloadavg()
        results = _measure(base, sets, arguments.repeats)
        resume = _measure_resume(base, dense, arguments.repeats)
        stored, payload = loader_sets.stored_and_payload(dense)
        published, small = loader_sets.published_and_online(dataset) or (0, 0)
        variants = dataset.meta.augmentation.get("count", 0)
        report = {
            "data": {
                "kind": dense.meta.kind,
                "fingerprint": dense.meta.fingerprint,
                "examples": dense.split("train").examples,
                "online_bytes": small,
                "published_bytes": published,
            },
            "batch": arguments.batch,
            "repeats": arguments.repeats,
            "readers": results,
            "targets": loader_targets.checks(
                dense.meta.kind,
                results,
                resume_ms=resume,
                size=stored / payload,
                smaller=published / small if small and variants >= PUBLISHED_VARIANTS else None,
            ),
        }
        report["machine"]["load_before_and_after"] = [*load_before, *os.getloadavg()]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    loader_targets.show(report)
    packages = ["torch", "numpy", "webdataset", "xxhash"]
    write_results(arguments.output, "benchmarks.loader", argv, packages, report)
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="python -m benchmarks.loader",
        description="Compare this loader with its peers on one Sudoku or ARC data set.",
    )
    parser.add_argument(
        "dir", type=Path, metavar="DIR", help="a Sudoku or ARC data set, online or dense"
    )
    parser.add_argument(
        "--dense", type=Path, metavar="DIR", help="the same dense (default: made of DIR)"
    )
    parser.add_argument(
        "--examples", type=positive, help="read per run (default 1,000,000, of ARC 400,000)"
    )
    parser.add_argument("--batch", type=positive, default=768, help="default %(default)s")
    parser.add_argument("--repeats", type=positive, default=3, help="default %(default)s")
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
    base: dict[str, Any], sets: dict[str, Path], repeats: int
) -> dict[str, dict[str, float]]:
    chosen = {name: run for name, run in RUNS.items() if run[1] in sets}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in chosen}
    for turn in range(repeats):
        for name, (reader, which, settings) in chosen.items():
            print(f"  round {turn + 1}/{repeats}: {name}", flush=True)
            job = {**base, "reader": reader, "path": str(sets[which]), **settings}
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


def _warm(*folders: Path) -> None:
    """Everything into the page cache, so that no reader pays for the disk."""
    for folder in folders:
        for file in folder.rglob("*"):
            if file.is_file():
                with file.open("rb") as stream:
                    while stream.read(1 << 24):
                        pass


if __name__ == "__main__":
    run_cli(main)
