"""The training loop. It knows when things happen; how they happen is in the parts it is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch

from hrm_scale.checkpoint import CheckpointManager, CheckpointNotSaved
from hrm_scale.config.schema import RunConfig
from hrm_scale.data import Dataset, Loader
from hrm_scale.engine import Engine
from hrm_scale.errors import Stopped
from hrm_scale.evaluation.evaluate import evaluate
from hrm_scale.modelling import dataset_facts
from hrm_scale.models import ActModel, Draws
from hrm_scale.models.flops import training_flops
from hrm_scale.optim.puzzle_table import PuzzleTable
from hrm_scale.optim.schedule import learning_rate
from hrm_scale.reporting import Reporter
from hrm_scale.training.clock import Clock
from hrm_scale.training.feed import open_feed
from hrm_scale.training.guards import check_finite, disk_warning
from hrm_scale.training.horizon import Horizon
from hrm_scale.training.metrics import reduced_metrics
from hrm_scale.training.performance import peak_flops, peak_memory_bytes
from hrm_scale.training.snapshot import TrainState, slot_range, take
from hrm_scale.training.step import Rates, StepResult, exploration_draws, train_step
from hrm_scale.training.stop import StopRequest


@dataclass
class Trainer:
    """One run, all parts in place. `run()` takes it from `state` to the horizon."""

    config: RunConfig
    run_dir: Path
    horizon: Horizon
    engine: Engine
    model: ActModel
    table: PuzzleTable | None
    dataset: Dataset
    loader: Loader
    checkpoints: CheckpointManager
    reporter: Reporter
    clock: Clock
    stop: StopRequest
    state: TrainState
    continue_command: str
    lock: IO[str] | None

    def run(self) -> None:
        """Train until the horizon, evaluating and saving on the way.

        Raises Stopped, the state saved, when asked to stop; NonFiniteError when the loss is lost.
        """
        config, state, horizon = self.config, self.state, self.horizon
        feed = open_feed(
            config.data.refill,
            self.loader,
            self.engine,
            state.position,
            global_batch=config.global_batch_size,
            accumulation=config.engine.accumulation,
            offer=self.table.offer if self.table else None,
        )
        self.model.train()
        try:
            self._evaluate_if_due()
            while state.step < horizon.total_steps:
                with self.clock.waiting_for_data():
                    batches = feed.next(state.carries)
                if state.carries is None:
                    state.carries = [self.model.initial_carry(batch) for batch in batches]
                result = self._step(batches, start=state.position, stop=feed.position)
                state.carries, state.position = result.carries, feed.position
                state.step += 1
                self.clock.tick(config.global_batch_size)

                if state.step % config.log.every == 0 or state.step == horizon.total_steps:
                    self._log()
                else:
                    self.reporter.advance(state.step)
                evaluated = self._evaluate_if_due()
                reason, minutes_are_up = self._agree()
                save = minutes_are_up or horizon.saves_at(state.step)
                if save or (evaluated and config.checkpoint_every_eval):
                    self._save()
                if reason and state.step < horizon.total_steps:
                    self._stop(reason)
            self._finish()
        finally:
            feed.close()

    def _finish(self) -> None:
        """The last save, and the last evaluation, which is of everything by default."""
        if self.state.evaluated == self.state.step:
            return
        if self.config.checkpoint.at_end:
            self._save(must=True)
        limit = None if self.config.evaluation.full_at_end else self.config.evaluation.limit
        if not self._evaluate(limit):
            self._stop(self.stop.poll() or "interrupted")
        if self.config.checkpoint.at_end:
            self._save(must=True)

    def _step(self, batches: list[dict[str, torch.Tensor]], start: int, stop: int) -> StepResult:
        """One optimizer step on `batches`, at the rates and with the draws of the next step."""
        config, state = self.config, self.state
        step = state.step + 1
        lr, table_lr = (
            learning_rate(
                step,
                base,
                warmup_steps=config.lr_warmup_steps,
                total_steps=self.horizon.total_steps,
                min_ratio=config.lr_min_ratio,
            )
            for base in (config.lr, config.puzzle_emb_lr)
        )

        def check(result: StepResult, gradient_norm: float) -> None:
            # A loss that is not finite on one rank makes the norm so on all: they stop together.
            check_finite(
                step=step,
                positions=(start, stop),
                loss=float(sum(micro.loss for micro in result.micro)),
                gradient_norm=gradient_norm,
                last_checkpoint=self.checkpoints.last_path,
            )

        # Reading the norm makes the host wait for the device: for free on a CPU only.
        checked = self.engine.device.type == "cpu" or step % config.log.every == 0
        assert state.carries is not None
        result = train_step(
            self.engine,
            self.table,
            state.carries,
            batches,
            self._draws(step),
            Rates(lr, table_lr, config.puzzle_emb_weight_decay),
            global_batch_size=config.global_batch_size,
            loss_type=config.arch.loss.loss_type,
            check=check if checked else None,
        )
        for name, value in result.metrics.items():
            value = value.double()
            state.sums[name] = state.sums[name] + value if name in state.sums else value
        state.sum_steps += 1
        self._lr = lr
        return result

    def _draws(self, step: int) -> list[Draws | None]:
        config, device = self.config, self.engine.device
        rand, randint = exploration_draws(
            config.seed, step, config.global_batch_size, config.arch.halt_max_steps
        )
        draws: list[Draws | None] = []
        for micro in range(config.engine.accumulation):
            low, high = slot_range(
                micro,
                self.engine.rank,
                self.engine.ranks,
                config.engine.accumulation,
                config.global_batch_size,
            )
            coins, minimums = torch.from_numpy(rand[low:high]), torch.from_numpy(randint[low:high])
            draws.append(
                Draws(coins.to(device, non_blocking=True), minimums.to(device, non_blocking=True))
            )
        return draws

    def _log(self) -> None:
        """Report the steps since the last report, and start counting anew."""
        config, state, device = self.config, self.state, self.engine.device
        batch = config.global_batch_size
        values = reduced_metrics(self.engine, state.sums, batch * state.sum_steps, self._lr)
        state.sums, state.sum_steps = {}, 0
        values["perf/samples"] = float(state.position)
        values["perf/peak_memory_bytes"] = float(peak_memory_bytes(device))
        if (speed := self.clock.examples_per_second) is not None:
            flops = training_flops(self.model.config, 1) * speed / self.engine.ranks
            values["perf/examples_per_second"] = speed
            values["perf/gflops"] = flops / 1e9
            if (peak := peak_flops(device)) is not None:
                values["perf/mfu"] = flops / peak
        if (wait := self.clock.data_wait_share) is not None:
            values["perf/data_wait"] = wait
        eta = self.clock.eta_seconds(self.horizon.total_steps - state.step)
        if eta is not None and self.horizon.limit != "max_time":
            values["perf/eta_seconds"] = eta
        self.reporter.metrics(state.step, values)

    def _evaluate_if_due(self) -> bool:
        """Evaluate a subset when the present step asks for it and has not had it yet: a process
        that was stopped meanwhile leaves its evaluation to the next one."""
        state = self.state
        due = 0 < state.step < self.horizon.total_steps and self.horizon.evaluates_at(state.step)
        if not due or state.evaluated == state.step:
            return False
        return self._evaluate(self.config.evaluation.limit)

    def _evaluate(self, limit: int | None) -> bool:
        """Evaluate on the test split and report. False when a request to stop ended it early."""
        config = self.config
        if "test" in self.dataset.meta.splits:
            micro = config.global_batch_size // config.engine.accumulation
            with self.clock.paused("evaluation"), self.engine.gathered():
                results = evaluate(
                    self.model,
                    self.table,
                    self.dataset,
                    batch_size=config.evaluation.batch_size or micro,
                    limit=limit,
                    seed=config.evaluation.seed,
                    loss_type=config.arch.loss.loss_type,
                    device=self.engine.device,
                    progress=lambda _: self._agree()[0] is not None,
                    processes=self.engine,
                )
            if results is None:
                return False
            self.reporter.metrics(
                self.state.step, {f"eval/{name}": value for name, value in results.items()}
            )
        self.state.evaluated = self.state.step
        return True

    def _agree(self) -> tuple[str | None, bool]:
        """What all ranks agree on: why to stop, if at all, and whether minutes ask for a save."""
        minutes = self.config.checkpoint.every_minutes
        waited = self.clock.total_seconds - self._saved_at
        due = minutes is not None and waited >= 60 * minutes
        answers: list[int] = []

        def agree(code: int) -> int:
            answers.extend(self.engine.agree(code, int(due)))
            return answers[0]

        reason = self.stop.poll(agree)
        # With several ranks an answer is one call old: the save it asks for may be done by now.
        asked_at = self.state.step if self.engine.ranks == 1 else self._asked_at
        self._asked_at: int = self.state.step
        return reason, bool(answers[1]) and self._saved_step < asked_at

    def _save(self, must: bool = False) -> None:
        """Save a checkpoint. Unless it `must` succeed, a failure is a warning and no more."""
        config, state = self.config, self.state
        with self.clock.paused("checkpoint"):
            self.reporter.sync()
            parts, counters = take(
                self.engine,
                self.table,
                state,
                accumulation=config.engine.accumulation,
                global_batch=config.global_batch_size,
            )
            # Where the loss is not read at every step this is the last moment to notice: a poisoned
            # state must not push out the good checkpoints.
            check_finite(
                step=state.step,
                positions=(state.position - config.global_batch_size, state.position),
                loss=counters["sums"].get("lm_loss", 0.0),
                last_checkpoint=self.checkpoints.last_path,
            )
            document = {
                **counters,
                "command": self.continue_command,
                "data": self.loader.state(state.position),
                "dataset": dataset_facts(self.dataset.meta),
                "clock": self.clock.state_dict(),
            }
            if self.checkpoints.last_bytes and (
                warning := disk_warning(self.run_dir, self.checkpoints.last_bytes)
            ):
                self.reporter.warn(warning)
            try:
                self.checkpoints.save(state.step, parts, document, config.model_dump(mode="json"))
            except CheckpointNotSaved as error:
                if must:
                    raise
                self.reporter.warn(str(error))
        for warning in self.checkpoints.warnings:
            self.reporter.warn(warning)
        self.checkpoints.warnings.clear()
        self._saved_at, self._saved_step = self.clock.total_seconds, state.step

    def _stop(self, reason: str) -> None:
        self._save(must=True)
        raise Stopped(
            f"{reason}: stopped after step {self.state.step}, saved in"
            f" {self.checkpoints.last_path}. Continue with: {self.continue_command}"
        )

    def __post_init__(self) -> None:
        self._lr = 0.0
        self._saved_at, self._saved_step = self.clock.total_seconds, self.state.step
        self._asked_at = self.state.step
