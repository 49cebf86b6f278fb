"""A trained model between two formats: its weights, and what must be known to use them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hrm_scale.base.errors import CheckpointError
from hrm_scale.config.schema import RunConfig
from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.modelling import model_config
from hrm_scale.models import ActModel, build_model


@dataclass(frozen=True)
class Portable:
    """What every format holds.

    tensors: parameters and buffers by plain name (`inner...`), fp32 on the CPU.
    table: puzzle embeddings fp32 [num_puzzle_identifiers, puzzle_emb_ndim], None without any.
    weights: "averaged" or "raw". origin: where it was read from, for people.
    """

    tensors: Mapping[str, Tensor]
    table: Tensor | None
    run: RunConfig
    meta: DatasetMeta
    step: int
    weights: str
    origin: str

    def model(self) -> ActModel:
        """The model in eval mode, computing in fp32 on the CPU."""
        config = model_config(self.run.arch, self.meta, attention="math", compiled=False)
        model = build_model(replace(config, forward_dtype=torch.float32))
        model.load_state_dict(dict(self.tensors))
        return model.eval()


def require_shapes(
    shapes: Mapping[str, tuple[int, ...]], run: RunConfig, meta: DatasetMeta, where: str
) -> None:
    """Raise CheckpointError unless these are the tensors of the network that `run` and `meta` say.

    Nothing of the network is allocated, however large it would be.
    """
    arch = run.arch
    if arch.H_layers + arch.L_layers > 2 * len(shapes):
        raise CheckpointError(
            f"{where} has {len(shapes)} tensors, too few for arch.H_layers={arch.H_layers} and"
            f" arch.L_layers={arch.L_layers}"
        )
    try:
        with torch.device("meta"):
            blank = build_model(model_config(arch, meta, attention="math", compiled=False))
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:
        reason = (str(error).splitlines() or ["impossible sizes"])[0]
        raise CheckpointError(f"{where} has no network of these settings: {reason}") from None
    wanted = {name: tuple(value.shape) for name, value in blank.state_dict().items()}
    for name in (*wanted, *(name for name in shapes if name not in wanted)):
        there, here = shapes.get(name), wanted.get(name)
        if there != here:
            raise CheckpointError(
                f"{where}: '{name[:100]}' is {_shape(there)}, the network of arch.name={arch.name}"
                f" with these settings has it {_shape(here)}: give the settings it was trained with"
                " as arch.KEY=VALUE"
            )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else "x".join(map(str, shape)) or "a number"
