"""Memory of one training micro-step, counted: what is saved for the backward pass, and the peak.

The micro-step is the trainer's: refill, forward with the bootstrap target, loss, backward. It runs
on real tensors of any device, or (`probe`) on tensors without memory, so that any batch can be
counted anywhere in about a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from hrm_scale.models import ActModel, Draws, ModelConfig, act_loss, build_model, refill
from hrm_scale.models.base import RecursiveCore
from hrm_scale.models.recursion import full_depth, grad_steps
from hrm_scale.planning.compiled_block import stand_in
from hrm_scale.planning.liveness import LiveBytes, SavedBytes


@dataclass(frozen=True)
class Reading:
    """Bytes of one micro-step. Parameters and the optimizer's state are in none of them.

    `blocks`: saved for the backward pass by the model (activations); `loss`: saved by the token
    loss, logits included; `casts`: weights in the forward dtype, alive all the step; `forward`,
    `backward`: most bytes at once during each, everything above, batch, carry (old and new) and
    gradients made meanwhile included.
    """

    blocks: int
    loss: int
    casts: int
    forward: int
    backward: int

    @property
    def peak(self) -> int:
        return max(self.forward, self.backward)


def probe(
    config: ModelConfig,
    rows: int,
    loss_type: str = "stablemax_cross_entropy",
    *,
    accumulating: bool = False,
) -> Reading:
    """Count a micro-step of `rows` slots without memory and without computing anything.

    `config.attention` must be resolved; `config.compile` counts compiled blocks. `accumulating`:
    the gradients of an earlier micro-step exist already and are in no reading.
    """
    # Passes without gradient give back all they take but their states: a few show their peak.
    free = 1 if config.H_cycles > 1 else 2
    steps_with_grad = grad_steps(config, full_depth(config))
    plain = replace(
        config,
        compile=False,
        attention=counted_attention(config.attention),
        H_cycles=min(2, config.H_cycles),
        L_cycles=max(steps_with_grad, min(free, config.L_cycles)),
        grad_cycles=steps_with_grad,
    )
    with FakeTensorMode():
        model = fake_model(plain)
        if config.compile:
            cast(RecursiveCore, model.inner).run_block = stand_in
            _rehearse(model, rows)
        if accumulating:
            for parameter in model.parameters():
                parameter.grad = torch.empty_like(parameter)
        return measure(model, rows, loss_type)


def counted_attention(backend: str) -> str:
    """The backend that is counted for `backend`: fused kernels all keep q, k, v, the result and
    one fp32 number a row and head."""
    return "math" if backend == "math" else "sdpa"


def fake_model(config: ModelConfig) -> ActModel:
    """The model with parameters that have shapes only. Call it under a FakeTensorMode."""
    with torch.device("meta"):
        model = build_model(config)
    for module in model.modules():
        for key, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[key] = nn.Parameter(torch.empty(parameter.shape))
        for key, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[key] = torch.empty(buffer.shape)
    return model


def _rehearse(model: ActModel, rows: int) -> None:
    """Run the blocks once, so that tracing them is done before anything is counted."""
    config, core = model.config, model.inner
    shape = (rows, config.total_len, config.hidden_size)
    with torch.no_grad():
        z = tuple(torch.empty(shape, dtype=config.forward_dtype) for _ in core.initial())
        core.reason(core.cast(), z, z[0], full_depth(config))


def measure(
    model: ActModel,
    rows: int,
    loss_type: str,
    device: torch.device | str = "cpu",
    watch: bool = True,
) -> Reading:
    """Count a micro-step of a model that is on `device` already; its gradients end up in `.grad`.

    Without `watch` the peaks are 0, and compiled blocks run as such: watching operators one by one
    makes them run uncompiled.
    """
    config = model.config
    model.train()
    saved = SavedBytes()
    peaks: dict[str, int] = {}
    saved.ignore([*model.parameters(), *model.buffers()])
    live = LiveBytes()
    with live if watch else nullcontext(), _watched_casts(model, saved) as casts:
        with live.phase(peaks, "forward"):
            batch = zero_batch(config, rows, device)
            carry = model.initial_carry(batch)
            draws = Draws(
                torch.zeros(rows, device=device),
                torch.zeros(rows, device=device, dtype=torch.int32),
                torch.zeros(rows, device=device, dtype=torch.int64),
            )
            vectors = None
            if config.puzzle_emb_ndim:
                vectors = torch.zeros(rows, config.puzzle_emb_ndim, device=device).requires_grad_()
            saved.ignore([carry.z, batch, vectors])
            with saved:
                carry = refill(carry, batch)
                saved.ignore(carry.data)
                new_carry, outputs = model(carry, vectors, draws)
                blocks = saved.total
                loss, _ = act_loss(outputs, new_carry, loss_type)
                total = saved.total
        with live.phase(peaks, "backward"):
            loss.backward()
    return Reading(blocks, total - blocks, sum(casts.values()), **peaks)


def zero_batch(
    config: ModelConfig, rows: int, device: torch.device | str
) -> dict[str, torch.Tensor]:
    """A batch of token 0; the numbers of bytes do not depend on the tokens."""
    shape = (rows, config.seq_len)
    return {
        "inputs": torch.zeros(*shape, dtype=torch.int32, device=device),
        "labels": torch.zeros(*shape, dtype=torch.int32, device=device),
        "puzzle_identifiers": torch.zeros(rows, dtype=torch.int32, device=device),
    }


@contextmanager
def _watched_casts(model: ActModel, saved: SavedBytes) -> Iterator[dict[int, int]]:
    """Sizes of the weights that the model casts, as they are made; not counted as saved."""
    from torch.utils._pytree import tree_iter

    sizes: dict[int, int] = {}
    own = {p.untyped_storage()._cdata for p in model.parameters()}
    original = model.inner.cast

    def watched() -> Any:
        weights = original()
        saved.ignore(weights)
        for tensor in tree_iter(weights):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in own:
                    sizes[storage._cdata] = storage.nbytes()
        return weights

    model.inner.cast = watched  # type: ignore[method-assign]
    try:
        yield sizes
    finally:
        del model.inner.cast
