"""`lint`: what `verify` checks, and whether every row means what its kind promises."""

from __future__ import annotations

from hrm_scale.data.format.meta import DatasetMeta

from ..report import Report
from ..tables import ArcTables
from ..verify import Meaning, run_checks


def lint(
    directory: str, *, unique: bool = False, as_json: bool = False, strict: bool = False
) -> None:
    """Print one line per check and finding. DataError when there is any fault.

    unique: also search Sudokus for second solutions. strict: warnings are faults.
    """

    def meaning_of(meta: DatasetMeta, tables: ArcTables | None, report: Report) -> Meaning | None:
        return _meaning(meta, tables, report, unique=unique)

    run_checks(directory, meaning_of, as_json=as_json, strict=strict)


def _meaning(
    meta: DatasetMeta, tables: ArcTables | None, report: Report, *, unique: bool
) -> Meaning | None:
    """The check of a kind; None when the kind has none, or its tables are unusable."""
    if meta.kind == "arc":
        from .arc import ArcCheck

        if meta.augmentation.get("kind") != "arc":
            report.sound("no table of variants: what the rows of the tasks mean is not checked")
            return None
        return None if tables is None else ArcCheck(meta, tables, report)
    from .boards import BoardCheck, MazeRules, SudokuRules

    if meta.kind == "sudoku":
        return BoardCheck(SudokuRules(meta, unique=unique), report)
    if meta.kind == "maze":
        return BoardCheck(MazeRules(meta), report)
    report.sound(f"kind {meta.kind!r}: nothing is known about its rows")
    return None
