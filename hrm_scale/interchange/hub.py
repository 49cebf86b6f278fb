"""A folder for a model hub: weights, settings, table and a card, and reading it back.

model.safetensors          parameters and buffers by plain name, fp32
puzzle_table.safetensors   puzzle embeddings, for networks that have any
config.json                network, data and recipe; no paths of the machine
README.md                  the card
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hrm_scale.base.errors import CheckpointError
from hrm_scale.base.untrusted import parse_json, read_bytes
from hrm_scale.checkpoint import write_tensors
from hrm_scale.checkpoint.manifest import MAX_DOCUMENT_BYTES
from hrm_scale.checkpoint.state_check import ModelFacts, document_problem
from hrm_scale.checkpoint.tensor_file import TensorFile
from hrm_scale.config.saved import from_dict, to_dict
from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.interchange.model_card import write_card
from hrm_scale.interchange.portable import Portable, require_shapes
from hrm_scale.interchange.settings import RECIPE
from hrm_scale.modelling import TABLE, dataset_facts

FORMAT = "hrm_scale.model"
SCHEMA = 1
CONFIG, MODEL, ROWS = "config.json", "model.safetensors", "puzzle_table.safetensors"
_LATER = ("optimizer", "max_steps", "max_samples")


def write_hub_folder(folder: Path, model: Portable, name: str, results: Path | None) -> None:
    """All files of the folder. `results` is a results.json of an evaluation, for the card."""
    write_tensors(folder / MODEL, model.tensors)
    if model.table is not None:
        write_tensors(folder / ROWS, {TABLE: model.table})
    settings = to_dict(model.run)
    document = {
        "format": FORMAT,
        "schema": SCHEMA,
        "step": model.step,
        "weights": model.weights,
        "dataset": dataset_facts(model.meta),
        "arch": settings["arch"],
        "recipe": {key: settings[key] for key in (*RECIPE, *_LATER)},
    }
    (folder / CONFIG).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    write_card(folder / "README.md", model, name, results)


def is_hub_folder(path: Path) -> bool:
    """Whether a folder looks like one of these."""
    return (path / CONFIG).is_file() and (path / MODEL).is_file()


def read_hub_folder(path: Path) -> Portable:
    """The model in such a folder. Raises CheckpointError, or ConfigError for settings, one line."""
    file = path / CONFIG
    content = _document(file)
    if (schema := content.get("schema")) != SCHEMA:
        raise CheckpointError(
            f"{file}: schema {str(schema)[:20]} is not the one this program reads, {SCHEMA}: use"
            " the version of hrm_scale that wrote it"
        )
    if (problem := document_problem(content, ModelFacts)) is not None:
        raise CheckpointError(f"{file} is damaged: {problem}")
    recipe, arch = content.get("recipe"), content.get("arch")
    if not isinstance(recipe, dict) or not isinstance(arch, dict):
        raise CheckpointError(f"{file} is damaged: arch and recipe are no objects")
    run = from_dict({**recipe, "arch": arch}, str(file))
    try:
        meta = DatasetMeta(**content["dataset"])
    except TypeError as error:
        raise CheckpointError(f"{file} is damaged: {error}") from None
    held = TensorFile(path / MODEL)
    require_shapes({n: i.shape for n, i in held.infos.items()}, run, meta, str(held.path))
    table = None
    if run.arch.puzzle_emb_ndim:
        file = path / ROWS
        rows = TensorFile(file)
        size = (meta.num_puzzle_identifiers, run.arch.puzzle_emb_ndim)
        found = {name: info.shape for name, info in rows.infos.items()}
        if found != {TABLE: size}:
            raise CheckpointError(f"{file} holds {found}, the model needs '{TABLE}' {size}")
        table = rows[TABLE].float()
    tensors = {name: held[name].float() for name in held}
    weights = "averaged" if content.get("weights") == "averaged" else "raw"
    return Portable(tensors, table, run, meta, content["step"], weights, str(path))


def _document(file: Path) -> dict[str, Any]:
    try:
        content = parse_json(read_bytes(file, MAX_DOCUMENT_BYTES, links=True))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(
            f"{file.parent} was not made by `convert --to safetensors`: its {CONFIG} has no format"
            f" {FORMAT}; give the .safetensors file itself"
        )
    return content
