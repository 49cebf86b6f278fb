"""Weights in a file of the published HRM, TRM and URM code: `torch.save` of a state dict.

Only tensors and plain numbers are read (`weights_only`): a file that needs more to be loaded could
run code, and is refused.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hrm_scale.base.errors import CheckpointError
from hrm_scale.base.untrusted import open_regular
from hrm_scale.checkpoint.tensor_file import TensorFile
from hrm_scale.modelling import TABLE

_STEP = re.compile(r"step[_-](\d{1,15})")
# What torch.compile and DistributedDataParallel put into names.
_WRAPPERS = {"_orig_mod", "module"}
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


@dataclass(frozen=True)
class StateDict:
    """Tensors by plain name, fp32, the puzzle table apart; `averages` of parameters where the file
    has them beside the weights."""

    tensors: dict[str, Tensor]
    table: Tensor | None
    averages: dict[str, Tensor]
    step: int

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(value.shape) for name, value in self.tensors.items()}


def read_state_dict(path: Path) -> StateDict:
    """The weights in a `step_N` file of the published code, or in a safetensors file of the same
    names. Raises CheckpointError, one line, for anything else."""
    match = _STEP.match(path.name)
    step = int(match[1]) if match else 0
    averages: Mapping[str, Any] = {}
    content: Mapping[str, Any]
    if path.suffix == ".safetensors":
        content = dict(TensorFile(path).items())
    else:
        loaded = _load(path)
        content = loaded
        if isinstance(loaded.get("model"), dict):
            # Later TRM code saves the optimizers, the step and its averages beside the weights.
            content = loaded["model"]
            averages = loaded.get("ema_helper") or {}
            step = loaded["step"] if type(loaded.get("step")) is int else step
    tensors = _plain(content, path)
    table = tensors.pop(TABLE, None)
    if table is not None and (table.dim() != 2 or 0 in table.shape):
        raise CheckpointError(
            f"{path}: the puzzle table has shape {tuple(table.shape)}, not [N, E]"
        )
    if not isinstance(averages, Mapping):
        raise CheckpointError(f"{path}: its ema_helper is no state dict")
    averaged = {n: v for n, v in _plain(averages, path).items() if n in tensors}
    return StateDict(tensors, table, averaged, max(step, 0))


def published_names(
    tensors: Mapping[str, Tensor], table: Tensor | None, *, compiled: bool
) -> dict[str, Tensor]:
    """The state dict by published names: `model.inner...`, with `_orig_mod.` before it as
    torch.compile's are when `compiled`."""
    whole = {**tensors, **({} if table is None else {TABLE: table})}
    return {f"{'_orig_mod.' if compiled else ''}model.{name}": t for name, t in whole.items()}


def plain_name(name: str) -> str:
    """`inner...` of a published name, whatever wrappers it was saved through."""
    parts = [part for part in name.split(".") if part not in _WRAPPERS]
    return ".".join(parts[1:] if parts[:1] == ["model"] else parts)


def _load(path: Path) -> dict[str, Any]:
    try:
        with open_regular(path, links=True) as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about protocols it may not know
            content = torch.load(stream, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file may make the reader stumble anywhere
        if isinstance(error, pickle.UnpicklingError) and "weights_only" in str(error):
            reason = "it needs more than tensors to be loaded, which could run code"
        else:
            text = getattr(error, "strerror", None) or str(error) or type(error).__name__
            reason = f"it cannot be read ({text.splitlines()[0][:120]})"
        raise CheckpointError(
            f"{path} is refused: {reason}; allowed: a state dict (torch.save of"
            " model.state_dict()) or a .safetensors file"
        ) from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a state dict")
    return content


def _plain(content: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"{path}: {str(name)[:60]!r} is a {type(value).__name__}, a state dict of tensors"
                " is expected"
            )
        plain = plain_name(name)
        if value.dtype not in _FLOATS or value.layout != torch.strided:
            raise CheckpointError(f"{path}: {plain[:100]!r} is no plain tensor of real numbers")
        if plain in found:
            raise CheckpointError(f"{path}: two tensors are named {plain[:100]!r}")
        found[plain] = value.float().contiguous()
    return found
