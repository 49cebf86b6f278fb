"""Putting a run together: from a validated configuration to a Trainer, restored if there is one."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from hrm_scale.checkpoint import (
    CheckpointManager,
    LoadedCheckpoint,
    Ranks,
    changed_settings,
    read_checkpoint,
    set_aside_after,
)
from hrm_scale.config.saved import to_dict, to_yaml
from hrm_scale.config.schema import RunConfig
from hrm_scale.data import Dataset, Loader, open_dataset
from hrm_scale.engine import Engine
from hrm_scale.errors import CheckpointError, ConfigError
from hrm_scale.modelling import model_config
from hrm_scale.models import ActModel, ModelConfig, build_model
from hrm_scale.models.attention import resolve_backend as resolve_attention
from hrm_scale.optim.adam_atan2 import make_optimizer
from hrm_scale.optim.adam_atan2 import resolve_backend as resolve_optimizer
from hrm_scale.optim.puzzle_table import PuzzleTable
from hrm_scale.reporting import open_reporter, render_banner
from hrm_scale.training.clock import Clock
from hrm_scale.training.compilation import resolve_compile
from hrm_scale.training.horizon import Horizon, plan_horizon
from hrm_scale.training.lock import lock_run
from hrm_scale.training.snapshot import TrainState, put_back
from hrm_scale.training.stop import StopRequest
from hrm_scale.training.trainer import Trainer


def build_trainer(run: RunConfig, presets: dict[str, str]) -> Trainer:
    """All parts of a run in place, at its newest valid checkpoint if it resumes.

    Raises ConfigError, DataError or CheckpointError with one line when the run cannot start.
    """
    run.check_runnable()
    dataset = open_dataset(run.data_path)
    engine = Engine(run.engine.device)
    if engine.ranks > 1:
        raise ConfigError(
            f"{engine.ranks} processes were launched, this release trains in one: start it with"
            " one process (accelerate launch --num_processes 1)"
        )
    loader = Loader(
        dataset,
        "train",
        seed=run.seed,
        global_batch_size=run.global_batch_size,
        accumulation=run.engine.accumulation,
        rank=engine.rank,
        ranks=engine.ranks,
        window=None if run.data.window == "all" else run.data.window,
        threads=run.data.threads,
        prefetch=run.data.prefetch,
        on_error=run.data.on_error,
        verify=run.data.verify,
    )
    train = dataset.split("train")
    # An epoch shows every group once, by one of its puzzles.
    horizon = plan_horizon(run, train.groups * train.examples / train.puzzles)
    compiled = resolve_compile(run.engine.compile, engine.device, horizon.total_steps)
    config = model_config(
        run.arch, dataset.meta, attention=run.engine.attention, compiled=compiled[0]
    )
    attention = _attention(config, engine.device)
    config = replace(config, attention=attention[0])

    torch.manual_seed(run.seed)
    model = build_model(run.arch.name, config).to(engine.device)
    table = (
        PuzzleTable(dataset.meta.num_puzzle_identifiers, config.puzzle_emb_ndim, engine.device)
        if config.puzzle_emb_ndim
        else None
    )
    optimizer = make_optimizer(
        model.parameters(), engine.device, (run.beta1, run.beta2), run.weight_decay
    )
    engine.prepare(model, optimizer)

    assert run.checkpoint_path is not None
    run_dir = Path(run.checkpoint_path)
    lock = lock_run(run_dir)
    checkpoints = CheckpointManager(run_dir, run.checkpoint.keep_last, Ranks())
    found, notes = _find_checkpoint(run, run_dir, checkpoints)
    clock = Clock()
    state = TrainState()
    if found is not None:
        notes += _check_settings(found, run)
        state = put_back(
            found,
            engine,
            table,
            position=loader.resume(found.state["data"]),
            accumulation=run.engine.accumulation,
            global_batch=run.global_batch_size,
        )
        clock.load_state_dict(found.state["clock"])
        checkpoints.last_path = found.path
    (run_dir / "config.yaml").write_text(to_yaml(run), encoding="utf-8")

    reporter = open_reporter(
        run_dir,
        resume_step=None if found is None else found.step,
        console_mode=run.log.console,
        wandb_mode=run.log.wandb,
        project=run.project_name or "",
        run_name=run.run_name or "",
        config=to_dict(run),
    )
    reporter.start(state.step, horizon.total_steps if horizon.limit != "max_time" else None)
    for note in notes:
        reporter.warn(note)
    rows = [
        *_start_rows(run, presets, dataset, horizon, found),
        *_machine_rows(model, engine, config, compiled, attention),
        ("run folder", str(run_dir), ""),
    ]
    reporter.say(render_banner("hrm_scale train", rows))
    stop = StopRequest(run_dir, max_seconds=run.max_time, elapsed=_elapsed(run, clock))
    return Trainer(
        run,
        run_dir,
        horizon,
        engine,
        model,
        table,
        dataset,
        loader,
        checkpoints,
        reporter,
        clock,
        stop,
        state,
        continue_command(),
        lock,
    )


def continue_command() -> str:
    """What to type to go on with this run: the command that started it."""
    return shlex.join(["python", "-m", "hrm_scale.train", *sys.argv[1:]])


def _elapsed(run: RunConfig, clock: Clock) -> Any:
    return None if run.max_time is None else lambda: clock.total_seconds


def _attention(config: ModelConfig, device: torch.device) -> tuple[str, str]:
    try:
        return resolve_attention(config.attention, device, config.forward_dtype, config.total_len)
    except ValueError as error:
        raise ConfigError(f"engine.attention: {error}; type engine.attention=auto") from None


def _find_checkpoint(
    run: RunConfig, run_dir: Path, checkpoints: CheckpointManager
) -> tuple[LoadedCheckpoint | None, list[str]]:
    """The checkpoint to go on from under ``resume``, verified, and what the user should know."""
    if run.resume not in ("auto", "never", "must"):
        found = read_checkpoint(Path(run.resume))
        if found.path.parent.parent.resolve() == run_dir.resolve():
            set_aside_after(run_dir, found.step)
        return found, []
    path, refusals = checkpoints.latest_valid()
    notes = [f"checkpoint passed over: {refusal}" for refusal in refusals]
    if run.resume == "never":
        if path is not None:
            raise CheckpointError(
                f"{run_dir} already holds {path.name} and resume=never: choose another run_name,"
                " delete the folder, or type resume=auto to go on with it"
            )
        return None, notes
    if path is None:
        if run.resume == "must":
            why = "; ".join(refusals) or "there is none"
            raise CheckpointError(
                f"resume=must, but {run_dir} has no valid checkpoint ({why}): type resume=auto to"
                " start from the beginning"
            )
        if refusals:
            notes.append("no valid checkpoint is left: the run starts from the beginning")
        return None, notes
    return read_checkpoint(path, check="none"), notes


def _check_settings(found: LoadedCheckpoint, run: RunConfig) -> list[str]:
    """One line naming the settings that differ from the checkpoint's, if any do."""
    ignored = ("checkpoint_path", "resume", "project_name", "run_name", "log", "max_time")
    lines = [
        line
        for line in changed_settings(found.config, to_dict(run))
        if not line.split(":")[0].split(".")[0].startswith(ignored)
    ]
    if not lines:
        return []
    return [f"settings differ from those of {found.path.name}: {'; '.join(lines)}"]


