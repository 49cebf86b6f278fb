"""Augmentation of ARC while training: a variant per task, a translation per example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hrm_scale.base.errors import DataError
from hrm_scale.puzzles.arc.augment import ArcFrames, draw_offsets, draw_variants, turned_shapes
from hrm_scale.puzzles.symmetry import AugmentedRows, Originals, Symmetry


class ArcSymmetry(Symmetry):
    """Colours and dihedral transformations, which the data set lists for every task."""

    columns = ("inputs", "labels", "groups", "puzzle_identifiers", "variants", "shapes")
    uses_variants = True

    def online(
        self, originals: Originals, spec: Mapping[str, Any], variants: np.ndarray | None, name: str
    ) -> AugmentedRows:
        assert variants is not None
        return _ArcRows(originals, variants, name)


class _ArcRows:
    """All rows of a puzzle get one variant of their task, and each a translation of its own."""

    def __init__(self, originals: Originals, variants: np.ndarray, name: str) -> None:
        self._variants = variants
        self._groups = originals.column("groups")
        self._first = originals.column("puzzle_identifiers")
        self._counts = originals.column("variants")
        self._shapes = originals.column("shapes")
        last = self._first.astype(np.int64) + self._counts
        if int(last.max()) > len(variants):
            raise DataError(
                f"{name}: has variants up to identifier {int(last.max()) - 1}, but there are"
                f" {len(variants)}: type `python -m tools.shards lint {name}`"
            )
        grids = originals.column("inputs"), originals.column("labels")
        self._frames = ArcFrames(*grids, self._shapes, self._groups)
        starts = np.flatnonzero(np.append(True, self._groups[1:] != self._groups[:-1]))
        sizes = np.diff(np.append(starts, len(self._groups)))
        self._sizes = np.repeat(sizes, sizes)
        self._inside = np.arange(len(self._groups)) - np.repeat(starts, sizes)

    def take(
        self,
        chosen: np.ndarray,
        places: Sequence[Any],
        seed: int,
        out: tuple[np.ndarray, np.ndarray, np.ndarray],
    ) -> None:
        at = 0
        for place in places:
            part = slice(at, at + len(place.rows))
            rows, identifiers = chosen[part], out[2][part]
            groups = self._groups[rows]
            drawn = draw_variants(seed, place.epoch, groups, self._counts[rows])
            np.add(self._first[rows], drawn, out=identifiers, casting="unsafe")
            variants = self._variants[identifiers]
            shapes = turned_shapes(self._shapes[rows], variants)
            inside, sizes = self._inside[rows], self._sizes[rows]
            offsets = draw_offsets(seed, place.epoch, groups, inside, sizes, shapes)
            self._frames.augment(rows, variants, offsets, (out[0][part], out[1][part]))
            at = part.stop
