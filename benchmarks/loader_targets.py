"""What the figures of `benchmarks.loader` are held against, and how they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Results = Mapping[str, Mapping[str, float]]
# Per kind: times the reference style with a worker, times its best, million online examples/s/core.
WANTED = {"sudoku": (50.0, None, 3.0, 1.5), "arc": (10.0, 4.0, None, 0.8)}
"""Of each kind: times the reference with one worker, its best, webdataset; online of dense."""
_REFERENCE = ("reference style, 0 workers", "reference style, 1 worker")


def _rate(results: Results, *names: str) -> float:
    return max(results[name]["samples_per_s"] for name in names)


def checks(
    kind: str, results: Results, *, resume_ms: float, size: float, smaller: float | None
) -> list[dict[str, Any]]:
    """Every target: what, value, target in words, met or not.

    size: stored bytes of the dense set over those of its columns. smaller: bytes of the published
    arrays over those of the online set, None where there are not as many variants as published.
    """
    shipped, best, peer, online = WANTED[kind]
    ours = _rate(results, "ours", "ours, no thread")
    narrow = _rate(results, "ours, widen on the device", "ours, widen on device, no thread")
    memory = max(row["anonymous_mib"] for name, row in results.items() if name.startswith("ours"))
    found: list[tuple[str, float, str, float | None]] = [
        ("times reference style, 1 worker", ours / _rate(results, _REFERENCE[1]), ">=", shipped),
        ("times reference style, its best", ours / _rate(results, *_REFERENCE), ">=", best),
        (
            "times webdataset, these shards",
            ours / _rate(results, "webdataset, these shards"),
            ">=",
            peer,
        ),
        ("times plain mmap gather", ours / _rate(results, "plain mmap gather"), ">=", 1.3),
        ("times our int32 rate, widen on device", narrow / ours, ">=", 2.0),
        ("ms to first batch after resume", resume_ms, "<=", 25.0),
        ("times payload, size on disk", size, "<=", 1.05),
        ("MiB anonymous beyond torch", memory, "<=", 80.0),
    ]
    if (row := results.get("ours, online, no thread")) is not None:
        found.append(("million online examples/s/core", 1 / row["cpu_us"], ">=", online))
    if smaller is not None:
        found.append(("times smaller than arrays, online", smaller, ">=", 300.0))
    return [
        {
            "what": what,
            "value": value,
            "target": f"{sign} {target:g}",
            "met": value >= target if sign == ">=" else value <= target,
        }
        for what, value, sign, target in found
        if target is not None
    ]


def show(report: Mapping[str, Any]) -> None:
    """Two tables on stdout: the readers, fastest first, and the targets."""
    readers = report["readers"]
    ours = _rate(readers, "ours", "ours, no thread")
    print(
        f"\n{'reader':34}{'samples/s':>12}{'CPU us/ex':>11}{'ours is':>9}{'first ms':>10}"
        f"{'anon MiB':>10}"
    )
    for name, row in sorted(readers.items(), key=lambda item: -item[1]["samples_per_s"]):
        print(
            f"{name:34}{row['samples_per_s']:12,.0f}{row['cpu_us']:11.3f}"
            f"{ours / row['samples_per_s']:8.1f}x{row['first_batch_ms']:10.1f}"
            f"{row['anonymous_mib']:10.0f}"
        )
    disk = report["data"]["online_bytes"], report["data"]["published_bytes"]
    if disk[0]:
        print(
            f"\non disk: online {disk[0] / 2**20:.1f} MiB, the published arrays with all variants "
            f"{disk[1] / 2**20:,.0f} MiB ({disk[1] / disk[0]:.0f} times as much)"
        )
    print(f"\n{'target':38}{'measured':>10}  {'wanted':10}verdict")
    for check in report["targets"]:
        verdict = "met" if check["met"] else "MISSED"
        print(f"{check['what']:38}{check['value']:10.2f}  {check['target']:10}{verdict}")