def _start_rows(
    run: RunConfig,
    presets: dict[str, str],
    dataset: Dataset,
    horizon: Horizon,
    found: LoadedCheckpoint | None,
) -> list[tuple[str, str, str]]:
    meta = dataset.meta
    train = dataset.split("train")
    samples = horizon.total_steps * run.global_batch_size
    batch = f"{run.global_batch_size}"
    if run.engine.accumulation > 1:
        micro = run.global_batch_size // run.engine.accumulation
        batch = f"{run.global_batch_size} = {run.engine.accumulation} x {micro}"
    start = "from the beginning" if found is None else f"resumed at step {found.step}"
    reason = "no earlier checkpoint" if found is None else str(found.path)
    length = f"{horizon.total_steps} steps" if horizon.limit != "max_time" else "until max_time"
    return [
        ("experiment", presets.get("experiment", "none"), f"arch {run.arch.name}"),
        ("start", start, reason),
        ("data", run.data_path, f"{meta.kind}, {meta.storage}, {train.examples} training examples"),
        ("length", length, f"set by {horizon.limit}; {samples} samples offered"),
        ("global batch", batch, f"refill {run.data.refill}"),
    ]


def _machine_rows(
    model: ActModel,
    engine: Engine,
    config: ModelConfig,
    compiled: tuple[bool, str],
    attention: tuple[str, str],
) -> list[tuple[str, str, str]]:
    count = sum(parameter.numel() for parameter in model.parameters())
    device = engine.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "no CUDA GPU in use"
    return [
        ("parameters", f"{count:,}", "without the puzzle table"),
        (
            "device",
            str(device),
            name if device.type == "cuda" else f"{torch.get_num_threads()} threads",
        ),
        ("forward dtype", str(config.forward_dtype).removeprefix("torch."), "weights stay float32"),
        ("attention", *attention),
        ("optimizer", "AdamATan2", f"{'; '.join(resolve_optimizer(device))}"),
        ("compile", str(compiled[0]).lower(), compiled[1]),
    ]
