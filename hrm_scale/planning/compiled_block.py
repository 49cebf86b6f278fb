"""What a block costs once compiled, without compiling it.

The block is traced on tensors without memory, decomposed and cut into a forward and a backward
graph as the compiler does it. Which values cross the cut is then known exactly. Inside a graph, a
value takes memory when a matrix product or attention kernel makes or reads it, or when it leaves
the graph; everything else is taken to be fused away (an assumption, checked against the compiler
on a CPU by `benchmarks.planner`).
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, fx
from torch._subclasses.fake_tensor import FakeTensorMode

from hrm_scale.models.layers import BlockSpec, BlockWeights, Rotary, block

_PRODUCTS = ("mm", "bmm", "addmm")
_ATTENTION = "_scaled_dot_product"


@dataclass(frozen=True)
class BlockCost:
    """Bytes of one compiled block. `kept`: saved for the backward pass besides its input and
    weights. `forward`, `backward`, `inference`: most bytes made and held at once during each, with
    what it hands out, less what it lets go of on the way."""

    kept: int
    forward: int
    backward: int
    inference: int


def block_cost(x: Tensor, w: BlockWeights, rotary: Rotary | None, spec: BlockSpec) -> BlockCost:
    """The cost of the compiled block on inputs of these shapes; cached by shape."""
    table = None if rotary is None else tuple(rotary.cos.shape)
    weights = tuple(tuple(v.shape) for v in _given(w))
    return _cost(tuple(x.shape), x.dtype, weights, table, spec)


@lru_cache(maxsize=256)
def _cost(
    shape: tuple[int, ...],
    dtype: torch.dtype,
    weights: tuple[tuple[int, ...], ...],
    table: tuple[int, ...] | None,
    spec: BlockSpec,
) -> BlockCost:
    def run(x: Tensor, *rest: Tensor) -> Tensor:
        rotary = None if table is None else Rotary(*rest[len(weights) :])
        return block(x, BlockWeights(*rest[: len(weights)]), rotary, spec)

    def graphs(grad: bool) -> list[fx.GraphModule]:
        inputs = [torch.empty(s, dtype=dtype, requires_grad=grad) for s in (shape, *weights)]
        inputs += [torch.empty(table) for _ in range(2)] if table else []
        return _trace(run, inputs, grad)

    with FakeTensorMode(), torch.enable_grad():
        forward, backward = graphs(grad=True)
        (inference,) = graphs(grad=False)
        outputs = _outputs(forward)
        inputs = {_key(node) for node in forward.graph.nodes if node.op == "placeholder"}
        kept = {_key(node): _bytes(node) for node in outputs[1:] if _key(node) not in inputs}
        kept.pop(_key(outputs[0]), None)
        return BlockCost(
            kept=sum(kept.values()),
            forward=_most_held(forward, set()),
            backward=_most_held(backward, set(kept)),
            inference=_most_held(inference, set()),
        )


def _given(w: BlockWeights) -> list[Tensor]:
    """The weights that the block has; what it may lack comes last."""
    return [value for value in w if value is not None]


def _trace(run: Callable[..., Tensor], inputs: list[Tensor], grad: bool) -> list[fx.GraphModule]:
    from functorch.compile import aot_function, make_boxed_func, min_cut_rematerialization_partition
    from torch._inductor.decomposition import select_decomp_table

    found: list[fx.GraphModule] = []

    def keep(graph: fx.GraphModule, _: Any) -> Any:
        found.append(graph)
        return make_boxed_func(graph.forward)

    traced = aot_function(
        run,
        keep,
        keep,
        partition_fn=min_cut_rematerialization_partition,
        decompositions=select_decomp_table(),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = traced(*inputs)
        if grad:
            result.backward(torch.empty_like(result))
    return found


def _outputs(graph: fx.GraphModule) -> list[fx.Node]:
    values: Any = graph.graph.output_node().args[0]
    return [node for node in values if isinstance(node, fx.Node) and _is_tensor(node)]


def _is_tensor(node: fx.Node) -> bool:
    return isinstance(node.meta.get("val"), Tensor)


def _key(node: fx.Node) -> int:
    """Views of one storage are one value."""
    return node.meta["val"].untyped_storage()._cdata


def _bytes(node: fx.Node) -> int:
    return node.meta["val"].untyped_storage().nbytes()


def _is_kernel(node: fx.Node) -> bool:
    """A matrix product or attention kernel, or one of several results of one."""
    if node.target is operator.getitem:
        return _is_kernel(node.all_input_nodes[0])
    _, _, name = str(node.target).partition(".")
    return name.split(".")[0] in _PRODUCTS or name.startswith(_ATTENTION)


def _most_held(graph: fx.GraphModule, released: Set[int]) -> int:
    """Most bytes held at once while the graph runs, relative to its start.

    Inputs stay alive but for those in `released`, which are let go of after their last use.
    """
    nodes = list(graph.graph.nodes)
    last: dict[int, int] = {}
    sizes: dict[int, int] = {}
    real = set(released)
    for index, node in enumerate(nodes):
        for value in filter(_is_tensor, (node, *node.all_input_nodes)):
            sizes[_key(value)] = _bytes(value)
            last[_key(value)] = index
            if _is_kernel(node) or node.op == "output":
                real.add(_key(value))
    inputs = {_key(node) for node in nodes if node.op == "placeholder" and _is_tensor(node)}
    for node in reversed(nodes):
        # A fused value is made where it is used: what it is made from must last until then.
        if _is_tensor(node) and _key(node) not in real and node.op != "placeholder":
            for value in filter(_is_tensor, node.all_input_nodes):
                last[_key(value)] = max(last[_key(value)], last[_key(node)])
    stays = (inputs - released) | {_key(node) for node in _outputs(graph)}
    ending: dict[int, list[int]] = {}
    for key in real - stays:
        ending.setdefault(last[key], []).append(key)
    held = most = 0
    seen = set(inputs)
    for index, node in enumerate(nodes):
        near = {_key(value) for value in (node, *node.all_input_nodes) if _is_tensor(value)}
        for key in (near & real) - seen:
            seen.add(key)
            held += sizes[key]
        most = max(most, held)
        held -= sum(sizes[key] for key in ending.get(index, ()))
    return most


class StandIn(torch.autograd.Function):
    """Takes the memory that the compiled block would, and computes nothing."""

    @staticmethod
    def forward(ctx: Any, cost: BlockCost, x: Tensor, *w: Tensor) -> Tensor:
        out = torch.empty_like(x)
        kept = x.new_empty(cost.kept, dtype=torch.uint8)
        _pass_through(x, cost.forward - cost.kept - _size(out))
        ctx.most = cost.backward
        ctx.save_for_backward(x, kept, *w)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, kept, *w = ctx.saved_tensors
        _pass_through(x, ctx.most)
        # As compiled graphs do: what was kept is let go of before the node is.
        del kept
        ctx.maybe_clear_saved_tensors()
        return (None, *(torch.empty_like(value) for value in (x, *w)))


def stand_in(x: Tensor, w: BlockWeights, rotary: Rotary | None, spec: BlockSpec) -> Tensor:
    """Same signature as `block`."""
    cost = block_cost(x, w, rotary, spec)
    if torch.is_grad_enabled():
        return StandIn.apply(cost, x, *_given(w))
    out = torch.empty_like(x)
    _pass_through(x, cost.inference - _size(out))
    return out


def _pass_through(like: Tensor, size: int) -> None:
    """Take `size` bytes and give them back."""
    if size > 0:
        like.new_empty(size, dtype=torch.uint8)


def _size(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes()
