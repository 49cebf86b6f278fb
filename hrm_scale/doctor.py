"""Says what this machine has and what a run would use: ``python -m hrm_scale.doctor [--json]``.

Made to be pasted into a bug report: no host name, no user name, no environment variables beside
those that change a run. Ends with a verdict: exit status 0, or 5 when training cannot work here.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import time
from dataclasses import dataclass, field
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrm_scale import __version__
from hrm_scale.base.command_line import Parser
from hrm_scale.base.errors import EXIT_ENVIRONMENT, EXIT_OK, run_cli
from hrm_scale.base.machine import GIB, cpu_model, memory_bytes, native_bfloat16, usable_cores
from hrm_scale.base.untrusted import printable_lines

if TYPE_CHECKING:
    import torch

MIN_DISK_BYTES = 2 * GIB
# A 27 M parameter model with optimizer moments, gradients and activations of a small batch.
MIN_MEMORY_BYTES = 2 * GIB

# Extras that change what a run can do or how fast, and what each is good for.
OPTIONAL = {
    "cuda": "faster attention and optimizer steps on a CUDA GPU",
    "fast": "ARC augmented several times faster",
    "plot": "pictures of a run",
    "s3": "shards from S3 and Google Cloud Storage",
    "web": "pages in the browser",
}


@dataclass
class Report:
    """What was found: sections of named values, what stops a run, and what is worth knowing."""

    sections: dict[str, dict[str, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, section: str, name: str, value: str) -> None:
        self.sections.setdefault(section, {})[name] = value


def examine(folder: Path) -> Report:
    """Look at this machine as a run started in `folder` would find it."""
    report = Report()
    _packages(report)
    _machine(report, folder)
    try:
        import torch
    except Exception as error:  # a broken build can fail in any way
        if "torch is not installed" not in " ".join(report.problems):
            report.problems.append(f"torch does not import ({type(error).__name__}: {error})")
        return report
    device = _devices(report, torch)
    _arithmetic(report, torch, device)
    _backends(report, torch, device)
    _compiler(report, device)
    report.add("tracking", "Weights & Biases", _wandb_mode())
    return report


def _packages(report: Report) -> None:
    version = sys.version_info
    report.add("software", "hrm_scale", __version__)
    report.add("software", "python", platform.python_version())
    if version < (3, 11):
        report.problems.append(f"Python {platform.python_version()} is too old: 3.11 is needed")
    try:
        from packaging.requirements import Requirement

        declared = [Requirement(text) for text in metadata.requires("hrm_scale") or []]
    except (ImportError, metadata.PackageNotFoundError) as error:
        report.problems.append(f"{error.name} is not installed: run ./launch.sh env")
        return
    for requirement in declared:
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        found = _version(requirement.name)
        report.add("software", requirement.name, found or "not installed")
        if found is None:
            report.problems.append(f"{requirement.name} is not installed: run ./launch.sh env")
        elif not requirement.specifier.contains(found, prereleases=True):
            report.notes.append(f"{requirement.name} {found} is installed, expected {requirement}")
    for extra, purpose in OPTIONAL.items():
        for requirement in declared:
            if f'extra == "{extra}"' in str(requirement.marker):
                found = _version(requirement.name) or f"not installed (optional: {purpose})"
                report.add("software", requirement.name, found)


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _machine(report: Report, folder: Path) -> None:
    report.add("machine", "system", f"{platform.system()} {platform.release()}")
    report.add("machine", "processor", cpu_model() or platform.machine())
    report.add("machine", "cores", f"{usable_cores()} usable of {os.cpu_count()}")
    total, available = memory_bytes()
    free = f", {available / GIB:.1f} GiB available" if available else ""
    report.add("machine", "memory", f"{total / GIB:.1f} GiB{free}")
    if available and available < MIN_MEMORY_BYTES:
        report.notes.append(f"only {available / GIB:.1f} GiB of memory available")
    disk = shutil.disk_usage(folder)
    report.add("machine", "disk", f"{disk.free / GIB:.1f} GiB free here")
    if disk.free < MIN_DISK_BYTES:
        report.notes.append(f"only {disk.free / GIB:.1f} GiB of disk left for checkpoints here")
    if not os.access(folder, os.W_OK):
        report.notes.append("this folder is not writable: give checkpoint_path=FOLDER to a run")


def _devices(report: Report, torch: Any) -> torch.device:
    """Name every GPU; return the device that ``engine.device=auto`` takes."""
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU only"
    report.add("devices", "torch build", build)
    if not torch.cuda.is_available():
        report.add("devices", "used by a run", f"cpu, {torch.get_num_threads()} threads")
        if os.environ.get("OMP_NUM_THREADS"):
            report.add("devices", "OMP_NUM_THREADS", os.environ["OMP_NUM_THREADS"])
        if shutil.which("nvidia-smi") and not torch.version.cuda:
            report.notes.append(
                "nvidia-smi is here, but this torch has no CUDA: see HRM_SCALE_TORCH_INDEX"
            )
        return torch.device("cpu")
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
        report.add(
            "devices",
            f"cuda:{index}",
            f"{properties.name}, {total / GIB:.1f} GiB ({free / GIB:.1f} free),"
            f" compute capability {properties.major}.{properties.minor}",
        )
    report.add("devices", "used by a run", "cuda:0 (one GPU per process)")
    return torch.device("cuda", 0)


def _arithmetic(report: Report, torch: Any, device: torch.device) -> None:
    native, why = native_bfloat16(device)
    report.add("arithmetic", "bfloat16", f"{'native' if native else 'emulated'} ({why})")
    rates = {}
    for name in ("float32", "bfloat16"):
        rates[name] = _matrix_rate(torch, device, getattr(torch, name))
        report.add("arithmetic", f"{name} matrices", f"{rates[name]:.0f} GFLOP/s")
    if rates["bfloat16"] < rates["float32"]:
        report.notes.append("bfloat16 is slower than float32 here: arch.forward_dtype=float32")


def _matrix_rate(torch: Any, device: torch.device, dtype: torch.dtype) -> float:
    """GFLOP/s of a square matrix product, best of three after a warm-up."""
    size = 4096 if device.type == "cuda" else 512
    matrix = torch.randn(size, size, device=device).to(dtype)
    best = float("inf")
    for attempt in range(4):
        begun = time.perf_counter()
        matrix @ matrix
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if attempt:
            best = min(best, time.perf_counter() - begun)
    return 2 * size**3 / best / 1e9


def _backends(report: Report, torch: Any, device: torch.device) -> None:
    from hrm_scale.models import attention
    from hrm_scale.optim import adam_atan2

    for name in ("bfloat16", "float32"):
        backend, why = attention.resolve_backend("auto", device, getattr(torch, name))
        report.add("backends", f"attention, {name}", f"{backend}: {why}")
    backend, why = adam_atan2.resolve_backend(device)
    report.add("backends", "AdamATan2", f"{backend}: {why}")


def _compiler(report: Report, device: torch.device) -> None:
    """What torch.compile needs: a C++ compiler for CPU code, Triton for GPU code."""
    compiler = next(
        (c for c in (os.environ.get("CXX"), "g++", "clang++") if c and shutil.which(c)), None
    )
    triton = util.find_spec("triton") is not None
    report.add("backends", "C++ compiler", compiler or "none")
    if device.type == "cuda":
        report.add("backends", "Triton", "installed" if triton else "not installed")
    if compiler is None or (device.type == "cuda" and not triton):
        missing = "a C++ compiler (g++)" if compiler is None else "Triton"
        report.notes.append(
            f"no torch.compile without {missing}: runs are slower, results the same"
        )


def _wandb_mode() -> str:
    from hrm_scale.reporting.wandb_sink import choose_mode

    mode, why = choose_mode("auto", os.environ, _has_wandb_key)
    return f"{mode}: {why}"


def _has_wandb_key() -> bool:
    """Whether there is a key to log in with, where it usually is; importing wandb takes seconds."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return "wandb" in (Path.home() / ".netrc").read_text(encoding="utf-8")
    except (OSError, RuntimeError, UnicodeDecodeError):
        return False


