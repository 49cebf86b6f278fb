"""Compare the ARC builder with the published one, side by side: python -m benchmarks.arc_build

Every builder runs in a process of its own; wall time, CPU time and peak memory are what the kernel
counts for that process. "Examples" are those of both splits with all variants laid out. The
published builder (`--reference`, a copy of the HRM repository) is called with the same folders.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.provenance import write_results
from hrm_scale.base.command_line import Parser, positive
from hrm_scale.base.errors import HrmError, run_cli

_CALL = """\
import json, sys
import build_arc_dataset as published
published.convert_dataset(published.DataProcessConfig(**json.loads(sys.argv[1])))
"""
_NOT_FULL = re.compile(r"\[Puzzle (.+)\] augmentation not full, only (\d+)")


def main(argv: list[str]) -> int:
    arguments = _parse(argv)
    scratch = Path(tempfile.mkdtemp(prefix="hrm-arc-bench-", dir=arguments.scratch))
    try:
        runs = {}
        for name, storage, count in (
            ("ours, online", "online", arguments.num_aug),
            ("ours, dense", "dense", arguments.num_aug),
            ("ours, online, full", "online", arguments.full_aug),
        ):
            print(f"running: {name}, {count} augmentations ...", flush=True)
            runs[name] = _ours(arguments.dataset_dirs, scratch / "out", storage, count)
        missed: dict[str, list[int]] = {}
        if arguments.reference:
            print(f"running: published, {arguments.num_aug} augmentations ...", flush=True)
            run, found = _published(arguments, scratch / "published")
            runs["published"] = run
            missed = _missed(runs["ours, dense"].pop("incomplete"), found, arguments.num_aug)
        for run in runs.values():
            run.pop("incomplete", None)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    report = {
        "load": os.getloadavg(),
        "runs": runs,
        "missed": missed,
        "targets": _targets(runs),
    }
    _show(report)
    packages = ["numpy", "zstandard", "xxhash"]
    write_results(arguments.output, "benchmarks.arc_build", argv, packages, report)
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="python -m benchmarks.arc_build",
        description="Compare the ARC builder with the published one.",
    )
    add = parser.add_argument
    add("--dataset-dirs", type=Path, nargs="+", required=True, metavar="DIR", help="ARC folders")
    add("--reference", type=Path, metavar="DIR", help="the published HRM repository")
    add("--num-aug", type=positive, default=20, metavar="N", help="default %(default)s")
    add(
        "--full-aug",
        type=positive,
        default=1000,
        metavar="N",
        help="of one more online run; the published builder's cost there is extrapolated from its "
        "cost per example (default %(default)s)",
    )
    add("--scratch", type=Path, metavar="DIR", help="folder for temporary data")
    add("--output", type=Path, metavar="FILE", help="write all numbers as JSON")
    return parser.parse_args(argv)


def _ours(folders: list[Path], out: Path, storage: str, count: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "shards.arc", "--dataset-dirs", *map(str, folders)]
    command += ["--output-dir", str(out), "--num-aug", str(count), "--storage", storage]
    run, _ = _measure(command, dict(os.environ))
    meta = json.loads((out / "dataset.json").read_text())
    splits = meta["extra"]["augmented"]
    run |= {
        "num_aug": count,
        "identifiers": meta["num_puzzle_identifiers"],
        "splits": splits,
        "examples": sum(split["examples"] for split in splits.values()),
        "bytes": _size(out),
        "incomplete": meta["extra"]["tasks"]["incomplete"],
    }
    shutil.rmtree(out)
    return run


def _published(arguments: argparse.Namespace, out: Path) -> tuple[dict[str, Any], dict[str, int]]:
    import numpy as np

    request = {
        "dataset_dirs": [str(folder.resolve()) for folder in arguments.dataset_dirs],
        "output_dir": str(out),
        "num_aug": arguments.num_aug,
    }
    environment = {
        **os.environ,
        "PYTHONPATH": str((arguments.reference / "dataset").resolve()),
        "PYTHONHASHSEED": "0",  # its order depends on it
    }
    run, said = _measure([sys.executable, "-c", _CALL, json.dumps(request)], environment)
    splits = {}
    for split in ("train", "test"):
        arrays = {
            name: np.load(out / split / f"all__{name}.npy", mmap_mode="r")
            for name in ("inputs", "puzzle_identifiers", "group_indices")
        }
        splits[split] = {
            "groups": len(arrays["group_indices"]) - 1,
            "puzzles": len(arrays["puzzle_identifiers"]),
            "examples": len(arrays["inputs"]),
        }
    run |= {
        "num_aug": arguments.num_aug,
        "identifiers": len(json.loads((out / "identifiers.json").read_text())),
        "splits": splits,
        "examples": sum(split["examples"] for split in splits.values()),
        "bytes": _size(out),
    }
    shutil.rmtree(out)
    return run, {name: int(found) for name, found in _NOT_FULL.findall(said)}


def _measure(command: list[str], environment: dict[str, str]) -> tuple[dict[str, Any], str]:
    """Run to the end: seconds, CPU seconds, peak memory of this process, and what it printed."""
    environment = {**environment, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile("w+") as said:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=said, stderr=subprocess.STDOUT, env=environment, text=True
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        output = said.read()
    if process.returncode != 0:
        last = (output.strip().splitlines() or ["no message"])[-1]
        raise HrmError(f"{' '.join(command[:4])} ... failed: {last}")
    return {
        "wall_s": wall,
        "user_s": usage.ru_utime,
        "system_s": usage.ru_stime,
        "peak_mib": usage.ru_maxrss / 1024,
    }, output


def _missed(orbits: dict[str, int], found: dict[str, int], count: int) -> dict[str, list[int]]:
    """Tasks of which the published builder has fewer variants than there are: [there are, found].

    It tries 5 * count random variants of a task and keeps the new ones.
    """
    there = {name: min(orbits.get(name, count + 1), count + 1) for name in found}
    return {name: [there[name], have] for name, have in found.items() if have != there[name]}


def _targets(runs: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    published = runs.get("published")
    if published is None:
        return []
    dense, online = runs["ours, dense"], runs["ours, online, full"]
    scale = online["examples"] / published["examples"]

    def cpu(run: dict[str, Any]) -> float:
        return run["user_s"] + run["system_s"]

    checks = [
        ("online, full: times faster (CPU)", cpu(published) * scale / cpu(online), ">=", 100.0),
        (
            "online, full: times faster (wall)",
            published["wall_s"] * scale / online["wall_s"],
            ">=",
            100.0,
        ),
        ("online, full: times smaller", published["bytes"] * scale / online["bytes"], ">=", 300.0),
        ("dense: times faster (CPU)", cpu(published) / cpu(dense), ">=", 5.0),
        ("dense: times faster (wall)", published["wall_s"] / dense["wall_s"], ">=", 5.0),
        ("dense: of the arrays' size", dense["bytes"] / published["bytes"], "<=", 0.08),
        ("dense: of the peak memory", dense["peak_mib"] / published["peak_mib"], "<=", 1.0),
    ]
    return [
        {
            "what": what,
            "value": value,
            "target": f"{sign} {target:g}",
            "met": value >= target if sign == ">=" else value <= target,
        }
        for what, value, sign, target in checks
    ]


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _show(report: dict[str, Any]) -> None:
    print(
        f"\n{'builder':20}{'aug':>6}{'identifiers':>12}{'examples':>11}{'wall s':>8}{'user s':>8}"
        f"{'us/ex':>8}{'peak MiB':>10}{'MB':>9}"
    )
    for name, run in report["runs"].items():
        print(
            f"{name:20}{run['num_aug']:6}{run['identifiers']:12,}{run['examples']:11,}"
            f"{run['wall_s']:8.2f}{run['user_s']:8.2f}"
            f"{run['wall_s'] / run['examples'] * 1e6:8.2f}{run['peak_mib']:10.0f}"
            f"{run['bytes'] / 1e6:9.2f}"
        )
    if "published" in report["runs"]:
        missed = report["missed"]
        print(f"\nvariants the published builder did not find: {len(missed)} tasks")
        for name, (there, found) in sorted(missed.items()):
            print(f"  {name}: {found} of {there}")
        print(f"\n{'target':36}{'measured':>10}  {'wanted':10}verdict")
    for check in report["targets"]:
        verdict = "met" if check["met"] else "MISSED"
        print(f"{check['what']:36}{check['value']:10.3f}  {check['target']:10}{verdict}")


if __name__ == "__main__":
    run_cli(main)
