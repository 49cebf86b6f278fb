"""Published weights with known answers: read, asked, written, read again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.parity.cases import Case, load_case, noise
from benchmarks.parity.replay import batch_of
from benchmarks.parity.replay import restore as restore_golden
from hrm_scale.evaluation.restore import restore
from hrm_scale.models import ActModel
from hrm_scale.optim.puzzle_table import PuzzleTable
from tests.support.interchange_files import answers
from tools.checkpoint.cli import main

CASES = ("a_hrm_eval_rope", "h1_trm_attn_eval", "h2_trm_mlpt_eval", "i_baseline_eval")
# What leaves no trace in the tensors, and is not as in the preset.
UNTOLD = ("num_heads", "H_cycles", "L_cycles", "halt_max_steps", "forward_dtype")


def settings(case: Case) -> list[str]:
    arch = case.meta["config"]["arch"]
    return [f"arch.{name}={arch[name]}" for name in UNTOLD if name in arch]


def convert(source: Path, target: str, output: Path, *more: str) -> Path:
    assert main(["convert", str(source), "--to", target, "--output", str(output), *more]) == 0
    return output


def logits_of(model: ActModel, table: PuzzleTable | None, case: Case) -> list[Tensor]:
    """Those of both batches after each step."""
    assert table is not None
    found = []
    for number in (1, 2):
        batch = batch_of(case.tensors, f"batch/{number}")
        vectors = table.lookup(batch["puzzle_identifiers"])
        found += [outputs.logits for outputs in answers(model, vectors, batch)]
    return found


def restored_logits(run: Path, case: Case) -> list[Tensor]:
    restored = restore(run, device=torch.device("cpu"))
    return logits_of(restored.model, restored.table, case)


@pytest.mark.parametrize("name", CASES)
def test_golden_weights_go_round(name: str, shared: Path, tmp_path: Path) -> None:
    case = load_case(shared / "golden" / f"{name}.json")
    file = tmp_path / "step_7"
    state = {k: v for k, v in case.tensors.items() if k.startswith("state/")}
    torch.save({f"_orig_mod.{k.removeprefix('state/')}": v for k, v in state.items()}, file)
    length = str(case.meta["config"]["seq_len"])
    run = convert(file, "hrm_scale", tmp_path / "run", "--seq-len", length, *settings(case))
    found = restored_logits(run, case)

    spread = case.meta["noise_floor"]["spread"]
    steps = case.meta["config"]["arch"]["halt_max_steps"]
    assert len(found) == 2 * steps
    for number, logits in enumerate(found):
        key = f"eval/{number // steps + 1}/{number % steps + 1}/logits"
        worst = float((logits - case.tensors[key]).abs().max())
        assert worst <= max(5e-4, noise(spread, key)), key
        assert torch.equal(logits.argmax(-1), case.tensors[key].argmax(-1)), key
    model, table = restore_golden(case)
    assert all(map(torch.equal, found, logits_of(model.eval(), table, case)))

    back = convert(run, "published", tmp_path / "back", "--orig-mod")
    saved = torch.load(back / "step_7", weights_only=True)
    golden = torch.load(file, weights_only=True)
    assert saved.keys() == golden.keys()
    assert all(torch.equal(saved[name], golden[name]) for name in golden)
    again = convert(back / "step_7", "hrm_scale", tmp_path / "again", "--seq-len", length)
    assert all(map(torch.equal, found, restored_logits(again, case)))

    hub = convert(run, "safetensors", tmp_path / "hub")
    again = convert(hub, "hrm_scale", tmp_path / "third")
    assert all(map(torch.equal, found, restored_logits(again, case)))
