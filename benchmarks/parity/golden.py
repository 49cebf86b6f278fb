"""Replay golden cases through the project's own code and compare.

``python -m benchmarks.parity.golden DIR [DIR…]`` prints case, quantity, largest difference,
tolerance and verdict, and exits 1 on any miss. Recorded quantities that no check compares are
listed as skipped, with the reason. All dimensions and hyper-parameters come from the case's JSON.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.parity.cases import Case, Report, load_case
from benchmarks.parity.part_cases import (
    check_adam_atan2,
    check_data_pipeline,
    check_losses,
    check_schedule,
    check_sparse_signsgd,
)
from benchmarks.parity.train_cases import check_eval, check_init, check_train

Check = Callable[[Case, Path], Report]


def check_for(case: Case) -> Check | None:
    """The check that knows this kind of case, by what its JSON holds; None if none does yet."""
    meta = case.meta
    groups = [
        group for group in meta.values() if isinstance(group, dict) and "n_parameters" in group
    ]
    if groups:
        return check_init
    if "config" in meta:
        return check_eval if "batches" in meta["results"] else check_train
    if "rows" in meta:
        return check_schedule
    if "results" in meta and "metadata" in meta["results"]:
        return check_data_pipeline
    if any(name.endswith("stablemax_loss") for name in case.tensors):
        return check_losses
    if "configs" in meta:
        return check_sparse_signsgd if "num_embeddings" in meta["configs"][0] else check_adam_atan2
    return None


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0].startswith("-"):
        print(__doc__)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    failed = unknown = passed = skipped = 0
    print(f"{'case':40} {'quantity':34} {'largest difference':>20} {'tolerance':>12}  verdict")
    for folder in map(Path, arguments):
        cases = sorted(folder.glob("*.json"))
        if not cases:
            print(f"error: no golden case (*.json) in {folder}", file=sys.stderr)
            return 2
        for path in cases:
            case = load_case(path)
            check = check_for(case)
            if check is None:
                print(f"{case.name:40} {'(another architecture)':34} {'':34} not implemented")
                unknown += 1
                continue
            start = time.perf_counter()
            report = check(case, path)
            for row in report.rows.values():
                print(
                    f"{case.name:40} {row.quantity:34} {row.difference:20.3e} {row.tolerance:12.1e}"
                    f"  {'ok' if row.passed else 'MISS'}"
                )
            for quantity, reason in report.skipped.items():
                print(f"{case.name:40} {quantity:34} {'':34} skipped: {reason}")
            skipped += len(report.skipped)
            seconds = time.perf_counter() - start
            print(f"{case.name:40} {'passed' if report.passed else 'FAILED'} in {seconds:.1f} s")
            passed, failed = passed + report.passed, failed + (not report.passed)
    print(
        f"golden cases: {passed} passed, {failed} failed, {unknown} not implemented; "
        f"{skipped} quantities skipped"
    )
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
