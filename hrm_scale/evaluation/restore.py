"""A trained model from its checkpoint alone, ready to be asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from hrm_scale.base.errors import CheckpointError, ConfigError
from hrm_scale.base.machine import require_memory
from hrm_scale.checkpoint import (
    AVERAGES,
    LoadedCheckpoint,
    read_checkpoint,
    read_table,
    require_fit,
    require_table,
)
from hrm_scale.config.saved import from_checkpoint
from hrm_scale.config.schema import RunConfig
from hrm_scale.data import find_dataset
from hrm_scale.data.format.meta import DatasetMeta
from hrm_scale.modelling import DTYPES, TABLE, choose_dtype, model_config
from hrm_scale.models import ActModel, ModelConfig, build_model
from hrm_scale.models.attention import resolve_backend
from hrm_scale.models.inference import Reasoner
from hrm_scale.optim.puzzle_table import DeviceTable, PuzzleTable


@dataclass(frozen=True)
class Restored:
    """A model in eval mode with its table, and what it was trained with."""

    model: ActModel
    table: PuzzleTable | None
    run: RunConfig
    meta: DatasetMeta
    checkpoint: LoadedCheckpoint
    device: torch.device
    averaged: bool = False
    """Whether the model computes with averaged weights."""

    @cached_property
    def reasoner(self) -> Reasoner:
        """The model ready to be asked."""
        return Reasoner(self.model)

    @property
    def source(self) -> str:
        """The checkpoint, and which of its weights where it has two kinds."""
        which = "averaged" if self.averaged else "raw"
        two = AVERAGES in self.checkpoint.parts
        return f"{self.checkpoint.path}{f', {which} weights' if two else ''}"


def pick_device(asked: str) -> torch.device:
    """The device for "auto", "cpu" or "cuda". Raises ConfigError when there is no such device."""
    if asked == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device=cuda was asked for, but no CUDA GPU is usable: type device=cpu")
    use_cuda = asked != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if use_cuda else "cpu")


def restore(
    path: Path,
    *,
    device: torch.device,
    halt_max_steps: int | None = None,
    dtype: str = "auto",
    attention: str = "auto",
    compiled: bool = False,
    weights: str = "auto",
) -> Restored:
    """The model of a checkpoint, or of the newest valid one of a run folder.

    `halt_max_steps` and `dtype` replace what it was trained with; nothing else can be changed.
    `weights` are "averaged", "raw", or "auto": averaged where the checkpoint has them.
    Raises CheckpointError when the folder holds no usable checkpoint.
    """
    checkpoint = read_checkpoint(path)
    averaged = weights != "raw" and AVERAGES in checkpoint.parts
    if weights == "averaged" and not averaged:
        raise CheckpointError(
            f"{checkpoint.path} has no averaged weights (its run had ema=false): type weights=raw"
        )
    run = from_checkpoint(checkpoint.config, checkpoint.path)
    run = run.model_copy(update={"data_path": find_dataset(run.data_path, checkpoint.folders)})
    meta = _meta(checkpoint)
    config = model_config(run.arch, meta, attention=attention, compiled=compiled)
    if halt_max_steps is not None:
        config = replace(config, halt_max_steps=halt_max_steps)
    # A network without a record of its training, as an imported one may be, has none of its dtype.
    unknown = run.arch.forward_dtype == "auto" and "imported" in checkpoint.state
    recorded = None if unknown else run.arch.forward_dtype
    config = replace(config, forward_dtype=DTYPES[choose_dtype(dtype, device, recorded)[0]])
    try:
        backend, _ = resolve_backend(attention, device, config.forward_dtype, config.total_len)
    except ValueError as error:
        raise ConfigError(f"engine.attention: {error}; type engine.attention=auto") from None
    _require_fit(checkpoint, run, replace(config, attention=backend))
    model = build_model(replace(config, attention=backend)).to(device)
    averages = checkpoint.part(AVERAGES) if averaged else {}
    held = checkpoint.part("model")
    # There are no averages of buffers, which never change.
    model.load_state_dict(
        {name: averages[name] if name in averages else held[name] for name in held}
    )
    table = None
    if config.puzzle_emb_ndim:
        size = (meta.num_puzzle_identifiers, config.puzzle_emb_ndim)
        require_table(checkpoint, TABLE, size)
        if device.type == "cpu":
            require_memory(
                4 * size[0] * size[1],
                f"the puzzle table of {checkpoint.path}, {size[0]:,} x {size[1]},",
                "use a machine with more memory",
            )
        table = DeviceTable(*size, device)
        table.load_rows(read_table(checkpoint, TABLE, *table.owned))
    return Restored(model.eval(), table, run, meta, checkpoint, device, averaged)


def _require_fit(checkpoint: LoadedCheckpoint, run: RunConfig, config: ModelConfig) -> None:
    """Compare config.json with the tensors before memory is taken for what it asks for."""
    held = len(checkpoint.part("model"))
    try:
        if run.arch.H_layers + run.arch.L_layers > held:
            raise RuntimeError(f"it has {held} tensors")
        with torch.device("meta"):
            blank = build_model(config)
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:
        reason = (str(error).splitlines() or ["impossible sizes"])[0]
        raise CheckpointError(
            f"{checkpoint.path}/config.json does not describe the model beside it: {reason}"
        ) from None
    shapes = {name: tuple(value.shape) for name, value in blank.state_dict().items()}
    require_fit(checkpoint, "model", shapes)
    if AVERAGES in checkpoint.parts:
        shapes = {name: tuple(value.shape) for name, value in blank.named_parameters()}
        require_fit(checkpoint, AVERAGES, shapes)


def _meta(checkpoint: LoadedCheckpoint) -> DatasetMeta:
    facts: Any = checkpoint.state.get("dataset")
    try:
        return DatasetMeta(**facts)
    except TypeError as error:
        raise CheckpointError(
            f"{checkpoint.path}/state.json does not describe the data it was trained on ({error})"
        ) from None
