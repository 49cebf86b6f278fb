"""A step as ONNX and as an exported program: the same answers, the loop of its README, refusals."""

from __future__ import annotations

import builtins
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from hrm_scale.base.errors import CheckpointError, EnvironmentProblem
from hrm_scale.interchange.agreement import require_agreement
from hrm_scale.interchange.graphs import write_onnx, write_program
from hrm_scale.interchange.step_graph import StepGraph
from hrm_scale.interchange.targets import write_checkpoint
from tests.support.interchange_files import answers, tiny_portable
from tools.checkpoint.cli import main

pytestmark = pytest.mark.slow
NETWORKS: list[tuple[str, dict[str, Any]]] = [
    ("hrm_v1", {"arch__L_layers": 2, "arch__random_init": "true", "arch__relaxation": 0.5}),
    ("trm", {"arch__puzzle_emb_ndim": 0, "arch__puzzle_emb_len": 0, "arch__L_cycles": 2}),
    ("trm_mlp", {"arch__puzzle_emb_len": 2, "arch__L_cycles": 2}),
    ("hrm_v2_params_matched", {"arch__H_layers": 2, "arch__num_heads": 2}),
    ("urm", {"arch__L_cycles": 2}),
]


@pytest.mark.parametrize(("preset", "changes"), NETWORKS)
def test_onnx_answers_as_the_model(tmp_path: Path, preset: str, changes: dict[str, Any]) -> None:
    model = tiny_portable(preset, **changes)
    found = write_onnx(tmp_path, model, "tiny", puzzles=70)
    assert found.puzzles == 70  # 64 rows, then 6: any number will do
    assert found.cells == 70 * 16
    assert found.disagreements == 0
    assert found.difference < 1e-3
    usage = json.loads((tmp_path / "usage.json").read_text())
    session = onnxruntime.InferenceSession(str(tmp_path / usage["file"]))
    assert [entry["name"] for entry in usage["inputs"]] == [i.name for i in session.get_inputs()]
    assert [entry["name"] for entry in usage["outputs"]] == [o.name for o in session.get_outputs()]


@pytest.mark.parametrize(("preset", "changes"), NETWORKS[:1])
def test_exported_program_answers_as_the_model(
    tmp_path: Path, preset: str, changes: dict[str, Any]
) -> None:
    found = write_program(tmp_path, tiny_portable(preset, **changes), "tiny", puzzles=65)
    assert (found.puzzles, found.disagreements) == (65, 0)


@pytest.mark.parametrize("write", [write_onnx, write_program])
def test_the_loop_of_the_readme_gives_the_answers(tmp_path: Path, write: Any) -> None:
    model = tiny_portable("hrm_v1")
    write(tmp_path, model, "tiny", 1)
    code = re.search(r"```python\n(.*?)```", (tmp_path / "README.md").read_text(), re.DOTALL)
    assert code is not None
    inputs = np.random.default_rng(0).integers(0, 6, (5, 16)).astype(np.int32)
    np.save(tmp_path / "inputs.npy", inputs)
    ids = np.array([0, 1, 2, 1, 0], np.int32)
    lines = [
        "import numpy as np",
        'inputs = np.load("inputs.npy")',
        f"ids = np.array({ids.tolist()})",
        code[1],
        'np.save("logits.npy", logits)',
    ]
    (tmp_path / "loop.py").write_text("\n".join(lines))
    subprocess.run([sys.executable, "loop.py"], cwd=tmp_path, check=True, timeout=120)
    batch = {
        "inputs": torch.from_numpy(inputs),
        "labels": torch.from_numpy(inputs),
        "puzzle_identifiers": torch.from_numpy(ids),
    }
    assert model.table is not None
    *_, last = answers(model.model(), model.table[torch.from_numpy(ids).long()], batch)
    found = torch.from_numpy(np.load(tmp_path / "logits.npy"))
    assert float((found - last.logits).abs().max()) < 1e-3


def test_rows_take_new_puzzles_at_different_times() -> None:
    """A fresh row starts anew, whatever its state was; the others go on."""
    model = tiny_portable("hrm_v1")
    graph = StepGraph(model.model())
    tokens = torch.randint(0, 6, (2, 16), generator=torch.Generator().manual_seed(1)).int()
    vectors = torch.randn(2, 16)
    first = graph(tokens, vectors, *graph.first(2))
    mixed = graph(tokens, vectors, torch.tensor([True, False]), *first[:2])
    torch.testing.assert_close(mixed[2][0], first[2][0])
    assert not torch.allclose(mixed[2][1], first[2][1])


def test_other_answers_are_an_error() -> None:
    model = tiny_portable("trm")
    graph = StepGraph(model.model())

    def wrong(given: Any) -> Any:
        outputs = list(graph(*given))
        outputs[-3] = -outputs[-3]
        return outputs

    with pytest.raises(CheckpointError, match=r"OTHER ANSWERS.*nothing was written"):
        require_agreement(model, graph, wrong, 5)


def test_ties_are_no_error() -> None:
    model = tiny_portable("trm")
    tied = model.tensors["inner.lm_head.weight"].clone()
    tied[1:] = tied[0]
    model = type(model)(
        **{**model.__dict__, "tensors": {**model.tensors, "inner.lm_head.weight": tied}}
    )
    graph = StepGraph(model.model())

    def nudged(given: Any) -> Any:
        outputs = list(graph(*given))
        outputs[-3] = outputs[-3] + torch.linspace(0, 1e-4, 6)
        return outputs

    found = require_agreement(model, graph, nudged, 5)
    assert (found.ties, found.disagreements) == (5 * 16, 0)


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **options: Any) -> Any:
        if name == "onnx":
            raise ModuleNotFoundError("No module named 'onnx'", name="onnx")
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(EnvironmentProblem, match=r"onnx: type pip install 'hrm_scale\[export\]'"):
        write_onnx(tmp_path, tiny_portable("trm"), "tiny", 1)


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    write_checkpoint(run, tiny_portable("trm"), run)
    command = ["convert", str(run), "--to", "torch-export", "--output", str(tmp_path / "out")]
    assert main([*command, "--check-puzzles", "3"]) == 0
    text = capsys.readouterr().out
    assert "the same answers as the model on 3 puzzles (random tokens)" in text
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "README.md",
        "puzzle_table.npy",
        "step.pt2",
        "usage.json",
    ]
