"""Does an exported step answer as the model does? Asked of every export, on real puzzles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hrm_scale.base.errors import CheckpointError, DataError
from hrm_scale.data import is_dataset, open_dataset
from hrm_scale.data.addresses import is_address
from hrm_scale.interchange.portable import Portable
from hrm_scale.interchange.step_graph import StepGraph
from hrm_scale.models import refill
from hrm_scale.transfer import to_tensors

Step = Callable[[Sequence[Tensor]], Sequence[Tensor]]
"""What computes a step: inputs to outputs, both in the order of `StepGraph`."""
TIE = 1e-3
"""Two tokens whose logits differ by less are equally good: which is larger is rounding."""
_ROWS = 64


@dataclass(frozen=True)
class Agreement:
    """What was compared. `difference` is the largest of any logit after any step."""

    source: str
    puzzles: int
    steps: int
    difference: float
    cells: int
    ties: int
    disagreements: int

    def __str__(self) -> str:
        answers = "the same answers" if not self.disagreements else "OTHER ANSWERS"
        ties = f", {self.ties} ties" if self.ties else ""
        return (
            f"{answers} as the model on {self.puzzles} puzzles ({self.source}) after {self.steps}"
            f" steps: {self.cells - self.ties - self.disagreements} of {self.cells} cells{ties};"
            f" logits differ by at most {self.difference:.1e}"
        )


def require_agreement(model: Portable, graph: StepGraph, step: Step, puzzles: int) -> Agreement:
    """Run `puzzles` puzzles through all steps of the model in fp32 and of `step`, each on its own
    states. Raises CheckpointError when an answer differs by more than a tie."""
    source, batches = _puzzles(model, puzzles)
    ours, largest, done, cells, ties, wrong = graph.model, 0.0, 0, 0, 0, 0
    for batch in batches:
        vectors = None
        if model.table is not None:
            vectors = model.table[batch["puzzle_identifiers"].long()]
        carry = refill(ours.initial_carry(batch), batch)
        inputs = batch["inputs"]
        fresh, *z = graph.first(len(inputs))
        for _ in range(ours.config.halt_max_steps):
            with torch.no_grad():
                carry, outputs = ours(carry, vectors)
            given = (inputs, *(() if vectors is None else (vectors,)), fresh, *z)
            *z, logits, _, _ = step(given)
            fresh = torch.zeros_like(fresh)
            largest = max(largest, float((logits - outputs.logits).abs().max()))
        mine, theirs = outputs.logits.argmax(-1), logits.argmax(-1)
        picked = outputs.logits.gather(-1, torch.stack((mine, theirs), -1))
        tied = (picked[..., 0] - picked[..., 1]) < TIE
        ties += int(((mine != theirs) & tied).sum())
        wrong += int(((mine != theirs) & ~tied).sum())
        done, cells = done + len(inputs), cells + mine.numel()
    found = Agreement(source, done, ours.config.halt_max_steps, largest, cells, ties, wrong)
    if wrong or not np.isfinite(largest):
        raise CheckpointError(f"the exported step gives {found}; nothing was written")
    return found


def _puzzles(model: Portable, count: int) -> tuple[str, Iterator[dict[str, Tensor]]]:
    """Where the puzzles are from, and batches of them: the data set's, or random tokens."""
    meta, path = model.meta, model.run.data_path
    if not is_address(path) and is_dataset(path):
        try:
            dataset = open_dataset(path)
        except DataError:
            return "random tokens", _random(model, count)
        names = ("vocab_size", "seq_len")
        same = all(getattr(dataset.meta, name) == getattr(meta, name) for name in names)
        if same and dataset.meta.num_puzzle_identifiers <= meta.num_puzzle_identifiers:
            split = "test" if "test" in dataset.meta.splits else next(iter(dataset.meta.splits))
            parts = dataset.eval_batches(split, _ROWS, limit=count)
            device = torch.device("cpu")
            return f"{split} of {dataset.path.name}", (
                {name: value[: part.rows] for name, value in to_tensors(part.batch, device).items()}
                for part in parts
            )
    return "random tokens", _random(model, count)


def _random(model: Portable, count: int) -> Iterator[dict[str, Tensor]]:
    meta, generator = model.meta, torch.Generator().manual_seed(0)
    for start in range(0, count, _ROWS):
        rows = min(_ROWS, count - start)
        tokens = torch.randint(0, meta.vocab_size, (rows, meta.seq_len), generator=generator)
        ids = torch.randint(0, meta.num_puzzle_identifiers, (rows,), generator=generator)
        yield {"inputs": tokens.int(), "labels": tokens.int(), "puzzle_identifiers": ids.int()}
