"""Writing the step of a model for other runtimes: ONNX, and torch's own exported programs.

Each folder holds the graph with its weights, the puzzle table, and how to run it in words
(README.md) and in numbers (usage.json). What was written is read back and run beside the model
before the folder gets its name.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hrm_scale.base.errors import EnvironmentProblem
from hrm_scale.interchange.agreement import Agreement, Step, require_agreement
from hrm_scale.interchange.portable import Portable
from hrm_scale.interchange.step_graph import StepGraph
from hrm_scale.modelling import dataset_facts

ONNX, PROGRAM, TABLE_FILE = "step.onnx", "step.pt2", "puzzle_table.npy"
# One protobuf message cannot be larger than 2 GiB; beyond, ONNX keeps weights in a file beside it.
_EMBEDDED_BYTES = 1800 << 20
_TYPES = {torch.int32: "int32", torch.float32: "float32", torch.bool: "bool"}


def write_onnx(folder: Path, model: Portable, name: str, puzzles: int) -> Agreement:
    """`step.onnx` and what belongs to it. Raises EnvironmentProblem without the packages of the
    extra `export`, CheckpointError when ONNX Runtime gives other answers."""
    runtime = _onnxruntime()
    graph = StepGraph(model.model())
    size = sum(tensor.numel() * 4 for tensor in model.tensors.values())
    file = folder / ONNX
    with _quiet():
        torch.onnx.export(
            graph,
            graph.example(2),
            str(file),
            input_names=list(graph.input_names),
            output_names=list(graph.output_names),
            dynamo=True,
            dynamic_shapes=graph.dynamic_shapes,
            external_data=size > _EMBEDDED_BYTES,
            verbose=False,
        )
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]

    def step(given: Sequence[Tensor]) -> list[Tensor]:
        feeds = dict(zip(graph.input_names, given, strict=True))
        # What cannot change the outputs is not an input of the graph.
        arrays = {name: feeds[name].contiguous().numpy() for name in names}
        return [torch.from_numpy(array) for array in session.run(list(graph.output_names), arrays)]

    return _finish(folder, model, graph, name, ONNX, names, step, puzzles)


def write_program(folder: Path, model: Portable, name: str, puzzles: int) -> Agreement:
    """`step.pt2` and what belongs to it. Raises CheckpointError when it gives other answers."""
    graph = StepGraph(model.model())
    file = folder / PROGRAM
    with _quiet(), torch.no_grad():
        program = torch.export.export(graph, graph.example(2), dynamic_shapes=graph.dynamic_shapes)
        torch.export.save(program, file)
        loaded = torch.export.load(file).module()

    def step(given: Sequence[Tensor]) -> Sequence[Tensor]:
        with torch.no_grad():
            outputs: Sequence[Tensor] = loaded(*given)
        return outputs

    return _finish(folder, model, graph, name, PROGRAM, list(graph.input_names), step, puzzles)


def _finish(
    folder: Path,
    model: Portable,
    graph: StepGraph,
    name: str,
    file: str,
    inputs: list[str],
    step: Step,
    puzzles: int,
) -> Agreement:
    found = require_agreement(model, graph, step, puzzles)
    if model.table is not None:
        np.save(folder / TABLE_FILE, model.table.numpy())
    usage = _usage(model, graph, file, inputs, found)
    (folder / "usage.json").write_text(json.dumps(usage, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_readme(usage, name, model), encoding="utf-8")
    return found


def _onnxruntime() -> Any:
    try:
        import onnx  # noqa: F401 - torch's exporter needs both
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise EnvironmentProblem(
            f"--to onnx needs the package {error.name}: type pip install 'hrm_scale[export]'"
        ) from None
    return onnxruntime


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's progress and its advice to programmers."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)


def _usage(
    model: Portable, graph: StepGraph, file: str, inputs: list[str], found: Agreement
) -> dict[str, Any]:
    given = dict(zip(graph.input_names, graph.example(1), strict=True))
    with torch.no_grad():
        made = dict(zip(graph.output_names, graph(*graph.example(1)), strict=True))
    arch = model.run.arch
    return {
        "format": "hrm_scale.step",
        "schema": 1,
        "file": file,
        "inputs": [_described(name, given[name]) for name in inputs],
        "outputs": [_described(name, value) for name, value in made.items()],
        "next": {name: f"{name}_next" for name in graph.levels},
        "steps": arch.halt_max_steps,
        "halts_when": "q_halt > 0" if arch.q_continue == "none" else "q_halt > q_continue",
        "puzzle_table": TABLE_FILE if graph.has_vectors else None,
        "weights": model.weights,
        "step_of_training": model.step,
        "dataset": dataset_facts(model.meta),
        "checked": {
            "puzzles": found.puzzles,
            "from": found.source,
            "largest_difference_of_logits": found.difference,
            "cells": found.cells,
            "ties": found.ties,
        },
    }


def _described(name: str, value: Tensor) -> dict[str, Any]:
    return {"name": name, "dtype": _TYPES[value.dtype], "shape": ["B", *value.shape[1:]]}


def _sides(entry: dict[str, Any]) -> str:
    return f"[{', '.join(map(str, entry['shape']))}]"


def _readme(usage: dict[str, Any], name: str, model: Portable) -> str:
    onnx = usage["file"] == ONNX
    load = (
        ["import onnxruntime", f'session = onnxruntime.InferenceSession("{ONNX}")']
        if onnx
        else ["import torch", f'step = torch.export.load("{PROGRAM}").module()']
    )
    vectors = usage["puzzle_table"] is not None
    states = list(usage["next"])
    shape = next(entry["shape"] for entry in usage["outputs"])[1:]
    feeds = ["inputs", *(["puzzle_vectors"] if vectors else []), "fresh", *states]
    results = ", ".join([*states, "logits", "q_halt", "q_continue"])
    if onnx:
        names = [entry["name"] for entry in usage["inputs"]]
        pairs = ", ".join(f'"{feed}": {feed}' for feed in feeds if feed in names)
        call = f"{results} = session.run(None, {{{pairs}}})"
    else:
        arguments = ", ".join(f"torch.from_numpy({feed})" for feed in feeds)
        call = f"{results} = (t.numpy() for t in step({arguments}))"
    zeros = f"np.zeros((rows, {shape[0]}, {shape[1]}), np.float32)"
    code = [
        "import numpy as np",
        *load,
        "",
        f"# inputs: tokens int32 [rows, {model.meta.seq_len}]; ids: puzzle identifiers [rows]",
        "rows = len(inputs)",
        *([f'puzzle_vectors = np.load("{TABLE_FILE}", mmap_mode="r")[ids]'] if vectors else []),
        *(f"{state} = {zeros}" for state in states),
        "fresh = np.ones(rows, bool)  # rows that begin a puzzle: their state is set by the graph",
        f"for _ in range({usage['steps']}):",
        f"    {call}",
        "    fresh = np.zeros(rows, bool)",
        "answer = logits.argmax(-1)",
    ]
    table = [f"| `{e['name']}` | {e['dtype']} | {_sides(e)} |" for e in usage["inputs"]]
    made = [f"| `{e['name']}` | {e['dtype']} | {_sides(e)} |" for e in usage["outputs"]]
    return "\n".join(
        [
            f"# {name}: one reasoning step, `{usage['file']}`",
            "",
            f"Computes in fp32, any number of rows B. Run it {usage['steps']} times; after each"
            f" time `logits` is an answer, and a row would halt when {usage['halts_when']}. A row"
            " that has its answer can take another puzzle: set its `fresh`.",
            "",
            "| input | type | shape |",
            "|---|---|---|",
            *table,
            "",
            "| output | type | shape |",
            "|---|---|---|",
            *made,
            "",
            "```python",
            *code,
            "```",
            "",
        ]
    )
