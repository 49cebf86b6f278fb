"""Evaluation during training, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hrm_scale.evaluation.evaluate import evaluate
from hrm_scale.evaluation.observers.tally import Tally
from hrm_scale.training.parts import RunParts

JUDGED = ("exact_accuracy", "accuracy", "lm_loss")
"""What an evaluation can be judged by; of the raw weights nothing else is reported."""


@dataclass
class Evaluating:
    """Evaluates the model of a run on the test split. All ranks call every method together."""

    parts: RunParts
    new_best = False
    """Whether the last evaluation during training is the best so far."""

    def if_due(self, asked_to_stop: Callable[[], bool]) -> bool:
        """Evaluate a subset when the present step asks for it and has not had it yet: a process
        that was stopped meanwhile leaves its evaluation to the next one."""
        state = self.parts.state
        due = 0 < state.step < self.parts.horizon.total_steps and self.parts.horizon.evaluates_at(
            state.step
        )
        if not due or state.evaluated == state.step:
            return False
        results = self._evaluate(self.parts.config.evaluation.limit, asked_to_stop)
        if results is None:
            return False
        self.new_best = bool(results) and self.parts.early.observe(state.step, results)
        return True

    def at_end(self, asked_to_stop: Callable[[], bool]) -> bool:
        """The last evaluation, of everything by default. False when a request to stop ended it."""
        limit = (
            None if self.parts.config.evaluation.full_at_end else self.parts.config.evaluation.limit
        )
        return self._evaluate(limit, asked_to_stop) is not None

    def _evaluate(
        self, limit: int | None, asked_to_stop: Callable[[], bool]
    ) -> dict[str, float] | None:
        """Results, which are reported; none without a test split; None when it was ended early.

        Where averaged weights are kept they are what is judged; the others' results are `raw/...`.
        """
        state, engine = self.parts.state, self.parts.engine
        results: dict[str, float] = {}
        if "test" in self.parts.dataset.meta.splits:
            raw: dict[str, float] | None = {}
            with self.parts.clock.paused("evaluation"), self.parts.watch.phase("evaluation"):
                with engine.gathered() if engine.average is None else engine.averaged():
                    found = self._results(limit, asked_to_stop)
                if found is not None and engine.average is not None:
                    with engine.gathered():
                        raw = self._results(limit, asked_to_stop)
            if found is None or raw is None:
                return None
            results = found | {f"raw/{name}": raw[name] for name in JUDGED if name in raw}
            self.parts.reporter.metrics(
                state.step, {f"eval/{name}": value for name, value in results.items()}
            )
        state.evaluated = state.step
        return results

    def _results(
        self, limit: int | None, asked_to_stop: Callable[[], bool]
    ) -> dict[str, float] | None:
        """What the model as it is now makes of the test split; None when it was ended early."""
        config = self.parts.config

        def progress(_: int) -> bool:
            self.parts.watch.progress(self.parts.state.step)
            return asked_to_stop()

        parts, engine, meta = self.parts, self.parts.engine, self.parts.dataset.meta
        questions = parts.dataset.eval_batches(
            "test",
            config.evaluation.batch_size or parts.shape.micro_batch_size,
            rank=engine.rank,
            ranks=engine.ranks,
            limit=limit,
            seed=config.evaluation.seed,
        )
        tally = Tally(meta.vocab_size, meta.pad_id, config.arch.loss.loss_type, engine.device)
        found = evaluate(
            parts.model,
            parts.table,
            questions,
            [tally],
            engine,
            report_steps=[parts.model.config.halt_max_steps],
            progress=progress,
        )
        return found and found[tally.name]
