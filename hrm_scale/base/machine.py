"""Facts about this machine: cores, memory, processor features, and a clock for all processes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrm_scale.base.errors import ConfigError, EnvironmentProblem

if TYPE_CHECKING:
    import torch

GIB = 1 << 30


def usable_cores() -> int:
    """Cores this process may run on: fewer than the machine has under taskset, SLURM or Docker."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def boot_clock() -> dict[str, Any]:
    """A moment that other processes of this machine can measure from (`seconds_since`), whatever
    becomes of the time of day: JSON values, `boot_id` empty where the system has none."""
    boot = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return {"boot_id": boot, "monotonic": time.monotonic()}


def seconds_since(moment: Mapping[str, Any]) -> float | None:
    """Seconds since a `boot_clock`; None when it is of another machine or an earlier boot."""
    now, then = boot_clock(), moment.get("monotonic")
    if not now["boot_id"] or moment.get("boot_id") != now["boot_id"]:
        return None
    if type(then) is not float or not 0 <= then <= now["monotonic"]:
        return None
    return float(now["monotonic"] - then)


def launcher_number(name: str, default: int) -> int:
    """What a launcher has put into the environment (`RANK`, `WORLD_SIZE`). Raises ConfigError."""
    text = os.environ.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or int(text) >= 1 << 31:
        raise ConfigError(
            f"{name}={text} (environment) is not a whole number, as launchers set it: unset {name}"
        )
    return int(text)


def _cpu_info() -> Iterator[tuple[str, str]]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return
    for line in text.splitlines():
        name, _, value = line.partition(":")
        yield name.strip().lower(), value.strip()


def cpu_model() -> str:
    """The processor's name for people; empty when the system does not tell."""
    return next((value for name, value in _cpu_info() if name == "model name"), "")


def cpu_flags() -> set[str]:
    """The processor's feature flags as Linux names them; empty when the system does not tell."""
    flags: set[str] = set()
    for name, value in _cpu_info():
        if name in ("flags", "features"):
            flags.update(value.split())
    return flags


def bfloat16_flags() -> list[str]:
    """Which of the processor's features compute in bfloat16; without any it is emulated."""
    flags = cpu_flags()
    return [name for name in ("amx_bf16", "avx512_bf16", "sve_bf16", "bf16") if name in flags]


def native_bfloat16(device: torch.device) -> tuple[bool, str]:
    """Whether a device has instructions for bfloat16, and how that is known."""
    if device.type == "cuda":
        from torch.cuda import get_device_capability

        major, minor = get_device_capability(device)
        return major >= 8, f"compute capability {major}.{minor}, native from 8.0"
    if found := bfloat16_flags():
        return True, f"processor has {', '.join(found)}"
    return False, "processor has no bfloat16 instructions" if cpu_flags() else "no CPU flags known"


def require_memory(needed: int, what: str, advice: str) -> None:
    """Raise EnvironmentProblem when `needed` bytes are more than this machine has at hand.

    To be called before they are allocated: Linux promises more memory than there is, and then ends
    the program without a word.
    """
    free = memory_bytes()[1]
    if free and needed > free:
        raise EnvironmentProblem(
            f"{what} takes {needed / GIB:,.1f} GiB of memory, this machine has {free / GIB:.1f} GiB"
            f" at hand: {advice}"
        )


def memory_bytes() -> tuple[int, int]:
    """Total and available memory, the container's limit taken into account; 0 when unknown."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    available = 0
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                available = int(line.split()[1]) << 10
        group = Path("/sys/fs/cgroup")
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        used = int((group / "memory.current").read_text(encoding="ascii"))
        statistics = (group / "memory.stat").read_text(encoding="ascii").splitlines()
        # What the kernel keeps of files gives way to a program.
        used -= sum(
            int(line.split()[1])
            for line in statistics
            if line.startswith(("active_file ", "inactive_file "))
        )
    except (OSError, ValueError):
        return total, available
    if limit.isdigit() and int(limit) < total:
        return int(limit), min(available, int(limit) - used)
    return total, available
