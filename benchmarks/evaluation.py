"""Evaluating a checkpoint three ways, side by side in one run.

reference: as the published evaluators loop: every slot of a batch, the padded ones too, one ACT
step a call, weights cast and the loss taken at each, until all have done `halt_max_steps`; each
result of a block is written to memory of its own.
full: `hrm_scale.evaluate`, the same steps for every puzzle. early exit: with `early_exit=true`.
Rounds take turns, so that a noisy machine is noisy for all; figures are medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.provenance import write_results
from hrm_scale.base.command_line import Parser, positive
from hrm_scale.base.errors import run_cli

WAYS = ("reference", "full", "early exit")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m benchmarks.evaluation", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="folder of a run or a checkpoint")
    parser.add_argument("--data", type=Path, help="data set; default: the run's own")
    parser.add_argument("--limit", type=positive, default=500, help="puzzles, a seeded subset")
    parser.add_argument("--batch", type=positive, help="slots; default: the run's global batch")
    parser.add_argument("--steps", type=positive, help="halt_max_steps; default: as trained")
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--output", type=Path, help="also write the figures as JSON")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    from hrm_scale.data import open_dataset
    from hrm_scale.evaluation.restore import pick_device, restore

    restored = restore(
        options.checkpoint, device=pick_device(options.device), halt_max_steps=options.steps
    )
    dataset = open_dataset(options.data or restored.run.data_path)
    batch = options.batch or restored.run.global_batch_size
    ways = _ways(restored, dataset, batch, options.limit)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, dict[str, float]] = {}
    for number in range(options.rounds + 1):
        for name, way in ways.items():
            begun = time.perf_counter()
            found[name] = way()
            # The first round warms up.
            if number:
                seconds[name].append(time.perf_counter() - begun)
    rows = []
    base = statistics.median(seconds["reference"])
    print(f"{options.limit} puzzles, batches of {batch}, {restored.model.config.name}")
    print(f"{'':12} {'puzzles/s':>10} {'ratio':>7} {'exact':>8} {'mean steps':>11}")
    for name in WAYS:
        median = statistics.median(seconds[name])
        row: dict[str, Any] = {
            "way": name,
            "puzzles_per_second": found[name]["count"] / median,
            "ratio": base / median,
            "exact_accuracy": found[name]["exact_accuracy"],
            "mean_steps": found[name]["steps"],
            "seconds": seconds[name],
        }
        rows.append(row)
        print(
            f"{name:12} {row['puzzles_per_second']:10.1f} {row['ratio']:7.2f}"
            f" {row['exact_accuracy']:8.4f} {row['mean_steps']:11.2f}"
        )
    packages = ["torch", "numpy"]
    write_results(options.output, "benchmarks.evaluation", arguments, packages, {"rows": rows})
    return 0


def _ways(
    restored: Any, dataset: Any, batch: int, limit: int
) -> dict[str, Callable[[], dict[str, float]]]:
    """Each way as a function that evaluates everything and returns the means."""
    import torch

    from hrm_scale.engine import PlainEngine
    from hrm_scale.evaluation.evaluate import evaluate
    from hrm_scale.evaluation.observers.tally import Tally
    from hrm_scale.evaluation.rollout import ModelOutputs, Query
    from hrm_scale.models import act_loss, refill
    from hrm_scale.models.layers import block
    from hrm_scale.transfer import to_tensors

    model, table, device = restored.model, restored.table, restored.device
    loss_type = restored.run.arch.loss.loss_type

    def tally() -> Tally:
        return Tally(model.config.vocab_size, dataset.meta.pad_id, loss_type, device)

    def questions() -> Any:
        return dataset.eval_batches("test", batch, limit=limit)

    core = model.inner

    def plain_block(x: Any, w: Any, *rest: Any) -> Any:
        # Where a gradient could be asked for, nothing is written over.
        with torch.enable_grad():
            return block(x, type(w)(*(None if v is None else v.detach() for v in w)), *rest)

    def reference() -> dict[str, float]:
        own, core.run_block = core.run_block, plain_block
        try:
            return reference_loop()
        finally:
            core.run_block = own

    def reference_loop() -> dict[str, float]:
        counted = tally()
        for part in questions():
            data = to_tensors(part.batch, device)
            vectors = table.lookup(data["puzzle_identifiers"]) if table else None
            carry = model.initial_carry(data)
            while True:
                with torch.no_grad():
                    carry, outputs = model(refill(carry, data), vectors)
                    act_loss(outputs, carry, loss_type)
                if carry.halted.all():
                    break
            query = Query(carry.data, vectors, part.index)
            q = outputs.q_halt_logits, outputs.q_continue_logits
            counted.add(ModelOutputs(query, carry.steps, outputs.logits, *q, last=True))
        return counted.result()

    def ours(early_exit: bool) -> dict[str, float]:
        result = evaluate(
            model,
            table,
            questions(),
            [tally()],
            PlainEngine(device.type),
            report_steps=[model.config.halt_max_steps],
            early_exit=early_exit,
        )
        assert result is not None
        means: dict[str, float] = result["results"]
        return means

    return {"reference": reference, "full": lambda: ours(False), "early exit": lambda: ours(True)}


if __name__ == "__main__":
    run_cli(main)
