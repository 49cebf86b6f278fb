"""Evaluate a checkpoint: ``python -m hrm_scale.evaluate checkpoint=RUN [limit=1000]``."""

from __future__ import annotations

import json
from pathlib import Path

from hrm_scale.config.entry import resolve
from hrm_scale.errors import ConfigError, run_cli

DESCRIPTION = "Evaluate a checkpoint: exact accuracy beside three trivial baselines."


def main(arguments: list[str]) -> int:
    resolved = resolve(arguments, DESCRIPTION, "evaluate")
    if resolved is None:
        return 0

    from hrm_scale.data import open_dataset
    from hrm_scale.evaluation.evaluate import evaluate
    from hrm_scale.evaluation.report import Progress, render_results
    from hrm_scale.evaluation.restore import pick_device, restore

    run = resolved.run
    device = pick_device(run.engine.device)
    restored = restore(
        Path(run.checkpoint),
        device=device,
        halt_max_steps=run.halt_max_steps,
        dtype=run.dtype,
        attention=run.engine.attention,
        compiled=run.engine.compile is True,
        weights=run.weights,
    )
    path = run.data_path or restored.run.data_path
    dataset = open_dataset(path)
    for name in ("kind", "vocab_size", "seq_len"):
        ours, theirs = getattr(restored.meta, name), getattr(dataset.meta, name)
        if ours != theirs:
            raise ConfigError(
                f"data_path={path} has {name}={theirs}, the checkpoint was trained with {ours}:"
                " give data of the same kind with data_path=DIR"
            )
    if restored.table is not None:
        known, asked = restored.table.num_identifiers, dataset.meta.num_puzzle_identifiers
        if asked > known:
            raise ConfigError(
                f"data_path={path} has {asked} puzzle identifiers, the checkpoint knows {known}:"
                " give the data set that it was trained on"
            )
    rows = min(run.limit or dataset.split(run.split).examples, dataset.split(run.split).examples)
    progress = Progress(rows)
    results = evaluate(
        restored.model,
        restored.table,
        dataset,
        split=run.split,
        batch_size=run.batch_size or restored.run.global_batch_size,
        limit=run.limit,
        seed=run.seed,
        loss_type=restored.run.arch.loss.loss_type,
        device=device,
        progress=progress.update,
    )
    progress.close()
    assert results is not None
    print(render_results(results, restored.source, f"{path} ({run.split})"))
    if run.output_dir is not None:
        folder = Path(run.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        document = {
            "checkpoint": str(restored.checkpoint.path),
            "step": restored.checkpoint.step,
            "weights": "averaged" if restored.averaged else "raw",
            "data": {"path": path, "fingerprint": dataset.meta.fingerprint, "split": run.split},
            "limit": run.limit,
            "seed": run.seed,
            "halt_max_steps": restored.model.config.halt_max_steps,
            "results": results,
        }
        file = folder / "results.json"
        file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        print(f"written: {file}")
    return 0


if __name__ == "__main__":
    run_cli(main)
