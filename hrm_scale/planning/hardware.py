"""Machines to plan for: memory, what of it is not ours, devices, matrix rate and links."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hrm_scale.base.errors import ConfigError, nearest
from hrm_scale.base.machine import cpu_model, memory_bytes, usable_cores

MIB = 1 << 20
GIB = 1 << 30
CPU = "cpu"


@dataclass(frozen=True)
class Hardware:
    """One class of machine. Of GPUs everything here is quoted, not measured.

    `memory` bytes of one device as its driver reports it; `reserve` bytes that a run cannot have:
    CUDA context, fragmentation, compile workspace, on a laptop the display. `gpus` a node, `nodes`.
    `peak_flops` dense bf16 FLOP/s of one device; `bandwidth` bytes/s that one device sends over
    the slowest link of a ring, in one direction; None where there is one device only. `slack`:
    what the process takes beyond what torch allocates, as a share of it.
    """

    name: str
    memory: int
    reserve: int
    gpus: int
    nodes: int
    peak_flops: float
    bandwidth: float | None
    example: str
    link: str
    slack: float = 0.0

    @property
    def is_cpu(self) -> bool:
        return self.name == CPU

    @property
    def usable(self) -> int:
        return self.memory - self.reserve

    @property
    def ranks(self) -> int:
        return self.gpus * self.nodes


# Reserve: users report 0.8 to 1.5 GB for context, fragmentation and workspace, 0.5 to 1 GB for a
# display. Rates: the vendor's dense bf16 figures; laptop parts scaled by tensor cores and
# clock. Links: the vendor's figure, halved where it counts both directions.
_PCIE, _PCIE_RATE = "PCIe 4.0 x16, one direction", 31.5e9
# A ring leaves a node once for each of its adapters.
_NDR, _NDR_RATE = "8 adapters of 400 Gb/s a node, one direction", 400e9
_DISPLAY, _HEADLESS = 2048 * MIB, 1536 * MIB
MACHINES = {
    machine.name: machine
    for machine in (
        Hardware("laptop_8gb", 8188 * MIB, _DISPLAY, 1, 1, 40e12, None, "RTX 4070 laptop", ""),
        Hardware("laptop_12gb", 12282 * MIB, _DISPLAY, 1, 1, 57e12, None, "RTX 4080 laptop", ""),
        Hardware("laptop_16gb", 16376 * MIB, _DISPLAY, 1, 1, 79e12, None, "RTX 4090 laptop", ""),
        Hardware(
            "single_24gb", 24564 * MIB, _HEADLESS, 1, 1, 165e12, _PCIE_RATE, "RTX 4090", _PCIE
        ),
        Hardware(
            "single_80gb", 81559 * MIB, _HEADLESS, 1, 1, 989e12, _PCIE_RATE, "H100 SXM", _PCIE
        ),
        Hardware(
            "h100_8x",
            81559 * MIB,
            _HEADLESS,
            8,
            1,
            989e12,
            450e9,
            "H100 SXM",
            "NVLink 4, one direction",
        ),
        Hardware(
            "h100_multinode",
            81559 * MIB,
            _HEADLESS,
            8,
            2,
            989e12,
            _NDR_RATE,
            "H100 SXM",
            _NDR,
        ),
    )
}


# Peak resident size of `experiment=sudoku_cpu`, less what torch was predicted to allocate, with a
# model of one row and of 64 and 128 rows (docs/memory.md).
_PROCESS, _MALLOC_SLACK = 400 * MIB, 0.25


def gpu_here() -> bool:
    """Whether this machine has a GPU that a run would take."""
    import torch

    return torch.cuda.is_available()


def this_cpu() -> Hardware:
    """The CPU at hand and the memory that is free now. Its matrix rate is not quoted: a plan takes
    real steps."""
    total, available = memory_bytes()
    cores = usable_cores()
    example = f"{cpu_model() or 'CPU'}, {cores} core{'s' if cores != 1 else ''}"
    return Hardware(
        CPU, available or total, _PROCESS, 1, 1, 0.0, None, example, "", slack=_MALLOC_SLACK
    )


def default_machine(gpus: int | None, nodes: int | None) -> str:
    """The machine that is assumed where none is named: a laptop has one GPU, a cluster more."""
    return "h100_8x" if (gpus or 1) * (nodes or 1) > 1 else "laptop_16gb"


def choose_machine(
    name: str | None,
    *,
    vram: float | None = None,
    gpus: int | None = None,
    nodes: int | None = None,
    bandwidth: float | None = None,
) -> Hardware:
    """The machine called `name`, with what is given in its place.

    Without a name that of `default_machine`. `vram` in GiB,
    `bandwidth` in GB/s. Raises ConfigError for an unknown name or a figure that is not positive.
    """
    given = {"--vram": vram, "--gpus": gpus, "--nodes": nodes, "--bandwidth": bandwidth}
    for option, value in given.items():
        if value is not None and not 0 < value < float("inf"):
            raise ConfigError(f"{option} {value:g} is not above 0; allowed: a positive number")
    if name == CPU:
        if typed := [option for option, value in given.items() if value is not None]:
            raise ConfigError(f"hardware=cpu has no GPUs: leave out {', '.join(typed)}")
        return this_cpu()
    if name is not None and name not in MACHINES:
        known = [*MACHINES, CPU]
        raise ConfigError(
            f"hardware={name} (command line) is not known.{nearest(name, known)} Allowed:"
            f" {', '.join(known)}; or give the memory of a GPU: --vram 12"
        )
    machine = MACHINES[name or default_machine(gpus, nodes)]
    changes: dict[str, object] = {}
    if vram is not None:
        changes |= {"memory": round(vram * GIB), "name": f"{vram:g} GiB GPU", "example": "given"}
        if changes["memory"] <= machine.reserve:  # type: ignore[operator]
            raise ConfigError(
                f"--vram {vram:g} leaves nothing beside the {machine.reserve / GIB:.1f} GiB that"
                " the driver and the display take; allowed: more"
            )
    if gpus is not None:
        changes["gpus"] = gpus
    if nodes is not None:
        changes["nodes"] = nodes
        if nodes > machine.nodes == 1:
            changes |= {"bandwidth": _NDR_RATE, "link": _NDR}
    if bandwidth is not None:
        changes |= {"bandwidth": bandwidth * 1e9, "link": "given"}
    machine = replace(machine, **changes)  # type: ignore[arg-type]
    if machine.ranks > 1 and machine.bandwidth is None:
        machine = replace(machine, bandwidth=_PCIE_RATE, link=_PCIE)
    return machine
