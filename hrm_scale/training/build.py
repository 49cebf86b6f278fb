"""Putting a run together: from a validated configuration to a Trainer, restored if there is one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import torch

from hrm_scale.base.batch_shape import BatchShape
from hrm_scale.base.errors import ConfigError, HrmError
from hrm_scale.base.machine import GIB, require_memory
from hrm_scale.base.worker_exit import reported_once
from hrm_scale.checkpoint import CheckpointManager, LoadedCheckpoint, Ranks, mark_best
from hrm_scale.config.data_build import build_hint
from hrm_scale.config.saved import to_dict, to_yaml
from hrm_scale.config.schema import RunConfig
from hrm_scale.data import MOST_NARROW, Dataset, Loader, RemoteOptions, open_dataset
from hrm_scale.data.addresses import default_cache_folder
from hrm_scale.engine import Engine, open_engine
from hrm_scale.modelling import model_config, require_rows
from hrm_scale.models import ActModel, ModelConfig, build_model
from hrm_scale.models.attention import resolve_backend as resolve_attention
from hrm_scale.models.flops import remaining_flops
from hrm_scale.optim.choose import make_optimizer, refuse_sharded
from hrm_scale.optim.open_table import open_table
from hrm_scale.optim.puzzle_table import PuzzleTable
from hrm_scale.reporting import Reporter, open_reporter, render_banner
from hrm_scale.training.clock import Clock
from hrm_scale.training.decisions import Reasons, machine_rows, parameters_of, start_rows
from hrm_scale.training.early_stopping import EarlyStopping
from hrm_scale.training.evaluating import Evaluating
from hrm_scale.training.guards import Guard
from hrm_scale.training.horizon import Horizon, plan_horizon
from hrm_scale.training.initial_weights import start_from
from hrm_scale.training.parts import RunParts
from hrm_scale.training.performance import resolve_compile
from hrm_scale.training.resuming import changed_since, dtype_notes, find_checkpoint, with_dtype
from hrm_scale.training.saving import Saving, disk_warning
from hrm_scale.training.snapshot import TrainState, evaluations_done, load_model, put_back
from hrm_scale.training.stop import StopRequest
from hrm_scale.training.trainer import Trainer
from hrm_scale.training.watch import Watch, lock_run


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
    # Every process finds the same fault, and none can speak with the others yet.
    with reported_once():
        return open_engine(
            device=run.engine.device,
            deepspeed=run.engine.deepspeed,
            global_batch_size=run.global_batch_size,
            accumulation=run.engine.accumulation,
            bf16_forward=run.arch.forward_dtype != "float32",
            timeout=timedelta(minutes=run.engine.timeout_minutes),
        )


def _build(
    run: RunConfig, presets: dict[str, str], engine: Engine, dtype: tuple[str, str]
) -> Trainer:
    """dtype: `arch.forward_dtype` as given, and the reason for what it became."""
    first = engine.rank == 0
    refuse_sharded(run.optimizer, getattr(engine, "stage", 0), engine.reason)
    shape = BatchShape(run.global_batch_size, run.engine.accumulation, engine.ranks)
    dataset = open_data(run)
    loader = open_loader(run, dataset, engine)
    if (size := run.evaluation.batch_size) is not None:
        BatchShape(size, 1, engine.ranks, ("evaluation.batch_size", ""))
    config, horizon, reasons = _plan(run, dataset, engine, dtype[1])

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
    model, table, optimizer = _model(run, config, dataset, engine)
    initial = None
    if found is not None:
        load_model(found, model, table, run.global_batch_size, run.optimizer)
    elif run.init_from is not None:
        initial = start_from(run, model, table, dataset)
        notes += initial.notes
    _require_one_dtype(run, engine, dtype[0])
    engine.prepare(model, optimizer, run.ema_rate if run.ema else None)

    if first:
        (run_dir / "config.yaml").write_text(to_yaml(run), encoding="utf-8")
    reporter = _reporter(run, run_dir, found, first)
    clock, state = Clock(), TrainState()
    steps = horizon.total_steps if horizon.limit != "max_time" else None
    stall = run.guards.stall_minutes
    parts = RunParts(
        config=run,
        run_dir=run_dir,
        shape=shape,
        horizon=horizon,
        engine=engine,
        model=model,
        table=table,
        dataset=dataset,
        loader=loader,
        reporter=reporter,
        watch=Watch(
            run_dir,
            engine.rank,
            steps,
            None if stall is None else 60 * stall,
            lambda: _eta_seconds(run, config, horizon, clock, state.step),
        ),
        clock=clock,
        guard=Guard(run.guards, engine, run_dir, reporter.warn),
        early=EarlyStopping(run.early_stopping),
        state=state,
    )
    if found is not None:
        notes += _restore(parts, checkpoints, found, dtype[0])
    reporter.start(state.step, steps)
    if first and (warning := disk_warning(run_dir, _estimated_bytes(parts))):
        notes.append(warning)
    for note in notes:
        reporter.warn(note)
    parts.watch.begin(state.step)
    rows = start_rows(parts, presets, found) + ([] if initial is None else [initial.row])
    rows += [*machine_rows(parts, reasons), ("run folder", str(run_dir), "")]
    reporter.say(*render_banner("hrm_scale train", rows).split("\n"))
    limit = {} if run.max_time is None else {"elapsed": lambda: clock.total_seconds}
    stop = StopRequest(run_dir if first else None, max_seconds=run.max_time, **limit)
    return Trainer(parts, Saving(parts, checkpoints), Evaluating(parts), stop, lock)


def _plan(
    run: RunConfig, dataset: Dataset, engine: Engine, dtype_reason: str
) -> tuple[ModelConfig, Horizon, Reasons]:
    """The model's shape, the length of the run, and why this machine computes them so."""
    config = model_config(
        run.arch,
        dataset.meta,
        attention=run.engine.attention,
        compiled=False,
        activation_checkpointing=run.engine.activation_checkpointing,
    )
    _require_room(run, config, engine)
    horizon = plan_horizon(run, dataset.epoch_examples("train"), config)
    compiled, compile_reason = resolve_compile(
        run.engine.compile, engine.device, horizon.total_steps
    )
    attention, attention_reason = _attention(config, engine.device)
    config = replace(config, compile=compiled, attention=attention)
    return config, horizon, Reasons(dtype_reason, attention_reason, compile_reason)


