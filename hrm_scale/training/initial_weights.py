"""Starting a new run from the weights of another one (`init_from`): a fine-tuning's first step.

Taken over are the network (its moving average where the checkpoint has one) and the rows of the
puzzle table that stand for the same puzzles. Everything else is new: optimizer, carry, step 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from hrm_scale.base.errors import CheckpointError, DataError
from hrm_scale.checkpoint import (
    LoadedCheckpoint,
    changed_settings,
    read_checkpoint,
    read_table,
    require_table,
)
from hrm_scale.config.saved import from_checkpoint, to_dict
from hrm_scale.config.schema import RunConfig
from hrm_scale.data import Dataset, find_dataset, is_dataset, open_dataset
from hrm_scale.data.addresses import is_address
from hrm_scale.interchange.rows import gathered, places
from hrm_scale.modelling import TABLE
from hrm_scale.models import ActModel
from hrm_scale.optim.puzzle_table import PuzzleTable

AVERAGED, RAW = "ema", "model"
# Without an effect on what the weights mean.
_OTHERWISE = tuple(
    f"arch.{start}"
    for start in ("loss", "halt_", "act_", "depth_", "grad_", "forward_dtype", "noise_", "q_")
)


@dataclass(frozen=True)
class Initial:
    """Where the weights came from. `what` is for the banner, `notes` for the user to know."""

    path: Path
    what: str
    notes: list[str] = field(default_factory=list)

    @property
    def row(self) -> tuple[str, str, str]:
        return "weights", f"of {self.path}", self.what


def start_from(
    run: RunConfig, model: ActModel, table: PuzzleTable | None, dataset: Dataset
) -> Initial:
    """Load `run.init_from` (a checkpoint, or a run folder's newest valid one) into `model` and
    into the rows of `table` that this rank owns, before the engine takes the model.

    Raises CheckpointError, one line, before anything is changed, when there is no usable
    checkpoint or its tensors are not of the shapes that this run's network has.
    """
    assert run.init_from is not None
    try:
        checkpoint = read_checkpoint(Path(run.init_from))
    except CheckpointError as error:
        raise CheckpointError(f"init_from={run.init_from}: {error}") from None
    tensors, averaged = _network(checkpoint)
    _require_shapes(checkpoint, run, tensors, dict(model.state_dict()))
    rows, table_says, notes = _rows(checkpoint, table, dataset)
    model.load_state_dict(tensors)
    if table is not None and rows is not None:
        table.load_rows(rows)
    kind = "moving average" if averaged else "weights"
    what = f"{kind} of step {checkpoint.step}; optimizer, carry and step are new; {table_says}"
    if changed := _differences(checkpoint, run):
        notes.append(f"the network of init_from had other settings: {'; '.join(changed)}")
    return Initial(checkpoint.path, what, notes)


def _network(checkpoint: LoadedCheckpoint) -> tuple[dict[str, Tensor], bool]:
    """Parameters and buffers by name, and whether the parameters are averaged ones."""
    tensors = dict(checkpoint.part(RAW).items())
    averaged = AVERAGED in checkpoint.parts
    if averaged:
        # An average is kept of parameters only; the fixed first states lie with the raw ones.
        tensors |= dict(checkpoint.part(AVERAGED).items())
    return tensors, averaged


def _require_shapes(
    checkpoint: LoadedCheckpoint,
    run: RunConfig,
    found: dict[str, Tensor],
    wanted: dict[str, Tensor],
) -> None:
    names = [*wanted, *(name for name in found if name not in wanted)]
    for name in names:
        there, here = found.get(name), wanted.get(name)
        if there is not None and here is not None and there.shape == here.shape:
            continue
        raise CheckpointError(
            f"init_from={run.init_from}: '{name}' is {_shape(there)} in {checkpoint.path} and"
            f" {_shape(here)} in this run ({_reason(checkpoint, run)}); allowed: a checkpoint of"
            " the same network and vocabulary; give its arch settings here"
        )


def _reason(checkpoint: LoadedCheckpoint, run: RunConfig) -> str:
    """The settings that differ, as far as the checkpoint's config.json tells."""
    shown = "; ".join(_differences(checkpoint, run)[:4])
    return shown or "same arch settings, so the data have another vocabulary or length"


def _shape(tensor: Tensor | None) -> str:
    return "missing" if tensor is None else "x".join(map(str, tensor.shape)) or "a number"


def _differences(checkpoint: LoadedCheckpoint, run: RunConfig) -> list[str]:
    """``arch.KEY: THERE -> HERE`` of the settings that change what weights mean."""
    try:
        there = to_dict(from_checkpoint(checkpoint.config, checkpoint.path))
    except CheckpointError:
        return []  # of another release: the tensors decide
    lines = changed_settings({"arch": there["arch"]}, {"arch": to_dict(run)["arch"]})
    return [line for line in lines if not line.startswith(_OTHERWISE)]


def _rows(
    checkpoint: LoadedCheckpoint, table: PuzzleTable | None, dataset: Dataset
) -> tuple[Tensor | None, str, list[str]]:
    """This rank's rows of the table (None for zeros), words for the banner, and notes."""
    if table is None:
        return None, "no puzzle table", []
    facts = checkpoint.state.get("dataset")
    facts = facts if isinstance(facts, dict) else {}
    count, width = _stored_size(checkpoint, facts)
    fresh = "puzzle table from zero"
    if width != table.width:
        had = "none" if width is None else f"{width} numbers a puzzle"
        return None, fresh, [f"{fresh}: this run has {table.width} numbers a puzzle, it had {had}"]
    require_table(checkpoint, TABLE, (count, width))
    low, high = table.owned
    meta = dataset.meta
    same_task = count == meta.num_puzzle_identifiers == 1 and facts.get("kind") == meta.kind
    same = count == table.num_identifiers and facts.get("fingerprint") == meta.fingerprint
    if same or same_task:
        return read_table(checkpoint, TABLE, low, high), "puzzle table taken over", []
    names, why = _names_there(checkpoint, facts, count)
    if names is None:
        return None, fresh, [f"{fresh}: other puzzles than those of init_from, and {why}"]
    source = places(names, dataset.identifiers())
    taken = int((source >= 0).sum())
    note = (
        f"puzzle table: {taken:,} of {len(source):,} rows are of puzzles with the same name in"
        f" init_from and are taken over, {len(source) - taken:,} start at zero"
    )
    rows = gathered(
        lambda start, stop: read_table(checkpoint, TABLE, start, stop),
        source[low:high],
        count,
        table.width,
    )
    return rows, f"{taken:,} rows of the puzzle table taken over", [note]


def _stored_size(checkpoint: LoadedCheckpoint, facts: dict[str, Any]) -> tuple[int, int | None]:
    """(rows, numbers a row) of the checkpoint's table; None numbers when it has none."""
    for part, file in checkpoint.parts.items():
        if part.startswith("puzzle_table") and TABLE in file.infos:
            shape = file.infos[TABLE].shape
            if len(shape) == 2 and isinstance(count := facts.get("num_puzzle_identifiers"), int):
                return count, shape[1]
    return 0, None


def _names_there(
    checkpoint: LoadedCheckpoint, facts: dict[str, Any], count: int
) -> tuple[list[str] | None, str]:
    """Names of the checkpoint's rows, from the data set it was trained on if that is still there;
    else why not."""
    path = checkpoint.config.get("data_path")
    # An address inside a file that somebody else may have written is not followed.
    path = find_dataset(path, checkpoint.folders) if isinstance(path, str) else None
    if path is None or is_address(path) or not is_dataset(path):
        return None, "the data set that names them is not on this machine"
    try:
        dataset = open_dataset(path)
        if dataset.meta.fingerprint != facts.get("fingerprint"):
            return None, f"{path} is no longer the data set that names them"
        names = dataset.identifiers()
    except DataError as error:
        return None, f"their names cannot be read ({error})"
    if len(names) != count or len(set(names)) != count:
        return None, f"{path} does not name each of them once"
    return names, ""
