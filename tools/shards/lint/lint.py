"""`lint`: what `verify` checks, and whether every row means what its kind promises."""

from __future__ import annotations

from hrm_scale.base.errors import DataError
from hrm_scale.data.format.meta import DATASET_FILE, DatasetMeta
from hrm_scale.puzzles.registry import kinds

from ..report import Report
from ..tables import ArcTables
from ..verify import Meaning, run_checks


def lint(
    directory: str, *, unique: bool = False, as_json: bool = False, strict: bool = False
) -> None:
    """Print one line per check and finding. DataError when there is any fault.

    unique: also search for second solutions, where the kind can. strict: warnings are faults.
    """

    def meaning_of(meta: DatasetMeta, tables: ArcTables | None, report: Report) -> Meaning | None:
        return _meaning(meta, tables, report, unique=unique)

    run_checks(directory, meaning_of, as_json=as_json, strict=strict)


def _meaning(
    meta: DatasetMeta, tables: ArcTables | None, report: Report, *, unique: bool
) -> Meaning | None:
    """The check of a kind; None when the kind has none, or its tables are unusable."""
    puzzle = meta.puzzle
    if not puzzle.known:
        if meta.kind in kinds():
            raise DataError(
                f"{DATASET_FILE}: {meta.seq_len} cells of {meta.vocab_size} tokens on a board"
                f" {meta.board} are no puzzle of kind {meta.kind!r}: build the data set again"
            )
        report.sound(f"kind {meta.kind!r}: nothing is known about its rows")
        return None
    if not puzzle.has_tasks:
        from .boards import BoardCheck

        return BoardCheck(puzzle, report, unique=unique)
    if not meta.has_variants:
        report.sound("no table of variants: what the rows of the tasks mean is not checked")
        return None
    from .arc import ArcCheck

    return None if tables is None else ArcCheck(meta, tables, report)
