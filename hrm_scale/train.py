"""Train a model: ``python -m hrm_scale.train experiment=sudoku_cpu data_path=…``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hrm_scale.base.errors import (
    EXIT_INTERNAL,
    EXIT_INTERRUPTED,
    EXIT_OK,
    CheckpointError,
    HrmError,
    NonFiniteError,
    Stopped,
    describe,
    run_cli,
)
from hrm_scale.base.machine import launcher_number
from hrm_scale.base.worker_exit import reported_once, stop_is_no_failure, stop_without_launcher
from hrm_scale.config.entry import resolve

if TYPE_CHECKING:
    from hrm_scale.config.compose import Resolved
    from hrm_scale.config.schema import RunConfig
    from hrm_scale.training.trainer import Trainer

# Errors of the loop that all processes meet at the same step. After any other one, the launcher
# ends the processes that are left: waiting for them here could take for ever.
TOGETHER = (Stopped, NonFiniteError, CheckpointError)

DRY_RUN = "--dry-run"
DESCRIPTION = "Train a Hierarchical Reasoning Model; the same command again goes on where it was."


def main(arguments: list[str]) -> int:
    settings = [argument for argument in arguments if argument != DRY_RUN]
    with reported_once():  # every process reads the same arguments
        resolved = resolve(settings, DESCRIPTION, "train")
        if resolved is not None and len(settings) < len(arguments):
            from hrm_scale.training.dry_run import dry_run

            if launcher_number("RANK", 0) == 0:
                print(dry_run(resolved.run, resolved.presets))
            return 0
    if resolved is not None:
        stop_without_launcher()
        from hrm_scale.engine.fate import lost_peers

        with lost_peers():
            run(resolved)
    return 0


def run(
    resolved: Resolved[RunConfig], on_start: Callable[[Trainer], None] | None = None
) -> Trainer:
    """Train as configured, from the newest checkpoint if there is one; returns the finished run.

    on_start: called before the first step.
    """
    from hrm_scale.engine.fate import lost_peer
    from hrm_scale.training.build import build_trainer

    trainer = build_trainer(resolved.run, resolved.presets)
    code, text = EXIT_INTERNAL, ""
    try:
        with trainer.stop, reported_once(TOGETHER):
            if on_start is not None:
                on_start(trainer)
            trainer.run()
        code, text = EXIT_OK, "done"
        trainer.parts.reporter.say(
            f"done: {trainer.parts.state.step} steps; evaluate with: "
            f"python -m hrm_scale.evaluate checkpoint={trainer.parts.run_dir}"
        )
    except HrmError as error:
        code, text = error.exit_code, str(error)
        if isinstance(error, TOGETHER):
            trainer.saving.collect(wait=True)
            trainer.parts.engine.close()
        raise
    except KeyboardInterrupt:
        code, text = EXIT_INTERRUPTED, "interrupted"
        raise
    except Exception as error:
        if trainer.stop.interrupted and trainer.parts.engine.ranks > 1:
            # Another process has heard a second one, has left, and this one was waiting for it.
            code, text = EXIT_INTERRUPTED, "interrupted"
            raise KeyboardInterrupt from None
        text, code = describe(error) or (f"{type(error).__name__}: {error}", EXIT_INTERNAL)
        if (lost := lost_peer(error)) is not None:
            code, text = lost.exit_code, str(lost)
        raise
    finally:
        trainer.parts.loader.close()
        trainer.parts.reporter.close(code, text)
    trainer.parts.engine.close()
    return trainer


if __name__ == "__main__":
    with stop_is_no_failure():
        run_cli(main)
