"""Reading a model out of whatever holds it: a run, a published file, a folder made for a hub."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from hrm_scale.base.errors import CheckpointError, ConfigError
from hrm_scale.checkpoint import AVERAGES, read_checkpoint, read_table, require_table
from hrm_scale.checkpoint.discovery import runs_here
from hrm_scale.config.saved import from_checkpoint
from hrm_scale.data import Dataset, DatasetMeta, open_dataset
from hrm_scale.interchange import rows
from hrm_scale.interchange.hub import is_hub_folder, read_hub_folder
from hrm_scale.interchange.portable import Portable, require_shapes
from hrm_scale.interchange.published_file import read_state_dict
from hrm_scale.interchange.settings import ALL_CONFIG, decide, relocated
from hrm_scale.modelling import TABLE, dataset_facts
from hrm_scale.puzzles.registry import recognise
from hrm_scale.reporting.banner import Row


@dataclass(frozen=True)
class ImportOptions:
    """What the user said of a source. See `python -m tools.checkpoint convert --help`."""

    settings: Sequence[str] = ()
    config: Path | None = None
    data_path: str | None = None
    seq_len: int | None = None
    identifiers: str = "keep"
    identifiers_file: Path | None = None
    weights: str = "auto"


def read_source(source: Path, options: ImportOptions) -> tuple[Portable, list[Row]]:
    """The model in `source`, and what was decided about it and why.

    Raises CheckpointError, ConfigError or DataError, one line, when there is none or it does not
    fit what the user said of it.
    """
    dataset = open_dataset(options.data_path) if options.data_path else None
    if not source.exists():
        raise CheckpointError(
            f"{source} does not exist: give a step_N or .safetensors file, a folder made by"
            f" convert --to safetensors, or a run folder; {runs_here()}"
        )
    if source.is_file():
        model, decisions = _published(source, options, dataset)
    else:
        if files := sorted(source.glob("step_*")):
            raise ConfigError(
                f"{source} is a folder of published checkpoints: give one file of it, such as"
                f" {files[-1]}"
            )
        if options.settings or options.config or options.seq_len:
            raise ConfigError(
                f"{source} says itself what its network is: KEY=VALUE, --arch, --config and"
                " --seq-len are for published files"
            )
        hub = is_hub_folder(source)
        model = read_hub_folder(source) if hub else _checkpoint(source, options.weights)
        decisions = [("architecture", model.run.arch.name, "as it says itself")]
    model, more = _for_data(model, options, dataset, source)
    return model, [*decisions, *more]


def _checkpoint(path: Path, weights: str) -> Portable:
    held = read_checkpoint(path)
    averaged = weights != "raw" and AVERAGES in held.parts
    if weights == "averaged" and not averaged:
        raise CheckpointError(f"{held.path} has no averaged weights: type --weights raw")
    run = from_checkpoint(held.config, held.path)
    try:
        meta = DatasetMeta(**held.state["dataset"])
    except (TypeError, KeyError) as error:
        raise CheckpointError(
            f"{held.path}/state.json does not describe the data it was trained on ({error})"
        ) from None
    part = held.part("model")
    shapes = {name: info.shape for name, info in part.infos.items()}
    require_shapes(shapes, run, meta, str(held.path))
    averages = held.part(AVERAGES) if averaged else {}
    # There are no averages of buffers, which never change.
    tensors = {name: (averages[name] if name in averages else part[name]).float() for name in part}
    table: Tensor | None = None
    if run.arch.puzzle_emb_ndim:
        size = (meta.num_puzzle_identifiers, run.arch.puzzle_emb_ndim)
        require_table(held, TABLE, size)
        table = read_table(held, TABLE, 0, size[0]).float()
    kind = "averaged" if averaged else "raw"
    require_shapes({n: tuple(t.shape) for n, t in tensors.items()}, run, meta, str(held.path))
    return Portable(tensors, table, run, meta, held.step, kind, str(held.path))


def _published(
    source: Path, options: ImportOptions, dataset: Dataset | None
) -> tuple[Portable, list[Row]]:
    state = read_state_dict(source)
    beside = source.parent / ALL_CONFIG
    config = options.config or (beside if beside.is_file() else None)
    decided = decide(
        state.shapes,
        None if state.table is None else state.table.shape[1],
        options.settings,
        config=config,
        seq_len=dataset.meta.seq_len if dataset else options.seq_len,
        where=str(source),
    )
    found = decided.inferred
    kind, board = recognise(found.seq_len, found.vocab_size)
    meta = DatasetMeta(
        kind=kind,
        storage="dense",
        vocab_size=found.vocab_size,
        seq_len=found.seq_len,
        pad_id=0,
        ignore_label_id=0,
        blank_identifier_id=0,
        num_puzzle_identifiers=1 if state.table is None else len(state.table),
        board=board,
    )
    require_shapes(state.shapes, decided.run, meta, str(source))
    width = 0 if state.table is None else state.table.shape[1]
    if decided.run.arch.puzzle_emb_ndim != width:
        raise CheckpointError(
            f"{source}: its puzzle table has {width} numbers a row, arch.puzzle_emb_ndim is"
            f" {decided.run.arch.puzzle_emb_ndim}: type arch.puzzle_emb_ndim={width}"
        )
    if options.weights == "averaged" and not state.averages:
        raise CheckpointError(f"{source} has no averages beside its weights: type --weights raw")
    averaged = bool(state.averages) and options.weights != "raw"
    tensors = {**state.tensors, **(state.averages if averaged else {})}
    kind = "averaged" if averaged else "raw"
    decisions = [
        ("settings", "" if config else "none", f"of {config}" if config else "no all_config.yaml"),
        *decided.rows,
        ("vocabulary", str(found.vocab_size), "rows of the token embedding"),
        ("length", str(found.seq_len), found.length_reason or "as the data or --seq-len say"),
    ]
    portable = Portable(tensors, state.table, decided.run, meta, state.step, kind, source.name)
    return portable, decisions


def _for_data(
    model: Portable, options: ImportOptions, dataset: Dataset | None, source: Path
) -> tuple[Portable, list[Row]]:
    """The model with the facts of the user's data set, and a table of as many rows."""
    meta, decisions = model.meta, list[Row]()
    if dataset is not None:
        for name in ("vocab_size", "seq_len"):
            ours, theirs = getattr(model.meta, name), getattr(dataset.meta, name)
            if ours != theirs:
                raise CheckpointError(
                    f"{source} has {name}={ours}, the data set {dataset.name} has {theirs}: give"
                    " data of the same kind with --data-path"
                )
        meta = DatasetMeta(**dataset_facts(dataset.meta))
    table = model.table
    if table is not None:
        table, says = _table(table, model, options, dataset, source)
        if options.identifiers == "drop":
            # Its rows are no longer those of any data set.
            meta = replace(meta, fingerprint="", blank_identifier_id=0)
        meta = replace(meta, num_puzzle_identifiers=len(table))
        decisions.append(("puzzle table", f"{len(table)}x{table.shape[1]}", says))
    where = f"of {dataset.name}" if dataset else "by vocabulary and length"
    decisions.insert(0, ("data", meta.kind, where if source.is_file() or dataset else "as it says"))
    run = relocated(model.run, data_path=options.data_path) if options.data_path else model.run
    return replace(model, table=table, meta=meta, run=run), decisions


def _table(
    table: Tensor, model: Portable, options: ImportOptions, dataset: Dataset | None, source: Path
) -> tuple[Tensor, str]:
    how, origin = options.identifiers, str(source)
    if how == "drop":
        return rows.dropped(table, model.meta.blank_identifier_id)
    if dataset is None:
        if how != "keep":
            raise rows.require_data(how)
        return rows.kept(table, None, origin, "")
    wanted = dataset.meta.num_puzzle_identifiers
    if how == "keep":
        return rows.kept(table, wanted, origin, dataset.name)
    if how == "extend":
        return rows.extended(table, wanted, origin, dataset.name)
    beside = (source if source.is_dir() else source.parent) / "identifiers.json"
    names = rows.read_names(options.identifiers_file or beside)
    return rows.remapped(table, names, dataset.identifiers(), origin, dataset.name)
