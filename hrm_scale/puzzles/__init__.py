"""What a puzzle is: vocabulary, text, rules, symmetries and drawing of every kind, in numpy.

`Puzzle` says what a kind must give; one folder for each built-in kind implements it, and a file
outside (`--puzzle FILE`) or an installed package can add others.

Imports: base.
"""

from __future__ import annotations

from hrm_scale.puzzles.base import Fault, Generated, Problem, Puzzle, Verdict
from hrm_scale.puzzles.drawing import REGIONS, Drawing, Token
from hrm_scale.puzzles.registry import find_puzzle, puzzle_class
from hrm_scale.puzzles.symmetry import BoardSymmetry, Dihedral, Maps, Product, Relabel, Symmetry

__all__ = [
    "REGIONS",
    "BoardSymmetry",
    "Dihedral",
    "Drawing",
    "Fault",
    "Generated",
    "Maps",
    "Problem",
    "Product",
    "Puzzle",
    "Relabel",
    "Symmetry",
    "Token",
    "Verdict",
    "find_puzzle",
    "puzzle_class",
]
