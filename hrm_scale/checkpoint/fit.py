"""Does a checkpoint belong to this model, and is all of it there? Asked before anything is changed.

A file can be undamaged and still hold what the run cannot use: tensors of another model, slots or
rows missing between two files, tokens outside of the vocabulary. Each is one CheckpointError here;
later it would be a wrong number or an error of the device.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hrm_scale.base.errors import CheckpointError
from hrm_scale.checkpoint.loaded import LoadedCheckpoint
from hrm_scale.checkpoint.parts import carried_slots, carries, table_parts
from hrm_scale.checkpoint.state_check import missing_key
from hrm_scale.checkpoint.tensor_file import type_code

if TYPE_CHECKING:
    from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]

_OTHER_MODEL = "the checkpoint is of another model: use its arch settings, or another run folder"
_OTHER_DATA = "the checkpoint is of another data set or model"
_FLOATS = {"F64", "F32", "F16", "BF16"}
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")
_MUON = "momentum_buffer"
# More samples than this many batches a step cannot have been drawn: a position far beyond would
# be looked for epoch by epoch, for hours. Guards may pass over some batches, hence the margin.
_BATCHES_A_STEP = 4
_MARGIN_STEPS = 1000


def require_resumable(checkpoint: LoadedCheckpoint) -> None:
    """Raise CheckpointError unless all is there that training goes on from."""
    for part in ("model", "optimizer"):
        if part not in checkpoint.parts:
            raise CheckpointError(
                f"{checkpoint.path} has no {part}.safetensors: a run cannot go on from it; name a"
                " complete checkpoint, or evaluate it"
            )
    file = f"{checkpoint.path}/state.json"
    if (missing := missing_key(checkpoint.state)) is not None:
        raise CheckpointError(f"{file} lacks '{missing}': a run cannot go on from this checkpoint")
    steps, slots = checkpoint.step + _MARGIN_STEPS, carried_slots(checkpoint)
    position = checkpoint.state["data"]["position"]
    if slots and position > _BATCHES_A_STEP * steps * slots:
        raise CheckpointError(
            f"{file} is damaged: data.position is {position}, which {checkpoint.step} steps of"
            f" {slots} samples cannot have reached"
        )


def require_fit(checkpoint: LoadedCheckpoint, part: str, expected: Shapes) -> None:
    """Raise CheckpointError unless a part holds exactly the `expected` names with these shapes."""
    found = {name: info.shape for name, info in checkpoint.part(part).infos.items()}
    _compare(f"{checkpoint.path}/{part}.safetensors", found, expected)


def require_table(checkpoint: LoadedCheckpoint, name: str, shape: tuple[int, int]) -> None:
    """Raise CheckpointError unless the tensor `name` of the table, be it in one file or in several,
    has this shape: all rows are there, each once."""
    held = table_parts(checkpoint, name)
    if not held:
        raise CheckpointError(f"{checkpoint.path} has no puzzle table, the model needs {shape}")
    at = 0
    for low, high, part in held:
        if low != at or high <= low:
            raise CheckpointError(f"{checkpoint.path}: row {at} of the puzzle table is in no file")
        found = {key: info.shape for key, info in checkpoint.parts[part].infos.items()}
        if found != {name: (high - low, shape[1])}:
            raise CheckpointError(
                f"{checkpoint.path}/{part}.safetensors holds {_listed(found)}, the model needs"
                f" '{name}' {(high - low, shape[1])}: {_OTHER_DATA}"
            )
        at = high
    if at != shape[0]:
        raise CheckpointError(
            f"{checkpoint.path}: the puzzle table has shape {(at, shape[1])}, the model needs"
            f" {shape}: {_OTHER_DATA}"
        )


def require_moments(
    checkpoint: LoadedCheckpoint,
    parameters: Shapes,
    keys: Mapping[str, tuple[str, ...]] | None = None,
) -> None:
    """Raise CheckpointError unless the optimizer's state is complete for each parameter that has
    any (none has before the first step), and for no others.

    keys: what the optimizer keeps of each parameter; by default what Adam keeps.
    """
    file = f"{checkpoint.path}/optimizer.safetensors"
    found = {name: info.shape for name, info in checkpoint.part("optimizer").infos.items()}
    stored = {name.partition("/")[2] for name in found}
    expected = {
        f"{key}/{name}": () if key == "step" else shape
        for name, shape in parameters.items()
        for key in (_MOMENTS if keys is None else keys[name])
        if name in stored
    }
    # Adam's kinds of state know no other; Muon keeps some of Adam's beside its own.
    kinds, wanted = ({name.partition("/")[0] for name in names} for names in (found, expected))
    if (_MUON in kinds) != (_MUON in wanted):
        raise CheckpointError(
            f"{file} is the state of {'' if _MUON in kinds else 'another optimizer than '}muon:"
            f" type optimizer={'muon' if _MUON in kinds else 'adam_atan2 (or adamw)'}, or start a"
            f" new run from its weights with init_from={checkpoint.path}"
        )
    _compare(file, found, expected)


def require_carry(checkpoint: LoadedCheckpoint, slot: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError unless every file of the carry holds exactly these tensors.

    slot: the tensors of one slot, [1, ...] by name, on any device ("meta" will do). Only shapes and
    types count; where a float is wanted any float will do. The slots must follow each other from 0
    on without a gap.
    """
    at = 0
    for low, high, part in carries(checkpoint):
        where = f"{checkpoint.path}/{part}.safetensors"
        if low != at or high <= low:
            raise CheckpointError(f"{checkpoint.path}: slot {at} of the carry is in no file")
        infos = checkpoint.parts[part].infos
        shapes = {name: (high - low, *tensor.shape[1:]) for name, tensor in slot.items()}
        _compare(where, {name: info.shape for name, info in infos.items()}, shapes)
        for name, tensor in slot.items():
            found, wanted = infos[name].dtype, type_code(tensor)
            if found != wanted and not {found, wanted} <= _FLOATS:
                raise CheckpointError(f"{where}: '{name}' is of type {found}, expected {wanted}")
        at = high


def require_tokens(checkpoint: LoadedCheckpoint, limits: Mapping[str, tuple[int, int]]) -> None:
    """Raise CheckpointError unless integer tensors of the carry lie in their (lowest, highest).

    Reads these tensors of all slots; they are small.
    """
    for _, _, part in carries(checkpoint):
        for name, (lowest, highest) in limits.items():
            values = checkpoint.parts[part][name]
            if not values.numel():
                continue
            low, high = int(values.min()), int(values.max())
            if low < lowest or high > highest:
                raise CheckpointError(
                    f"{checkpoint.path}/{part}.safetensors is damaged: '{name}' holds values from"
                    f" {low} to {high}, allowed are {lowest} to {highest}"
                )


def _compare(where: str, found: Shapes, expected: Shapes) -> None:
    if missing := sorted(expected.keys() - found.keys()):
        raise CheckpointError(
            f"{where} lacks '{missing[0]}' and {len(missing) - 1} more: {_OTHER_MODEL}"
        )
    if extra := sorted(found.keys() - expected.keys()):
        raise CheckpointError(
            f"{where} has '{extra[0]}' and {len(extra) - 1} more unknown to the model:"
            f" {_OTHER_MODEL}"
        )
    for name, shape in expected.items():
        if found[name] != tuple(shape):
            raise CheckpointError(
                f"{where}: '{name}' has shape {found[name]}, the model needs {tuple(shape)}:"
                f" {_OTHER_MODEL}"
            )


def _listed(found: Shapes) -> str:
    return ", ".join(f"'{name}' {shape}" for name, shape in sorted(found.items())[:3]) or "nothing"