def _model(
    run: RunConfig, config: ModelConfig, dataset: Dataset, engine: Engine
) -> tuple[ActModel, PuzzleTable | None, torch.optim.Optimizer]:
    """A fresh model and table on the engine's device, and the optimizer of the model."""
    torch.manual_seed(run.seed)
    model = build_model(config).to(engine.device)
    table = None
    if config.puzzle_emb_ndim:
        table = open_table(
            run.engine.puzzle_table,
            dataset.meta.num_puzzle_identifiers,
            config.puzzle_emb_ndim,
            engine.device,
            engine,
        )
    optimizer = make_optimizer(
        model.named_parameters(),
        engine.device,
        name=run.optimizer,
        betas=(run.beta1, run.beta2),
        weight_decay=run.weight_decay,
    )
    return model, table, optimizer


def _require_one_dtype(run: RunConfig, engine: Engine, asked: str) -> None:
    # Preparing is a collective of its own: nobody may be missing.
    if len(dtypes := set(engine.gather_objects(run.arch.forward_dtype))) > 1:
        raise ConfigError(
            f"arch.forward_dtype={asked} is {' and '.join(sorted(dtypes))} on different"
            " processes, whose machines differ: type arch.forward_dtype=float32"
        )


def _reporter(
    run: RunConfig, run_dir: Path, found: LoadedCheckpoint | None, first: bool
) -> Reporter:
    return open_reporter(
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


def _restore(
    parts: RunParts, checkpoints: CheckpointManager, found: LoadedCheckpoint, asked_dtype: str
) -> list[str]:
    """Put the run where the checkpoint was, after `load_model`; returns notes for the user."""
    run, engine, early = parts.config, parts.engine, parts.early
    notes = changed_since(found, run)
    notes += dtype_notes(found, asked_dtype, run.arch.forward_dtype, engine.device)
    dtype = parts.model.config.forward_dtype
    put_back(found, engine, parts.table, parts.state, parts.shape, dtype)
    parts.state.position = parts.loader.resume(found.state["data"])
    parts.clock.load_state_dict(found.state["clock"])
    parts.guard.load_state_dict(found.state["guards"])
    early.load_state_dict(found.state["early_stopping"])
    checkpoints.last_path = found.path
    if engine.rank == 0:
        # A kill may have come between a save and its mark.
        notes += mark_best(parts.run_dir, None if early.best is None else early.best_step)
    return notes


def _eta_seconds(
    run: RunConfig, model: ModelConfig, horizon: Horizon, clock: Clock, step: int
) -> float | None:
    """Wall seconds to the end of the run; None while unknown, and where only max_time ends it."""
    if horizon.limit == "max_time":
        return None
    total, curriculum = horizon.total_steps, run.arch.depth_curriculum != "off"
    work = remaining_flops(model, run.global_batch_size, step, total, curriculum)
    return clock.eta_seconds(total - step, work)


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


def _estimated_bytes(parts: RunParts) -> int:
    """Size of a checkpoint before the first: fp32 parameters, two moments, the averages if there
    are any, and the table."""
    copies, table = 4 if parts.config.ema else 3, parts.table
    stored = 4 * table.num_identifiers * table.width if table else 0
    return 4 * copies * parameters_of(parts.model) + stored


def _attention(config: ModelConfig, device: torch.device) -> tuple[str, str]:
    try:
        return resolve_attention(config.attention, device, config.forward_dtype, config.total_len)
    except ValueError as error:
        raise ConfigError(f"engine.attention: {error}; type engine.attention=auto") from None


def open_data(run: RunConfig) -> Dataset:
    """The data set of a run. DataError or EnvironmentProblem when it cannot be opened."""
    data = run.data
    options = RemoteOptions(
        cache_bytes=int(data.cache_gb * GIB),
        retry_seconds=60 * data.retry_minutes,
        threads=data.downloads,
        cache=default_cache_folder() if data.cache is None else Path(data.cache),
    )
    return open_dataset(run.data_path, options, missing=build_hint(run))


def open_loader(run: RunConfig, dataset: Dataset, engine: Engine) -> Loader:
    """Training batches for this process. ConfigError or DataError, as `Loader`."""
    data, widen = run.data, run.data.widen
    if widen == "auto":
        fits = dataset.meta.vocab_size <= MOST_NARROW
        widen = "device" if fits and engine.device.type == "cuda" else "host"
    return Loader(
        dataset,
        "train",
        seed=run.seed,
        global_batch_size=run.global_batch_size,
        accumulation=run.engine.accumulation,
        rank=engine.rank,
        ranks=engine.ranks,
        window=None if data.window == "all" else data.window,
        threads=data.threads,
        prefetch=data.prefetch,
        on_error=data.on_error,
        verify=data.verify,
        sampling=data.sampling,
        # One iteration of the published trainer lasts until it evaluates.
        reference_epochs=run.eval_interval or 1,
        widen=widen,
    )