def render(report: Report) -> str:
    """The report for people; the last line is the verdict and what to type next."""
    lines = []
    for section, values in report.sections.items():
        lines.append(section)
        width = max(len(name) for name in values)
        lines += [f"  {name:<{width}}  {value}" for name, value in values.items()]
    lines += [f"note: {note}" for note in report.notes]
    lines += [f"problem: {problem}" for problem in report.problems]
    next_step = "" if report.problems else "; next: ./launch.sh demo"
    lines.append(f"doctor: {verdict(report)}{next_step}")
    return "\n".join(lines)


def verdict(report: Report) -> str:
    """One line: can this machine train?"""
    if report.problems:
        return f"not ready, {len(report.problems)} problem(s) above"
    return "ready" if not report.notes else f"ready, {len(report.notes)} note(s) above"


def main(argv: list[str]) -> int:
    parser = Parser(
        prog="python -m hrm_scale.doctor",
        description="Say what this machine has, what a run would use, and why.",
        epilog="exit status: 0 ready, 5 something needed is missing",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    arguments = parser.parse_args(argv)
    report = examine(Path.cwd())
    if arguments.json:
        document = {"verdict": verdict(report), "ready": not report.problems, **vars(report)}
        print(json.dumps(document, indent=2))
    else:
        print(printable_lines(render(report)))
    return EXIT_ENVIRONMENT if report.problems else EXIT_OK


if __name__ == "__main__":
    run_cli(main)
