"""README.md of a model folder: what it is, on what data, how good, and how to use it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hrm_scale.base.errors import ConfigError
from hrm_scale.base.untrusted import parse_json, read_bytes
from hrm_scale.interchange.portable import Portable

_MAX_BYTES = 16 << 20
_NAMES = {
    "hrm_v1": "Hierarchical Reasoning Model (HRM, arXiv 2506.21734)",
    "hrm_v2": "plain transformer under HRM's ACT wrapper",
    "trm": "Tiny Recursive Model (TRM, arXiv 2510.04871)",
    "urm": "Universal Reasoning Model (URM, arXiv 2512.14693)",
}


def write_card(path: Path, model: Portable, name: str, results: Path | None) -> None:
    """Write the card. Raises ConfigError when `results` is no results.json of this model."""
    measured = None if results is None else _read_results(results, model)
    text = "\n".join(
        [_front(model), "", _body(model, name), "", _results(measured), "", _use(model)]
    )
    path.write_text(text, encoding="utf-8")


def _front(model: Portable) -> str:
    from huggingface_hub import ModelCardData  # not needed to read models

    tags = ["hrm_scale", model.run.arch.name, model.meta.kind, "recursive-reasoning"]
    data = ModelCardData(license="FILL-IN", library_name="hrm_scale", tags=tags)
    note = "# FILL IN the license of these weights before publishing, such as apache-2.0"
    return f"---\n{note}\n{data.to_yaml()}\n---"


def _body(model: Portable, name: str) -> str:
    arch, meta = model.run.arch, model.meta
    parameters = sum(tensor.numel() for tensor in model.tensors.values())
    rows = [
        ("architecture", _NAMES[arch.name]),
        ("parameters", f"{parameters:,}, without the puzzle table"),
        ("width, heads", f"{arch.hidden_size}, {'none' if arch.mlp_t else arch.num_heads}"),
        ("blocks", f"H {arch.H_layers}, L {arch.L_layers}"),
        ("cycles in a step", f"H {arch.H_cycles}, L {arch.L_cycles}"),
        ("ACT steps", f"{arch.halt_max_steps}"),
        ("weights", f"{model.weights}, of step {model.step}"),
        ("puzzles", f"{meta.kind}, {meta.vocab_size} tokens, {meta.seq_len} cells"),
        ("data fingerprint", f"`{meta.fingerprint or 'not known'}`"),
    ]
    if model.table is not None:
        shape = "x".join(map(str, model.table.shape))
        rows.append(("puzzle table", f"{shape}: one row for each puzzle it was trained on"))
    what = f"Solves {meta.puzzle.noun} by reasoning in latent states, step by step."
    return "\n".join([f"# {name}", "", what, "", "| | |", "|---|---|", *map(_row, rows)])


def _results(measured: Mapping[str, Any] | None) -> str:
    lines = ["## Results", ""]
    if measured is None:
        return "\n".join([*lines, "Not measured."])
    data, numbers = measured["data"], measured["results"]
    rows = [(f"`{k}`", f"{v:.4g}") for k, v in numbers.items() if type(v) in (int, float)]
    limit = measured.get("limit")
    count = "all puzzles" if limit is None else f"{limit} puzzles, drawn by seed"
    where = f"Split `{data.get('split')}`, {count}; data `{data.get('fingerprint')}`."
    steps = f"{measured.get('halt_max_steps')} ACT steps, {measured.get('weights')} weights."
    return "\n".join(
        [*lines, f"{where} {steps}", "", "| metric | value |", "|---|---|", *map(_row, rows)]
    )


def _use(model: Portable) -> str:
    commands = [
        "python -m tools.checkpoint convert FOLDER --to hrm_scale --output RUN",
        "python -m hrm_scale.evaluate checkpoint=RUN data_path=DATASET",
    ]
    if model.meta.puzzle.known and not model.meta.puzzle.has_tasks:
        commands.append("python -m hrm_scale.predict checkpoint=RUN puzzle=TEXT")
    commands.append(
        "python -m hrm_scale.train init_from=RUN data_path=DATASET  # with its arch settings"
    )
    return "\n".join(
        [
            "## Use",
            "",
            "FOLDER is this folder, RUN a folder to make, DATASET a data set of such puzzles.",
            "",
            "```sh",
            *commands,
            "```",
            "",
            "`model.safetensors` holds the parameters by name, `config.json` the settings of the"
            " network (`arch`) and the facts of the data it needs.",
            "",
        ]
    )


def _row(cells: tuple[str, str]) -> str:
    return f"| {cells[0]} | {cells[1]} |"


def _read_results(path: Path, model: Portable) -> Mapping[str, Any]:
    try:
        content = parse_json(read_bytes(path, _MAX_BYTES, links=True))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--results {path} cannot be read: {error}") from None
    parts = isinstance(content, dict) and [content.get("data"), content.get("results")]
    if not parts or not all(isinstance(part, dict) for part in parts):
        raise ConfigError(
            f"--results {path} is no results.json: `python -m hrm_scale.evaluate checkpoint=RUN"
            " output_dir=DIR` writes one"
        )
    for name, ours in (("step", model.step), ("weights", model.weights)):
        if (theirs := content.get(name)) != ours:
            raise ConfigError(
                f"--results {path} is of {name} {json.dumps(theirs)[:40]}, the model is of {ours}"
            )
    found: Mapping[str, Any] = content
    return found
