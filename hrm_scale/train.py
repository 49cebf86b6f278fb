"""Train a model: ``python -m hrm_scale.train experiment=sudoku_cpu data_path=…``."""

from __future__ import annotations

from hrm_scale.errors import HrmError, run_cli

DESCRIPTION = "Train a Hierarchical Reasoning Model; the same command again goes on where it was."


def main(arguments: list[str]) -> int:
    if {"-h", "--help"} & set(arguments):
        from hrm_scale.config.usage import usage

        print(usage("python -m hrm_scale.train", DESCRIPTION, "train"))
        return 0
    from hrm_scale.config.compose import compose

    show = "--show" in arguments
    resolved = compose([argument for argument in arguments if argument != "--show"])
    if show:
        from hrm_scale.config.show import render_show

        print(render_show(resolved))
        return 0

    from hrm_scale.training.build import build_trainer

    trainer = build_trainer(resolved.run, resolved.presets)
    code = 1
    try:
        with trainer.stop:
            trainer.run()
        code = 0
        trainer.reporter.say(
            f"done: {trainer.state.step} steps; evaluate with: "
            f"python -m hrm_scale.evaluate checkpoint={trainer.run_dir}"
        )
    except HrmError as error:
        code = error.exit_code
        raise
    finally:
        trainer.reporter.close(code)
        trainer.engine.close()
    return 0


if __name__ == "__main__":
    run_cli(main)
