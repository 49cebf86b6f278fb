"""Small training runs for tests: their command lines, processes, and what they leave behind."""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.tiny.ranks import clean_process
from hrm_scale.checkpoint import read_checkpoint
from hrm_scale.config.compose import compose
from hrm_scale.models.base import QHead
from hrm_scale.training.build import build_trainer
from hrm_scale.training.trainer import Trainer

ROOT = Path(__file__).resolve().parents[2]

# A float32 model of width 32 on 4x4 boards, about 20 ms a step.
TINY: dict[str, Any] = {
    "epochs": "null",
    "eval_interval": "null",
    "global_batch_size": 8,
    "lr": 1e-3,
    "lr_warmup_steps": 5,
    "arch.hidden_size": 32,
    "arch.num_heads": 2,
    "arch.H_layers": 1,
    "arch.L_layers": 1,
    "arch.H_cycles": 1,
    "arch.L_cycles": 2,
    "arch.puzzle_emb_ndim": 16,
    "arch.halt_max_steps": 4,
    "arch.halt_exploration_prob": 0.5,
    "arch.forward_dtype": "float32",
    "engine.device": "cpu",
    "engine.compile": "false",
    "log.wandb": "off",
    "log.every": 5,
    "log.console": "quiet",
}


def arguments(data: Path, run: Path, **changes: Any) -> list[str]:
    """The command line of a tiny run; `changes` replace settings, `__` standing for a dot."""
    settings = {**TINY, **{name.replace("__", "."): value for name, value in changes.items()}}
    settings = {"data_path": data, "checkpoint_path": run, **settings}
    return [f"{name}={value}" for name, value in settings.items()]


def environment() -> dict[str, str]:
    """One thread, so that runs equal each other bit for bit on any machine."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


# They read and set the environment before they import torch, so they start without it.
LAUNCHERS = ("accelerate.commands.launch", "hrm_scale.launch")


def command(module: str, *args: object) -> list[str]:
    return [sys.executable, "-m", module, *map(str, args)]


def call(module: str, *args: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a module to its end as a user would. All but launchers run as a `Program`."""
    line = command(module, *args)
    if module in LAUNCHERS:
        return subprocess.run(
            line,
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    process = Program(module, *args)
    try:
        out, err = process.communicate(timeout)
    finally:
        process.kill()
    return subprocess.CompletedProcess(line, process.returncode, out, err)


class Program:
    """A module that runs as by `python -m`, in a fork of a process that has imported torch, which
    saves seconds. The methods are those of `subprocess.Popen`."""

    def __init__(self, module: str, *args: object) -> None:
        self._line = command(module, *args)
        self._folder = tempfile.TemporaryDirectory()
        self._streams = [Path(self._folder.name, name) for name in ("stdout", "stderr")]
        self._process = clean_process(_run_module, self._line[2:], environment(), self._streams)
        self._process.start()

    @property
    def returncode(self) -> Any:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(int(self._process.pid or 0), number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
        self._process.join()

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired(self._line, timeout, *self._output())
        return int(self.returncode)

    def communicate(self, timeout: float = 120) -> tuple[str, str]:
        self.wait(timeout)
        return self._output()

    def _output(self) -> tuple[str, str]:
        out, err = (path.read_text() if path.exists() else "" for path in self._streams)
        return out, err


def main_of(module: str) -> Callable[[list[str]], Any]:
    """The `main` of a program that is typed as `python -m MODULE`."""
    folder = (ROOT / Path(*module.split("."))).is_dir()
    return importlib.import_module(f"{module}.cli" if folder else module).main


def _run_module(words: list[str], variables: dict[str, str], streams: list[Path]) -> None:
    """What `python -m WORDS` does, with its output in two files."""
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(variables)
    torch.set_num_threads(1)
    files = [open(path, "w") for path in streams]  # noqa: SIM115
    for number, file in enumerate([open(os.devnull), *files]):  # noqa: SIM115
        os.dup2(file.fileno(), number)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    module, sys.argv = words[0], words
    sys.modules.pop(module, None)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def wait_until(
    condition: Callable[[], bool], process: subprocess.Popen[str] | Program, seconds: float = 120
) -> None:
    """Wait for a condition while the process lives; fail when it ends or time is over first."""
    end = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None:
            out, err = process.communicate()
            raise AssertionError(f"ended with {process.returncode} too early:\n{out}\n{err}")
        if time.monotonic() > end:
            process.kill()
            raise AssertionError(f"nothing happened in {seconds} s")
        time.sleep(0.002)


def saved_steps(run: Path) -> list[int]:
    """Steps of the complete checkpoints of a run."""
    folders = (run / "checkpoints").glob("step-*/manifest.json")
    return sorted(int(path.parent.name.removeprefix("step-")) for path in folders)


def tensors_of(run: Path) -> dict[str, Tensor]:
    """Every tensor of the newest checkpoint of a run, as PART/NAME."""
    checkpoint = read_checkpoint(run)
    return {
        f"{part}/{name}": tensor
        for part, file in checkpoint.parts.items()
        for name, tensor in file.items()
    }


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)


def assert_same_bits(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """The same names, and under each the same dtype, shape and bits."""
    assert set(one) == set(other)
    different = [
        name
        for name in one
        if one[name].dtype != other[name].dtype
        or one[name].shape != other[name].shape
        or not torch.equal(_bytes(one[name]), _bytes(other[name]))
    ]
    assert not different, f"{len(different)} of {len(one)} tensors differ: {different[:5]}"


def metrics_of(run: Path) -> list[dict[str, float]]:
    """The lines of metrics.jsonl without measured times."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [
        {name: value for name, value in json.loads(line).items() if not name.startswith("perf/")}
        for line in lines
    ]


def error_lines(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if line.startswith("error:")]


def stop_lines(stderr: str) -> list[str]:
    """The messages of stops that were asked for: no errors, with the command to continue."""
    return [line for line in stderr.splitlines() if ": stopped after step " in line]


def make_halting_likely(trainer: Trainer) -> None:
    """A fresh halt head never halts by itself; this one starts with opinions, half of them to."""
    head = trainer.parts.model.inner.q_head
    assert isinstance(head, QHead)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        head.weight.copy_(torch.randn(head.weight.shape, generator=generator))
        head.bias.zero_()


def train_here(
    data: Path, run: Path, prepare: Callable[[Trainer], None] | None = None, **changes: Any
) -> Trainer:
    """Train to the end inside this process, after `prepare` has seen the trainer. The run folder
    is free again afterwards."""
    resolved = compose(arguments(data, run, **changes))
    trainer = build_trainer(resolved.run, resolved.presets)
    if prepare is not None:
        prepare(trainer)
    try:
        trainer.run()
    finally:
        trainer.parts.reporter.close()
        if trainer.lock is not None:
            trainer.lock.close()
    return trainer
