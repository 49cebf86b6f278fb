"""A page to play on: ``python -m hrm_scale.play checkpoint=RUN``."""

from __future__ import annotations

from pathlib import Path

from hrm_scale.base.errors import run_cli
from hrm_scale.config.entry import resolve

DESCRIPTION = "Type, paste or draw a puzzle in the browser and watch a trained model solve it."


def main(arguments: list[str]) -> int:
    resolved = resolve(arguments, DESCRIPTION, "play")
    if resolved is None:
        return 0

    from hrm_scale.evaluation.restore import pick_device, restore
    from hrm_scale.playing.api import PlayApi
    from hrm_scale.playing.examples import open_examples
    from hrm_scale.playing.server import PlayServer

    run = resolved.run
    restored = restore(Path(run.checkpoint), device=pick_device(run.device), weights=run.weights)
    api = PlayApi(restored, open_examples(restored, run.data_path), run.halt_max_steps)
    with PlayServer(api, host=run.host, port=run.port) as server:
        server.serve("play", browser=run.browser)
    return 0


if __name__ == "__main__":
    run_cli(main)
