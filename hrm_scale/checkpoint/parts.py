"""Names inside the part files: what turns a model, an optimizer or a carry into named tensors.

Everything is keyed by parameter name or slot number, never by rank or by order, so that any engine
and any number of ranks can read what any other wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hrm_scale.base.errors import CheckpointError
from hrm_scale.base.redaction import redact_values
from hrm_scale.base.untrusted import printable
from hrm_scale.checkpoint.loaded import LoadedCheckpoint

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

_CARRY = re.compile(r"carry-(\d{8,})-(\d{8,})")
_MOST_LINES = 200
_SHOWN = 200  # characters of a value


_TABLE = "puzzle_table"
_TABLE_ROWS = re.compile(r"puzzle_table-(\d{8,})-(\d{8,})")


def table_part_name(start: int, stop: int, whole: bool) -> str:
    """Part that holds rows [start, stop) of the puzzle table."""
    return _TABLE if whole else f"{_TABLE}-{start:08d}-{stop:08d}"


def read_table(checkpoint: LoadedCheckpoint, name: str, start: int, stop: int) -> Tensor:
    """Rows [start, stop) of the puzzle table, whatever files they are in, reading no others."""
    import torch

    pieces = [
        checkpoint.parts[part].rows(name, max(start, low) - low, min(stop, high) - low)
        for low, high, part in table_parts(checkpoint, name)
        if low <= start < high or start < low < stop
    ]
    if not pieces:
        width = checkpoint.parts[table_parts(checkpoint, name)[0][2]].infos[name].shape[1]
        return torch.empty(0, width)
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces)


def table_parts(checkpoint: LoadedCheckpoint, name: str) -> list[tuple[int, int, str]]:
    """(first row, row after the last, part) of each file of the table, in row order.

    Raises CheckpointError when the one file there is holds no such tensor.
    """
    if _TABLE in checkpoint.parts:
        info = checkpoint.parts[_TABLE].infos.get(name)
        if info is None or not info.shape:
            raise CheckpointError(f"{checkpoint.path}/{_TABLE}.safetensors has no table '{name}'")
        return [(0, info.shape[0], _TABLE)]
    return sorted(
        (int(match[1]), int(match[2]), part)
        for part in checkpoint.parts
        if (match := _TABLE_ROWS.fullmatch(part))
    )


def carry_part_name(start: int, stop: int) -> str:
    """Part that holds slots [start, stop) of the global batch."""
    return f"carry-{start:08d}-{stop:08d}"


def read_carry(checkpoint: LoadedCheckpoint, start: int, stop: int) -> dict[str, Tensor]:
    """Slots [start, stop) of the carry by tensor name, whatever files they were dealt to.

    Raises CheckpointError when the checkpoint does not hold all of these slots.
    """
    import torch

    held = carries(checkpoint)
    pieces: dict[str, list[Tensor]] = {}
    at = start
    for low, high, name in held:
        if low <= at < min(high, stop):
            upto = min(high, stop)
            file = checkpoint.parts[name]
            for key in file:
                pieces.setdefault(key, []).append(file.rows(key, at - low, upto - low))
            at = upto
    if at < stop:
        raise CheckpointError(
            f"{checkpoint.path} holds no carry for slot {at}, slots {start} to {stop - 1} are"
            " needed: continue with the global_batch_size it was written with"
        )
    return {key: torch.cat(rows) for key, rows in pieces.items()}


def carried_slots(checkpoint: LoadedCheckpoint) -> int:
    """How many slots the carry has: the global batch size it was written with."""
    return max((stop for _, stop, _ in carries(checkpoint)), default=0)


def carries(checkpoint: LoadedCheckpoint) -> list[tuple[int, int, str]]:
    """(first slot, slot after the last, name) of every part of the carry, in slot order."""
    return sorted(
        (int(match[1]), int(match[2]), name)
        for name in checkpoint.parts
        if (match := _CARRY.fullmatch(name))
    )


def pack_optimizer(
    named_parameters: Iterable[tuple[str, Tensor]], optimizer: Optimizer
) -> dict[str, Tensor]:
    """Optimizer state as `KEY/PARAMETER`, such as `exp_avg/inner.lm_head.weight`.

    Tensors keep their type; plain numbers (step counts) become 0-dimensional int64 or float64.
    """
    import torch

    packed: dict[str, Tensor] = {}
    for name, parameter in named_parameters:
        for key, value in optimizer.state.get(parameter, {}).items():
            if not isinstance(value, torch.Tensor):
                wide = torch.int64 if isinstance(value, int) else torch.float64
                value = torch.tensor(value, dtype=wide)
            packed[f"{key}/{name}"] = value
    return packed


def unpack_optimizer(
    tensors: Mapping[str, Tensor],
    named_parameters: Iterable[tuple[str, Tensor]],
    optimizer: Optimizer,
) -> None:
    """Put back what `pack_optimizer` took, onto each parameter's device.

    0-dimensional int64 and float64 values become plain numbers again. Raises CheckpointError
    when a moment's shape is not its parameter's, or a stored name has no parameter.
    """
    import torch

    parameters = dict(named_parameters)
    state: dict[Tensor, dict[str, Any]] = {}
    for full_name, tensor in tensors.items():
        key, _, name = full_name.partition("/")
        if name not in parameters:
            raise CheckpointError(f"optimizer state '{full_name}' has no parameter '{name}'")
        parameter = parameters[name]
        value: Any
        if tensor.dim() == 0:
            plain = tensor.dtype in (torch.int64, torch.float64)
            value = tensor.item() if plain else tensor
        elif tensor.shape != parameter.shape:
            raise CheckpointError(
                f"optimizer state '{full_name}' has shape {tuple(tensor.shape)},"
                f" its parameter has {tuple(parameter.shape)}"
            )
        else:
            value = tensor.to(parameter.device)
        state.setdefault(parameter, {})[key] = value
    for parameter, values in state.items():
        optimizer.state[parameter] = values


def changed_settings(saved: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """`KEY: OLD -> NEW` for every setting that differs, nested keys joined by dots.

    Credentials are masked on both sides. After _MOST_LINES lines one tells how many more there are.
    """
    lines = list(_differences(redact_values(saved), redact_values(now), ""))
    more = len(lines) - _MOST_LINES
    return lines if more <= 0 else [*lines[:_MOST_LINES], f"and {more} more"]


def _differences(saved: Mapping[str, Any], now: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key in sorted(saved.keys() | now.keys()):
        old, new = saved.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differences(old, new, f"{prefix}{key}.")
        elif old != new:
            # One side comes out of a file, and the line goes to a terminal.
            name, before, after = (printable(text, _SHOWN) for text in (f"{prefix}{key}", old, new))
            yield f"{name}: {before} -> {after}"
