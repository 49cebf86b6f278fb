"""The Universal Reasoning Model beside its published code.

``python -m benchmarks.parity.urm CLONE`` takes a clone of UbiquantAI/URM, gives its model our
weights by their names, and lets both train on the same batches with the same draws. It prints
quantity, largest difference relative to the largest value, tolerance and verdict, and exits 1 on
any miss. All in fp32: the published convolution has bf16 weights, which are widened here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.parity.cases import Report
from benchmarks.tiny.models import random_batch
from hrm_scale.models import ActModel, Draws, ModelConfig, build_model, refill
from hrm_scale.models.base import QHead

ROWS, STEPS, IDENTIFIERS = 6, 12, 3
TOLERANCE = 1e-4
# (H_cycles, L_cycles, blocks, width): as published for ARC and Sudoku, but narrow; and others.
SHAPES = ((2, 6, 4, 64), (4, 3, 2, 128), (1, 2, 1, 64))


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    published = published_model(Path(arguments[0]))
    missed = 0
    for shape in SHAPES:
        report = compare(published, config_of(*shape))
        for row in report.rows.values():
            verdict = "ok" if row.passed else "MISS"
            print(
                f"{report.case:34} {row.quantity:12} {row.difference:10.1e} {row.tolerance:10.1e}"
                f"  {verdict}"
            )
        missed += not report.passed
    print(f"shapes: {len(SHAPES) - missed} passed, {missed} failed")
    return 1 if missed else 0


def published_model(clone: Path) -> Any:
    """The class `URM` of the clone, with torch's attention in the place of flash-attn's."""

    def attention(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))  # heads first
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return mixed.transpose(1, 2).contiguous()

    stand_in = ModuleType("flash_attn_interface")
    stand_in.flash_attn_func = attention  # type: ignore[attr-defined]
    with mock.patch.dict(sys.modules, {stand_in.__name__: stand_in}):
        sys.path.insert(0, str(clone))
        try:
            from models.urm.urm import URM
        except ImportError as error:
            sys.exit(f"error: {clone} is no usable clone of UbiquantAI/URM: {error}")
        finally:
            sys.path.remove(str(clone))
    return URM


def config_of(H_cycles: int, L_cycles: int, blocks: int, width: int) -> ModelConfig:
    return ModelConfig(
        name="urm",
        vocab_size=12,
        seq_len=81,
        hidden_size=width,
        num_heads=4,
        H_layers=0,
        L_layers=blocks,
        H_cycles=H_cycles,
        L_cycles=L_cycles,
        grad_cycles=None,
        conv_kernel=2,
        puzzle_emb_ndim=width,
        q_continue="none",
        halt_max_steps=4,
        forward_dtype=torch.float32,
        attention="math",
    )


def compare(published: Any, config: ModelConfig) -> Report:
    """Train both for some steps of ACT, never updating, and note what differs."""
    shape = f"{config.H_cycles} x {config.L_cycles} loops of {config.L_layers} blocks"
    report = Report(f"{shape}, width {config.hidden_size}")
    ours, theirs, table = pair(published, config)
    names = dict(theirs.named_parameters())
    batch = random_batch(config, ROWS)
    carry, their_carry = ours.initial_carry(batch), theirs.initial_carry(batch)
    generator = torch.Generator().manual_seed(0)
    halts = 0
    for step in range(STEPS):
        batch = random_batch(config, ROWS, seed=step)
        draws = Draws(
            torch.rand(ROWS, generator=generator),
            torch.randint(2, 5, (ROWS,), generator=generator, dtype=torch.int32),
        )
        carry = refill(carry, batch)
        carry, outputs = ours(carry, table[carry.data["puzzle_identifiers"].long()], draws)
        with drawing(draws):
            their_carry, answer = theirs(their_carry, batch)

        weights = torch.randn(outputs.logits.shape, generator=generator)
        ((outputs.logits * weights).sum() + outputs.q_halt_logits.sum()).backward()
        ((answer["logits"] * weights).sum() + answer["q_halt_logits"].sum()).backward()
        pairs = [
            ("logits", outputs.logits, answer["logits"]),
            ("q values", outputs.q_halt_logits, answer["q_halt_logits"]),
            ("q values", outputs.q_continue_logits, answer["q_continue_logits"]),
            ("state", carry.z[0], their_carry.current_hidden),
            *(("gradients", p.grad, names[name].grad) for name, p in ours.named_parameters()),
        ]
        for quantity, one, other in pairs:
            one, other = one.detach(), other.detach()
            report.add(quantity, float((one - other).abs().max() / other.abs().max()), TOLERANCE)
        same = torch.equal(carry.halted, their_carry.halted)
        same = same and torch.equal(carry.steps, their_carry.steps)
        report.add("halting", float(not same), 0.0)
        halts += int((carry.halted & (carry.steps < config.halt_max_steps)).sum())
        ours.zero_grad()
        theirs.zero_grad()
    report.add("none halted", float(halts == 0), 0.0)
    return report


def pair(published: Any, config: ModelConfig) -> tuple[ActModel, Any, Tensor]:
    """Our model, theirs with the same weights, and the puzzle embeddings of both."""
    torch.manual_seed(0)
    ours = build_model(config).train()
    head = ours.inner.q_head
    assert isinstance(head, QHead)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        # Near the edge, so that some halt and some do not.
        head.bias.fill_(-0.2)
    theirs = published(
        {
            "batch_size": ROWS,
            "seq_len": config.seq_len,
            "puzzle_emb_ndim": config.puzzle_emb_ndim,
            "num_puzzle_identifiers": IDENTIFIERS,
            "vocab_size": config.vocab_size,
            "num_layers": config.L_layers,
            "hidden_size": config.hidden_size,
            "expansion": config.expansion,
            "num_heads": config.num_heads,
            "pos_encodings": config.pos_encodings,
            "loops": config.halt_max_steps,
            "H_cycles": config.H_cycles,
            "L_cycles": config.L_cycles,
            "forward_dtype": "float32",
        }
    )
    theirs = theirs.float().train()
    table = 0.3 * torch.randn(IDENTIFIERS, config.puzzle_emb_ndim)
    theirs.load_state_dict({**ours.state_dict(), "inner.puzzle_emb.weights": table})
    return ours, theirs, table


@contextmanager
def drawing(draws: Draws) -> Iterator[None]:
    """Lets the published model draw these numbers for its exploration."""
    rand = mock.patch.object(torch, "rand_like", return_value=draws.rand)
    randint = mock.patch.object(torch, "randint_like", return_value=draws.randint)
    with rand, randint:
        yield


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
