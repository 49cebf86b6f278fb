"""Train the same run on every engine and compare what is learned.

``python -m benchmarks.parity.engines`` prints, for each engine, accumulation and forward dtype,
the largest differences of losses, parameters, moments, averaged weights and puzzle table after 20
steps with halting, against one process without DeepSpeed, and exits 1 when one is beyond its bound.

In float32 the single process takes the whole batch at once. In bfloat16 it takes the same
micro-batches one after the other: the sum of a gradient over the rows of a micro-batch is rounded
to bf16, so another cut of the batch gives other numbers on any engine.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from benchmarks.parity.engine_cases import BATCH, CASES, STEPS, Case, run_case, start_checkpoint
from benchmarks.tiny.data_sets import write_grouped
from benchmarks.tiny.runs import metrics_of, tensors_of
from hrm_scale.checkpoint import read_checkpoint

BOUND = 1e-5
KINDS = ("loss", "parameters", "moments", "averages", "table")


def differences(one: Path, other: Path) -> dict[str, float]:
    """Largest absolute difference of each kind between two runs; exact halting counts."""
    found = dict.fromkeys(KINDS, 0.0)
    for a, b in zip(metrics_of(one), metrics_of(other), strict=True):
        for name in a:
            if name.startswith("train/"):
                found["loss"] = max(found["loss"], abs(a[name] - b[name]))
    ours, theirs = tensors_of(one), tensors_of(other)
    kinds = {"model": "parameters", "optimizer": "moments", "puzzle_table": "table"}
    kinds["ema"] = "averages"
    for name, tensor in ours.items():
        part = name.split("/")[0].split("-")[0]
        if part in kinds:
            gap = float((tensor.float() - theirs[name].float()).abs().max())
            found[kinds[part]] = max(found[kinds[part]], gap)
    return found


def halted_early(run: Path) -> float:
    """Mean ACT steps of finished rows, over the run: below the maximum of 4 when halting works."""
    lines = [line for line in metrics_of(run) if line.get("train/count")]
    return sum(line["train/steps"] for line in lines) / len(lines)


class Table:
    """Runs cases against their single-process counterparts, each made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = write_grouped(folder / "data", [[8]] * 12)
        self._starts: dict[str, Path] = {}
        self._singles: dict[tuple[str, int], Path] = {}

    def start(self, dtype: str) -> Path:
        if dtype not in self._starts:
            self._starts[dtype] = start_checkpoint(self.data, self.folder, dtype)
        return self._starts[dtype]

    def single(self, dtype: str, accumulation: int) -> Path:
        key = (dtype, accumulation)
        if key not in self._singles:
            run = self.folder / f"single-{dtype}-{accumulation}"
            self._singles[key] = run_case(
                None, self.data, self.start(dtype), run, accumulation=accumulation, dtype=dtype
            )
        return self._singles[key]

    def row(self, case: Case, accumulation: int, dtype: str) -> tuple[dict[str, float], Path]:
        name = f"{case.name}-{accumulation}-{dtype}".replace(" ", "-")
        run = run_case(
            case,
            self.data,
            self.start(dtype),
            self.folder / name,
            accumulation=accumulation,
            dtype=dtype,
        )
        slices = 1 if dtype == "float32" else accumulation * case.ranks
        return differences(self.single(dtype, slices), run), run


def refused(case: Case, table: Table) -> str:
    """The message for bf16 parameters with stage 0."""
    import json

    from hrm_scale.base.batch_shape import BatchShape
    from hrm_scale.base.errors import ConfigError
    from hrm_scale.engine import zero_config

    settings = json.loads(
        json.dumps({"zero_optimization": case.deepspeed, "bf16": {"enabled": True}})
    )
    shape = zero_config.Shape(BatchShape(BATCH, 1, case.ranks), bf16_forward=True, on_cpu=True)
    try:
        zero_config.complete(settings, "DeepSpeed settings", shape)
    except ConfigError as error:
        return str(error)
    raise AssertionError("bf16 parameters with stage 0 were not refused")


def main() -> int:
    begun, missed = time.monotonic(), 0
    print(f"{STEPS} steps, global batch {BATCH}; largest differences from one process")
    print(f"{'engine':18} {'accumulation':>12} {'forward':>9}" + "".join(f"{k:>12}" for k in KINDS))
    with tempfile.TemporaryDirectory() as scratch:
        table = Table(Path(scratch))
        for dtype in ("float32", "bfloat16"):
            for case in CASES:
                for accumulation in (1, 4):
                    found, run = table.row(case, accumulation, dtype)
                    ok = max(found.values()) <= BOUND
                    missed += not ok
                    numbers = "".join(f"{found[kind]:12.1e}" for kind in KINDS)
                    note = ""
                    if case.stage == 3:
                        note = f"  {(run / 'gathers.txt').read_text()} gathers of parameters"
                    verdict = "ok" if ok else "MISS"
                    print(
                        f"{case.name:18} {accumulation:12} {dtype:>9}{numbers}  {verdict}{note}",
                        flush=True,
                    )
        print(
            f"mean ACT steps of finished rows: {halted_early(table.single('float32', 1)):.2f} of 4"
        )
        moments = read_checkpoint(table.single("float32", 1)).part("optimizer")
        print(f"compared {len(moments)} moments a run")
        print(f"ZeRO-0 with bf16 parameters: refused: {refused(CASES[2], table)}")
    print(
        f"{'all agree' if not missed else f'{missed} MISSED'} in {time.monotonic() - begun:.0f} s"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
