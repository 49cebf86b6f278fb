"""One rank of ``python -m benchmarks.table``."""

from __future__ import annotations

import gc
import json
import os
import re
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from hrm_scale.base.errors import EnvironmentProblem
from hrm_scale.base.worker_exit import reported_once
from hrm_scale.engine import Engine, PlainEngine
from hrm_scale.optim.open_table import open_table
from hrm_scale.optim.puzzle_table import PuzzleTable

WARM_UP = 3
LR, DECAY = 1e-2, 0.1


@dataclass(frozen=True)
class Job:
    """What to measure; `busy` is the share of slots that keep their example at each step."""

    placement: str
    folder: str
    rows: int
    width: int
    batch: int
    busy: float
    steps: int
    device: str


@dataclass(frozen=True)
class Step:
    """A step of this rank's B slots: `offered` on the host, the rest on the device."""

    offered: np.ndarray
    ids: Tensor
    fresh: Tensor
    grads: Tensor


class Collectives(TorchDispatchMode):
    """Counts the collectives that are started inside."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func.namespace == "c10d"
        return func(*args, **(kwargs or {}))


def run(values: dict[str, Any]) -> None:
    """Measure as one of the ranks that the environment names; leaves figures and rows as files.

    Raises EnvironmentProblem when a rank has no GPU of its own.
    """
    job = Job(**values)
    gpus, ranks = torch.cuda.device_count(), int(os.environ["WORLD_SIZE"])
    if gpus < ranks and job.device != "cpu" and (gpus or job.device == "cuda"):
        with reported_once():
            raise EnvironmentProblem(
                f"{ranks} ranks need a GPU each, this machine has {gpus}: type --device cpu, or"
                " fewer --ranks"
            )
    engine = PlainEngine(job.device)
    figures, sample = measure(job, engine)
    stem = Path(job.folder) / f"{job.placement}-{engine.rank}"
    np.save(stem.with_suffix(".npy"), sample.cpu().numpy())
    stem.with_suffix(".json").write_text(json.dumps(figures))
    engine.close()


def measure(job: Job, engine: Engine) -> tuple[dict[str, Any], Tensor]:
    """Figures of this rank, and the sampled rows after the last step."""
    steps, sampled = walk(job, engine)
    for _ in range(2):  # buffers of the process group are not the table's
        exchanged(engine, steps[0].ids, steps[0].grads)
        engine.scatter_rows(torch.zeros(job.batch, job.width).int().to(engine.device))
    gc.collect()
    before = forget_peaks(engine.device)
    table = open_table(job.placement, job.rows, job.width, engine.device, engine)
    lo, hi = table.owned
    # Rows that are written take memory, which zeros would not; one row repeated takes none here.
    table.load_rows(torch.linspace(-1, 1, job.width).expand(hi - lo, job.width))
    times = [timed(engine, table, step) for step in steps[:-1]][WARM_UP:]
    peaks = {name: value - before[name] for name, value in peak_memory(engine.device).items()}
    with Collectives() as collectives:
        work(engine, table, steps[-1])
    figures = {
        **peaks,
        "kept_bytes": (hi - lo) * job.width * 4,
        "median_s": statistics.median(times),
        "min_s": min(times),
        "wire_bytes": wire_bytes(job, engine.ranks),
        "link_bytes": link_bytes(job, engine.ranks),
        "collectives": collectives.count,
        "sampled": len(sampled),
        "device": device_name(engine.device),
    }
    return figures, table.lookup(sampled)


def walk(job: Job, engine: Engine) -> tuple[list[Step], Tensor]:
    """The steps of this rank, the same slots for every placement, and rows to compare in the end:
    up to 4096 of those that moved, and as many drawn from all."""
    generator = np.random.default_rng(0)
    mine = slice(*(job.batch // engine.ranks * rank for rank in (engine.rank, engine.rank + 1)))
    ids = np.zeros(job.batch, dtype=np.int32)
    steps, moved = [], []
    for number in range(WARM_UP + job.steps + 1):
        offered = generator.integers(job.rows, size=job.batch, dtype=np.int32)
        fresh = generator.random(job.batch) >= (job.busy if number else 0.0)
        grads = generator.standard_normal((job.batch, job.width), dtype=np.float32)
        ids = np.where(fresh, offered, ids)
        moved.append(ids)
        on_device = (
            torch.from_numpy(array[mine].copy()).to(engine.device) for array in (ids, fresh, grads)
        )
        steps.append(Step(offered[mine].copy(), *on_device))
    some = np.unique(np.concatenate(moved))
    sample = np.concatenate(
        [generator.permutation(some)[:4096], generator.integers(job.rows, size=4096)]
    )
    return steps, torch.from_numpy(sample.astype(np.int32)).to(engine.device)


def timed(engine: Engine, table: PuzzleTable, step: Step) -> float:
    """Seconds of a step of the table, all ranks starting together."""
    engine.gather_objects(None)
    synchronize(engine.device)
    start = time.perf_counter()
    work(engine, table, step)
    synchronize(engine.device)
    return time.perf_counter() - start


def work(engine: Engine, table: PuzzleTable, step: Step) -> None:
    table.offer([step.offered])
    table.gather(0, step.ids, step.fresh)
    table.update(*exchanged(engine, step.ids, step.grads), LR, DECAY)


def exchanged(engine: Engine, ids: Tensor, grads: Tensor) -> tuple[Tensor, Tensor]:
    """Those of all ranks, in one collective, as the training step exchanges them."""
    if engine.ranks == 1:
        return ids, grads
    rows = engine.gather_rows(torch.cat((ids.view(torch.float32).unsqueeze(1), grads), dim=1))
    return rows[:, 0].contiguous().view(torch.int32), rows[:, 1:]


def wire_bytes(job: Job, ranks: int) -> int:
    """What a rank receives from others in a step, when each piece travels once."""
    row, theirs = 4 * job.width, job.batch // ranks * (ranks - 1)
    gradients = theirs * (4 + row)
    gathered = theirs * (4 + row) if job.placement == "sharded" else 0
    return gradients + gathered


def link_bytes(job: Job, ranks: int) -> int:
    """What travels between a GPU and host memory in a step: offered rows there, signs (one byte
    each) and identifiers back."""
    if job.placement != "host":
        return 0
    return job.batch // ranks * (4 + 4 * job.width) + job.batch * (8 + job.width)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {dist_name()}"
    return f"CPU, {torch.get_num_threads()} threads a rank, {dist_name()}"


def dist_name() -> str:
    return dist.get_backend() if dist.is_initialized() else "one process"


def forget_peaks(device: torch.device) -> dict[str, int]:
    """Begin to record peaks anew; returns what is in use now."""
    # 5 resets VmHWM; where the system forbids it the peak before the table counts too.
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        torch.cuda.reset_peak_host_memory_stats()
    return peak_memory(device)


def peak_memory(device: torch.device) -> dict[str, int]:
    """Most resident memory of this process, and on a GPU of allocated and of pinned memory."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    resident = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    assert resident is not None
    peaks = {"peak_bytes": int(resident[1]) * 1024, "device_bytes": 0, "pinned_bytes": 0}
    if device.type == "cuda":
        peaks["device_bytes"] = torch.cuda.max_memory_allocated(device)
        host = torch.cuda.host_memory_stats()
        peaks["pinned_bytes"] = host.get("allocated_bytes.peak", 0)
    return peaks
