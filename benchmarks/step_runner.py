"""One measurement of the training step, in the present process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.step_flops import count_flops
from hrm_scale import modelling
from hrm_scale.config.compose import compose
from hrm_scale.engine import Engine, PlainEngine
from hrm_scale.models import Carry, Draws, ModelConfig, base, build_model
from hrm_scale.models.flops import recomputed_flops, training_flops
from hrm_scale.models.layers import BlockSpec, BlockWeights, Rotary, rms_norm, rotate
from hrm_scale.optim.adam_atan2 import make_adam_atan2
from hrm_scale.optim.puzzle_table import DeviceTable, PuzzleTable
from hrm_scale.training.performance import peak_flops, peak_memory_bytes
from hrm_scale.training.step import StepSettings, exploration_draws, train_step


def measure(
    shape: Sequence[Any],
    dtype: str,
    variant: str,
    rows: int | None,
    steps: int,
    device: str,
) -> dict[str, Any]:
    """Median seconds of a step of `shape`, a `benchmarks.step.Shape`, and what follows from it.

    The matrix rate is that of square products of the same dtype, taken before and after the steps;
    the better of the two counts, so that a disturbance cannot flatter the share.
    """
    engine = PlainEngine(device)
    *_, cpu_rows, gpu_rows, _ = shape
    batch_rows = rows or (gpu_rows if engine.device.type == "cuda" else cpu_rows)
    config = replace(
        model_config(shape),
        forward_dtype=getattr(torch, dtype),
        compile=variant == "compiled",
        attention="sdpa" if variant == "reference-style" else "auto",
    )
    if variant == "reference-style":
        config = replace(config, forward_dtype=torch.float32) if dtype == "float32" else config
        # The published trainer's way, put in the place of ours on purpose.
        setattr(base, "block", reference_style_block)  # noqa: B010
        setattr(base, "cast_blocks", uncast)  # noqa: B010
    torch.manual_seed(0)
    model = build_model(config).to(engine.device)
    table = DeviceTable(1, config.puzzle_emb_ndim, engine.device)
    engine.prepare(model, make_adam_atan2(model.parameters(), engine.device, (0.9, 0.95), 0.1))
    model.train()
    before = matrix_rate(config.forward_dtype, engine.device)
    times, first = timed_steps(engine, model.initial_carry, config, table, batch_rows, steps)
    after = matrix_rate(config.forward_dtype, engine.device)
    flops = training_flops(config, batch_rows)
    seconds, rate = statistics.median(times), max(before, after)
    figures = {
        "rows": batch_rows,
        "median_s": seconds,
        "min_s": min(times),
        "first_s": first,
        "examples_per_s": batch_rows / seconds,
        "gflop_per_step": flops / 1e9,
        "gflop_per_example": flops / batch_rows / 1e9,
        "counted": counted_share(config),
        "gflops": flops / seconds / 1e9,
        "matrix_gflops": rate / 1e9,
        "share": flops / seconds / rate,
        "peak_mib": peak_memory_bytes(engine.device) / 2**20,
    }
    peak = peak_flops(engine.device)
    return figures if peak is None else {**figures, "mfu": flops / seconds / peak}


def model_config(shape: Sequence[Any]) -> ModelConfig:
    """The model of a `benchmarks.step.Shape`."""
    arch, tokens, vocabulary, _, _, changes = shape
    run = compose([f"arch={arch}", *(f"arch.{change}" for change in changes)]).run
    # A model's shape asks two facts of the data.
    facts: Any = SimpleNamespace(vocab_size=vocabulary, seq_len=tokens)
    return modelling.model_config(run.arch, facts, attention="auto", compiled=False)


def counted_share(config: ModelConfig) -> float:
    """Work of a step as torch counts it, by that of the formula. Attention is counted as plain
    products, whose backward pass computes no scores again: these are added."""
    plain = replace(config, attention="math", compile=False)
    with torch.device("meta"):
        model = build_model(plain).train()
    return (count_flops(model, 1) + recomputed_flops(plain, 1)) / training_flops(plain, 1)


def timed_steps(
    engine: Engine,
    initial_carry: Any,
    config: ModelConfig,
    table: PuzzleTable,
    rows: int,
    steps: int,
) -> tuple[list[float], float]:
    """Seconds of each timed step after two warm-up steps, and of the first step of all."""
    carry: Carry | None = None
    generator = torch.Generator().manual_seed(0)
    times = []
    for step in range(1, steps + 3):
        batch = {
            name: torch.randint(
                0, config.vocab_size, (rows, config.seq_len), generator=generator
            ).int()
            for name in ("inputs", "labels")
        }
        batch["puzzle_identifiers"] = torch.zeros(rows, dtype=torch.int32)
        batch = {name: value.to(engine.device) for name, value in batch.items()}
        coins, minimums = exploration_draws(0, step, rows, config.halt_max_steps)
        draws = Draws(
            torch.from_numpy(coins).to(engine.device), torch.from_numpy(minimums).to(engine.device)
        )
        carry = initial_carry(batch) if carry is None else carry
        synchronize(engine.device)
        start = time.perf_counter()
        result = train_step(
            engine,
            table,
            [carry],
            [batch],
            [draws],
            StepSettings(1e-4, 1e-4, 0.1, rows, "stablemax_cross_entropy"),
        )
        synchronize(engine.device)
        times.append(time.perf_counter() - start)
        (carry,) = result.carries
    return times[2:], times[0]


def matrix_rate(dtype: torch.dtype, device: torch.device, seconds: float = 1.0) -> float:
    """FLOP/s of a square matrix product, the median of about `seconds` of them."""
    size = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    times: list[float] = []
    deadline = time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < deadline:
        synchronize(device)
        start = time.perf_counter()
        torch.mm(a, b)
        synchronize(device)
        times.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(times[1:])


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def uncast(blocks: Any, dtype: torch.dtype) -> list[BlockWeights]:
    """Leave the weights in float32: the reference-style block casts them."""
    return [BlockWeights(*layer.parameters()) for layer in blocks]


def reference_style_block(
    x: Tensor, w: BlockWeights, rotary: Rotary | None, spec: BlockSpec
) -> Tensor:
    """The same block as the published trainer runs it: each weight is cast when it is used, and
    attention is torch's fused kernel."""
    rows, length, _ = x.shape
    qkv = F.linear(x, w.mix_in.to(x.dtype)).view(rows, length, 3 * spec.num_heads, -1)
    q, k, v = qkv.split(spec.num_heads, dim=2)
    if rotary is not None:
        q, k = rotate(q, rotary), rotate(k, rotary)
    mixed = F.scaled_dot_product_attention(*(part.transpose(1, 2) for part in (q, k, v)))
    mixed = mixed.transpose(1, 2).reshape(rows, length, -1)
    x = rms_norm(x + F.linear(mixed, w.mix_out.to(x.dtype)), spec.eps)
    gate, up = F.linear(x, w.gate_up.to(x.dtype)).chunk(2, dim=-1)
    return rms_norm(x + F.linear(F.silu(gate) * up, w.down.to(x.dtype)), spec.eps)
