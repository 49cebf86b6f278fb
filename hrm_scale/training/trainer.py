"""The training loop. It knows when things happen; how they happen is in the parts it is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

import torch

from hrm_scale.base.errors import Stopped
from hrm_scale.checkpoint import read_checkpoint
from hrm_scale.models.flops import training_flops
from hrm_scale.models.recursion import Cycles, curriculum_cycles, full_depth
from hrm_scale.optim.schedule import learning_rate
from hrm_scale.training.evaluating import Evaluating
from hrm_scale.training.feed import open_feed
from hrm_scale.training.guards import free_lost_slots
from hrm_scale.training.parts import RunParts
from hrm_scale.training.performance import peak_flops, peak_memory_bytes
from hrm_scale.training.saving import Saving
from hrm_scale.training.snapshot import put_back
from hrm_scale.training.step import StepResult, StepSettings, draws_of, reduced_metrics, train_step
from hrm_scale.training.stop import TIME_IS_UP, StopRequest


@dataclass
class Trainer:
    """One run, all parts in place. `run()` takes it from `state` to the horizon."""

    parts: RunParts
    saving: Saving
    evaluating: Evaluating
    stop: StopRequest
    lock: IO[str] | None
    _first: bool = field(init=False)

    def run(self) -> None:
        """Train until the horizon, evaluating and saving on the way.

        Raises Stopped, the state saved, when asked to stop; NonFiniteError when the loss is lost.
        """
        parts = self.parts
        config, state, horizon, early = parts.config, parts.state, parts.horizon, parts.early
        feed = open_feed(
            config.data.refill,
            parts.loader,
            parts.engine,
            state.position,
            parts.shape,
            parts.table.offer if parts.table else None,
        )
        parts.model.train()
        try:
            with parts.watch, parts.watch.phase("training"):
                self._evaluate_and_save(asked=False)
                while state.step < horizon.total_steps and not early.exhausted:
                    with parts.clock.waiting_for_data():
                        batches = feed.next(state.carries)
                    if state.carries is None:
                        state.carries = [parts.model.initial_carry(batch) for batch in batches]
                    updated = self._step(batches, start=state.position, stop=feed.position)
                    state.position = feed.position
                    if not updated and config.guards.non_finite == "rollback":
                        self._go_back()
                        continue
                    parts.clock.tick(config.global_batch_size, self._flops(state.step))
                    parts.watch.progress(state.step)
                    if state.step % config.log.every == 0 or state.step == horizon.total_steps:
                        self._log()
                    else:
                        parts.reporter.advance(state.step)
                    self.saving.collect()
                    reason = self._evaluate_and_save(asked=True)
                    if reason and state.step < horizon.total_steps:
                        self._stop(reason)
                self._finish()
        finally:
            feed.close()

    def _evaluate_and_save(self, asked: bool) -> str | None:
        """Do what is due after a step, or was left undone by the process before. Returns why to
        stop, when it was `asked` for and there is a reason."""
        evaluated = self.evaluating.if_due(lambda: self._agree()[0] is not None)
        best = evaluated and self.evaluating.new_best and self.parts.config.checkpoint.keep_best
        reason, minutes_are_up = self._agree() if asked else (None, False)
        if (
            best
            or minutes_are_up
            or (asked and self.parts.horizon.saves_at(self.parts.state.step))
            or (evaluated and self.parts.config.checkpoint_every_eval)
        ):
            self.saving.save(best=best)
        return reason

    def _finish(self) -> None:
        """The last save, and the last evaluation, which is of everything by default."""
        self.saving.collect(wait=True)
        if self.parts.early.exhausted:
            self.parts.reporter.say(self.parts.early.describe())
        if self.parts.state.finished == self.parts.state.step:
            return
        if self.parts.config.checkpoint.at_end:
            self.saving.save_last()
        if not self.evaluating.at_end(lambda: self._agree()[0] is not None):
            self._stop(self.stop.poll() or "interrupted")
        self.parts.state.finished = self.parts.state.step
        if self.parts.config.checkpoint.at_end:
            self.saving.save_last()

    def _step(self, batches: list[dict[str, torch.Tensor]], start: int, stop: int) -> bool:
        """One optimizer step on `batches`, at the rates and with the draws of the next step.

        Returns whether it updated anything; the guard has said so, then, what becomes of it.
        """
        parts = self.parts
        config, state, guard = parts.config, parts.state, parts.guard
        step = state.step + 1
        lr, table_lr = (
            learning_rate(
                step,
                base,
                warmup_steps=config.lr_warmup_steps,
                total_steps=parts.horizon.total_steps,
                min_ratio=config.lr_min_ratio,
            )
            for base in (config.lr, config.puzzle_emb_lr)
        )

        def check(result: StepResult, gradient_norm: float) -> bool:
            return guard.check(step, (start, stop), result, gradient_norm)

        read = guard.reads(step, config.log.every)
        assert state.carries is not None
        with self._compiling():
            result = train_step(
                parts.engine,
                parts.table,
                state.carries,
                batches,
                draws_of(config, parts.shape, parts.engine, step),
                StepSettings(
                    lr,
                    table_lr,
                    config.puzzle_emb_weight_decay,
                    config.global_batch_size,
                    config.arch.loss.loss_type,
                    self._cycles(step),
                ),
                check=check if read else None,
            )
        state.carries = result.carries
        if not result.updated:
            state.carries = free_lost_slots(result.carries)
            if config.guards.non_finite == "rollback":
                return False
        else:
            for name, value in result.metrics.items():
                value = value.double()
                state.sums[name] = state.sums[name] + value if name in state.sums else value
            state.sum_steps += 1
            if not read:
                guard.remember(step, (start, stop), result)
        state.step = step
        self._lr = lr
        return bool(result.updated)

    @contextmanager
    def _compiling(self) -> Iterator[None]:
        """The first step of a process may take minutes. One process alone need not end it when it
        is asked to stop: nothing is updated yet. Several do: who leaves keeps others waiting."""
        first = self._first
        self._first = False
        if not first:
            yield
            return
        alone = self.parts.engine.ranks == 1
        with self.parts.watch.phase("compiling"):
            self.stop.at_once = alone
            try:
                yield
            except BaseException:
                # What Ctrl-C does to a compiler, it calls an error of its own.
                if not alone or self.stop.abandoned or not self.stop.requested:
                    raise
                self.stop.at_once = False
                self._stop(self.stop.poll() or "interrupted")
            finally:
                self.stop.at_once = False

    def _go_back(self) -> None:
        """To the state of the last checkpoint, but past the samples that were met since."""
        parts, state, saving = self.parts, self.parts.state, self.saving
        path = saving.checkpoints.latest_valid()[0] or saving.last_good()
        assert path is not None  # the guard has seen one
        found = read_checkpoint(path, check="none")
        parts.engine.load_parameters(found.part("model"))
        dtype = parts.model.config.forward_dtype
        put_back(found, parts.engine, parts.table, state, parts.shape, dtype)
        parts.early.load_state_dict(found.state["early_stopping"])
        saving.saved_step = self._asked_at = state.step
        parts.reporter.rewind(state.step)

    def _cycles(self, step: int) -> Cycles:
        """The depth of a step."""
        if self.parts.config.arch.depth_curriculum == "off":
            return full_depth(self.parts.model.config)
        return curriculum_cycles(
            self.parts.model.config, (step - 1) / self.parts.horizon.total_steps
        )

    def _flops(self, step: int) -> int:
        """The work of a step, of all ranks."""
        return training_flops(
            self.parts.model.config, self.parts.config.global_batch_size, self._cycles(step)
        )

    def _log(self) -> None:
        """Report the steps since the last report, and start counting anew."""
        config, state, device = self.parts.config, self.parts.state, self.parts.engine.device
        if state.sum_steps == 0:
            return  # the guard has left them all out
        batch = config.global_batch_size
        values = reduced_metrics(self.parts.engine, state.sums, batch * state.sum_steps, self._lr)
        state.sums, state.sum_steps = {}, 0
        values["perf/samples"] = float(state.position)
        values["perf/flops"] = self.parts.clock.flops
        values["perf/peak_memory_bytes"] = float(peak_memory_bytes(device))
        if (speed := self.parts.clock.examples_per_second) is not None:
            values["perf/examples_per_second"] = speed
        if (work := self.parts.clock.flops_per_second) is not None:
            values["perf/gflops"] = work / self.parts.engine.ranks / 1e9
            if (peak := peak_flops(device)) is not None:
                values["perf/mfu"] = work / self.parts.engine.ranks / peak
        if (wait := self.parts.clock.data_wait_share) is not None:
            values["perf/data_wait"] = wait
        for name, value in self.parts.loader.stats().items():
            values[f"perf/fetch_{name}"] = value
        if (eta := self.parts.watch.eta()) is not None:
            values["perf/eta_seconds"] = eta
        if self.parts.guard.skipped or self.parts.guard.rollbacks:
            values["guard/skipped"] = float(self.parts.guard.skipped)
            values["guard/rollbacks"] = float(self.parts.guard.rollbacks)
        self.parts.reporter.metrics(state.step, values)
        self.parts.guard.reported(state.step, values)

    def _agree(self) -> tuple[str | None, bool]:
        """What all ranks agree on: why to stop, if at all, and whether minutes ask for a save."""
        answers: list[int] = []

        def agree(code: int) -> int:
            answers.extend(self.parts.engine.agree(code, int(self.saving.minutes_are_up)))
            return answers[0]

        reason = self.stop.poll(agree)
        # With several ranks an answer is one call old: the save it asks for may be done by now.
        asked_at = self.parts.state.step if self.parts.engine.ranks == 1 else self._asked_at
        self._asked_at = self.parts.state.step
        return reason, bool(answers[1]) and self.saving.saved_step < asked_at

    def _stop(self, reason: str) -> None:
        self.saving.time_is_up = time_is_up = reason == TIME_IS_UP
        self.saving.save(must=True)
        raised = " max_time counts all starts; the command raises it." if time_is_up else ""
        raise Stopped(
            f"{reason}: stopped after step {self.parts.state.step}, saved in"
            f" {self.saving.checkpoints.last_path}.{raised}"
            f" Continue with: {self.saving.continue_command}"
        )

    def __post_init__(self) -> None:
        self._lr = 0.0
        self._first = self.parts.model.config.compile
        self._asked_at = self.parts.state.step
