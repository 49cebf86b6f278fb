"""Putting a run together: from a validated configuration to a Trainer, restored if there is one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from hrm_scale.base.errors import ConfigError, HrmError
from hrm_scale.base.machine import launcher_number, require_memory
from hrm_scale.checkpoint import CheckpointManager, Ranks, mark_best
from hrm_scale.config.saved import to_dict, to_yaml
from hrm_scale.config.schema import RunConfig
from hrm_scale.engine import Engine, open_engine
from hrm_scale.modelling import dataset_facts, model_config, require_rows
from hrm_scale.models import ModelConfig, build_model
from hrm_scale.models.attention import resolve_backend as resolve_attention
from hrm_scale.models.flops import remaining_flops
from hrm_scale.optim.choose import make_optimizer, refuse_sharded
from hrm_scale.optim.open_table import open_table
from hrm_scale.optim.puzzle_table import PuzzleTable
from hrm_scale.reporting import open_reporter, render_banner
from hrm_scale.training.clock import Clock
from hrm_scale.training.compilation import resolve_compile
from hrm_scale.training.decisions import machine_rows, start_rows
from hrm_scale.training.disk import disk_warning
from hrm_scale.training.early_stopping import EarlyStopping
from hrm_scale.training.evaluating import Evaluating
from hrm_scale.training.guards import Guard
from hrm_scale.training.horizon import Horizon, plan_horizon
from hrm_scale.training.initial_weights import start_from
from hrm_scale.training.loading import open_data, open_loader
from hrm_scale.training.lock import lock_run
from hrm_scale.training.resuming import changed_since, dtype_notes, find_checkpoint, with_dtype
from hrm_scale.training.saving import Saving
from hrm_scale.training.snapshot import TrainState, evaluations_done, load_model, put_back
from hrm_scale.training.stop import StopRequest
from hrm_scale.training.trainer import Trainer
from hrm_scale.training.watch import Watch


def build_trainer(run: RunConfig, presets: dict[str, str]) -> Trainer:
    """All parts of a run in place, at its newest valid checkpoint if it resumes.

    With several processes each calls this. Raises ConfigError, DataError or CheckpointError with
    one line when the run cannot start.
    """
    decided, why = with_dtype(run)
    engine = _open(decided)
    try:
        with engine.shared_fate():
            return _build(decided, presets, engine, (run.arch.forward_dtype, why))
    except HrmError:
        # Every rank is here. A process that ends with open connections may be aborted by them.
        engine.close()
        raise


def _open(run: RunConfig) -> Engine:
    try:
        return open_engine(
            device=run.engine.device,
            deepspeed=run.engine.deepspeed,
            global_batch_size=run.global_batch_size,
            accumulation=run.engine.accumulation,
            bf16_forward=run.arch.forward_dtype != "float32",
            timeout=timedelta(minutes=run.engine.timeout_minutes),
        )
    except HrmError as error:
        # Every process finds the same fault, and none can speak with the others yet.
        error.told = launcher_number("RANK", 0) > 0
        raise


def _build(
    run: RunConfig, presets: dict[str, str], engine: Engine, dtype: tuple[str, str]
) -> Trainer:
    """dtype: `arch.forward_dtype` as given, and the reason for what it became."""
    first = engine.rank == 0
    refuse_sharded(run.optimizer, getattr(engine, "stage", 0), engine.reason)
    dataset = open_data(run)
    loader = open_loader(run, dataset, engine)
    _check_evaluation(run, engine)
    config = model_config(
        run.arch,
        dataset.meta,
        attention=run.engine.attention,
        compiled=False,
        activation_checkpointing=run.engine.activation_checkpointing,
    )
    _require_room(run, config, engine)
    horizon = plan_horizon(run, dataset.epoch_examples("train"), config)
    compiled = resolve_compile(run.engine.compile, engine.device, horizon.total_steps)
    attention = _attention(config, engine.device)
    config = replace(config, compile=compiled[0], attention=attention[0])

    assert run.checkpoint_path is not None
    run_dir = Path(run.checkpoint_path)
    lock = lock_run(run_dir) if first else None
    checkpoints = CheckpointManager(
        run_dir,
        run.checkpoint.keep_last,
        Ranks(engine.rank, engine.ranks, engine.gather_objects),
        saving=Ranks(engine.rank, engine.ranks, engine.gather_objects_aside),
    )
    found, notes = find_checkpoint(run, run_dir, checkpoints)

    torch.manual_seed(run.seed)
    model = build_model(config).to(engine.device)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    table = (
        open_table(
            run.engine.puzzle_table,
            dataset.meta.num_puzzle_identifiers,
            config.puzzle_emb_ndim,
            engine.device,
            engine,
        )
        if config.puzzle_emb_ndim
        else None
    )
    optimizer = make_optimizer(
        model.named_parameters(),
        engine.device,
        name=run.optimizer,
        betas=(run.beta1, run.beta2),
        weight_decay=run.weight_decay,
    )
    initial = None
    if found is not None:
        load_model(found, model, table, run.global_batch_size, run.optimizer)
    elif run.init_from is not None:
        initial = start_from(run, model, table, dataset)
        notes += initial.notes
    # Preparing is a collective of its own: nobody may be missing.
    if len(dtypes := set(engine.gather_objects(run.arch.forward_dtype))) > 1:
        raise ConfigError(
            f"arch.forward_dtype={dtype[0]} is {' and '.join(sorted(dtypes))} on different"
            " processes, whose machines differ: type arch.forward_dtype=float32"
        )
    engine.prepare(model, optimizer, run.ema_rate if run.ema else None)

    if first:
        (run_dir / "config.yaml").write_text(to_yaml(run), encoding="utf-8")
    reporter = open_reporter(
        run_dir,
        resume_step=None if found is None else found.step,
        evaluations=None if found is None else evaluations_done(found),
        console_mode=run.log.console,
        wandb_mode=run.log.wandb,
        project=run.project_name or "",
        run_name=run.run_name or "",
        config=to_dict(run),
        is_first=first,
    )
    clock, state = Clock(), TrainState()
    early = EarlyStopping(run.early_stopping)
    guard = Guard(run.guards, engine, run_dir, lambda: saving.last_good(), reporter.warn)
    if found is not None:
        notes += changed_since(found, run)
        notes += dtype_notes(found, dtype[0], run.arch.forward_dtype, engine.device)
        put_back(
            found,
            engine,
            table,
            state,
            accumulation=run.engine.accumulation,
            global_batch=run.global_batch_size,
            dtype=config.forward_dtype,
        )
        state.position = loader.resume(found.state["data"])
        clock.load_state_dict(found.state["clock"])
        guard.load_state_dict(found.state["guards"])
        early.load_state_dict(found.state["early_stopping"])
        checkpoints.last_path = found.path
        if first:
            # A kill may have come between a save and its mark.
            notes += mark_best(run_dir, None if early.best is None else early.best_step)
    steps = horizon.total_steps if horizon.limit != "max_time" else None
    reporter.start(state.step, steps)
    if first and (warning := disk_warning(run_dir, _estimated_bytes(parameters, run.ema, table))):
        notes.append(warning)
    for note in notes:
        reporter.warn(note)
    stall = run.guards.stall_minutes
    watch = Watch(
        run_dir,
        engine.rank,
        state.step,
        steps,
        None if stall is None else 60 * stall,
        lambda: _eta_seconds(run, config, horizon, clock, state.step),
    )
    rows = [
        *start_rows(run, presets, dataset, horizon, found),
        *([] if initial is None else [initial.row]),
        *machine_rows(run, engine, config, parameters, compiled, attention, dtype[1]),
        ("run folder", str(run_dir), ""),
    ]
    reporter.say(*render_banner("hrm_scale train", rows).split("\n"))
    stop = StopRequest(
        run_dir if first else None, max_seconds=run.max_time, elapsed=_elapsed(run, clock)
    )
    evaluating = Evaluating(
        run, horizon, engine, model, table, dataset, reporter, clock, watch, early, state
    )
    saving = Saving(
        run,
        run_dir,
        engine,
        table,
        loader,
        dataset_facts(dataset.meta),
        checkpoints,
        reporter,
        clock,
        watch,
        guard,
        early,
        state,
    )
    return Trainer(
        run,
        run_dir,
        horizon,
        engine,
        model,
        table,
        loader,
        reporter,
        clock,
        watch,
        stop,
        guard,
        evaluating,
        saving,
        state,
        lock,
    )


def _eta_seconds(
    run: RunConfig, model: ModelConfig, horizon: Horizon, clock: Clock, step: int
) -> float | None:
    """Wall seconds to the end of the run; None while unknown, and where only max_time ends it."""
    if horizon.limit == "max_time":
        return None
    total, curriculum = horizon.total_steps, run.arch.depth_curriculum != "off"
    work = remaining_flops(model, run.global_batch_size, step, total, curriculum)
    return clock.eta_seconds(total - step, work)


def _check_evaluation(run: RunConfig, engine: Engine) -> None:
    size = run.evaluation.batch_size
    if size is not None and size % engine.ranks:
        raise ConfigError(
            f"evaluation.batch_size={size} cannot be shared by {engine.ranks} processes: make it a"
            f" multiple of {engine.ranks}"
        )


def _require_room(run: RunConfig, config: ModelConfig, engine: Engine) -> None:
    """Raise EnvironmentProblem for sizes that no setting of this machine could make fit."""
    evaluated = run.evaluation.batch_size or 1
    for key, rows in (
        ("global_batch_size", run.global_batch_size),
        ("evaluation.batch_size", evaluated),
    ):
        require_rows(key, rows, engine.ranks, config, engine.device)
    with torch.device("meta"):
        numbers = sum(parameter.numel() for parameter in build_model(config).parameters())
    require_memory(
        4 * numbers, f"a model of {numbers:,} parameters", "choose a smaller arch.hidden_size"
    )


def _estimated_bytes(parameters: int, averaged: bool, table: PuzzleTable | None) -> int:
    """Size of a checkpoint before the first: fp32 parameters, two moments, the averages if there
    are any, and the table."""
    return (16 if averaged else 12) * parameters + (
        4 * table.num_identifiers * table.width if table else 0
    )


def _elapsed(run: RunConfig, clock: Clock) -> Any:
    return None if run.max_time is None else lambda: clock.total_seconds


def _attention(config: ModelConfig, device: torch.device) -> tuple[str, str]:
    try:
        return resolve_attention(config.attention, device, config.forward_dtype, config.total_len)
    except ValueError as error:
        raise ConfigError(f"engine.attention: {error}; type engine.attention=auto") from None
