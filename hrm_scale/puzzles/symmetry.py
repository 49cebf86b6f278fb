"""Symmetries of boards: drawn by number, applied, undone, and the same puzzle recognised.

A symmetry of one board moves its cells and renames its tokens (`Maps`). Small symmetries compose:
`Product(Dihedral(6, 6), Relabel(range(1, 7), tokens=9, cells=36))`. The loader, builders of dense
data sets, the viewer and lint all use the same object, so that none can differ from another.

Which symmetry: number `index` of group `group` is drawn by ``key = make_key(SYMMETRY, seed, group
<< 32 | index)``; index 0 is the identity. So it depends on no batch, process or order.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from hrm_scale.base.counter import (
    AUGMENT_DRAW,
    GAMMA,
    SYMMETRY,
    below,
    fold_array,
    make_key,
    mix_array,
)

_MOST_ELEMENTS = 4096
_BLOCK = 256


@dataclass(frozen=True)
class Maps:
    """n symmetries: ``new[c] = tokens[old[cells[c]]]``.

    cells: intp [n, S], which old cell each new cell shows. tokens: uint8 [n, V], the new token of
    each old one.
    """

    cells: np.ndarray
    tokens: np.ndarray

    def __len__(self) -> int:
        return len(self.cells)

    def apply(self, boards: np.ndarray) -> np.ndarray:
        """Board i under symmetry i, uint8 [n, S]."""
        moved = np.take_along_axis(boards, self.cells, axis=1)
        return np.take_along_axis(self.tokens, moved.astype(np.intp), axis=1)

    def undo(self, boards: np.ndarray) -> np.ndarray:
        """What `apply` made board i from, uint8 [n, S]; any tokens below V."""
        return self.inverse().apply(boards)

    def inverse(self) -> Maps:
        cells = np.argsort(self.cells, axis=1)
        return Maps(cells, np.argsort(self.tokens, axis=1).astype(np.uint8))

    def then(self, after: Maps) -> Maps:
        """These symmetries followed by those of `after`."""
        cells = np.take_along_axis(self.cells, after.cells, axis=1)
        tokens = np.take_along_axis(after.tokens, self.tokens.astype(np.intp), axis=1)
        return Maps(cells, tokens)


class Originals(Protocol):
    """Stored rows that are augmented again and again."""

    @property
    def in_memory(self) -> bool: ...

    def column(self, name: str) -> np.ndarray: ...

    def take(self, name: str, rows: np.ndarray, out: np.ndarray) -> None: ...


class Place(Protocol):
    """Consecutive positions of one epoch, and the rows that are trained on there."""

    epoch: int
    offset: int
    rows: np.ndarray


class AugmentedRows(Protocol):
    """Originals, ready to be augmented."""

    def take(
        self,
        chosen: np.ndarray,
        places: Sequence[Any],
        seed: int,
        out: tuple[np.ndarray, np.ndarray, np.ndarray],
    ) -> None:
        """Rows `chosen` (those of `places`, joined), each augmented as drawn for its place.

        out: inputs uint8 [n, S], labels uint8 [n, S], puzzle identifiers int32 [n]; written.
        """
        ...


class Symmetry(ABC):
    """How the originals of a data set become other examples of the same kind."""

    columns: tuple[str, ...] = ("inputs", "labels", "groups")
    """Stored columns that augmenting while training reads."""
    uses_variants = False
    """Does it need the table of variants, which the data set stores?"""

    @abstractmethod
    def online(
        self, originals: Originals, spec: Mapping[str, Any], variants: np.ndarray | None, name: str
    ) -> AugmentedRows:
        """Rows to augment while training. spec: `augmentation` of the data set called `name`."""


class BoardSymmetry(Symmetry):
    """Symmetries of single boards, drawn uniformly."""

    @property
    @abstractmethod
    def order(self) -> int:
        """How many symmetries there are."""

    @abstractmethod
    def draw(self, keys: np.ndarray) -> Maps:
        """One symmetry for each key, uint64 [n], uniform over all of them."""

    def maps(self, groups: np.ndarray, index: np.ndarray, seed: int) -> Maps:
        """Symmetry number `index` of its group, integers [n] each."""
        keys = symmetry_keys(groups, index, seed)
        drawn = self.draw(keys)
        original = np.flatnonzero(index == 0)
        drawn.cells[original] = np.arange(drawn.cells.shape[1])
        drawn.tokens[original] = np.arange(drawn.tokens.shape[1])
        return drawn

    def augment(
        self,
        inputs: np.ndarray,
        labels: np.ndarray,
        groups: np.ndarray,
        index: np.ndarray,
        seed: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Symmetry number `index` of its group of every example: inputs, labels uint8 [n, S]."""
        out = np.empty_like(inputs), np.empty_like(labels)
        rows = np.arange(len(inputs))
        self.augment_rows(self.prepare(inputs, labels), rows, groups, index, seed, out)
        return out

    def prepare(self, inputs: np.ndarray, labels: np.ndarray) -> Any:
        """A table of examples for `augment_rows`."""
        return inputs, labels

    def augment_rows(
        self,
        table: Any,
        rows: np.ndarray,
        groups: np.ndarray,
        index: np.ndarray,
        seed: int,
        out: tuple[np.ndarray, np.ndarray],
    ) -> None:
        """`augment` of rows `rows` of a table, written to `out`."""
        for start in range(0, len(rows), _BLOCK):
            part = slice(start, start + _BLOCK)
            maps = self.maps(groups[part], index[part], seed)
            for boards, target in zip(table, out, strict=True):
                target[part] = maps.apply(boards[rows[part]])

    def elements(self) -> Maps:
        """All symmetries; ValueError where there are too many to list."""
        raise ValueError(f"{self.order} symmetries are too many to list")

    def normalise(self, boards: np.ndarray) -> np.ndarray:
        """The same board for all renamings of tokens that `elements` does not list."""
        return boards

    def keys(self, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """uint64 [n], equal where examples are the same up to symmetry."""
        every = self.elements()
        pairs = np.concatenate([inputs, labels], axis=1)
        smallest = np.full(len(pairs), np.iinfo(np.uint64).max, np.uint64)
        cells = inputs.shape[1]
        for number in range(len(every)):
            order, names = every.cells[number], every.tokens[number]
            moved = names[pairs[:, np.concatenate([order, order + cells])]]
            smallest = np.minimum(smallest, hash_rows(_words(self.normalise(moved))))
        return smallest

    def online(
        self, originals: Originals, spec: Mapping[str, Any], variants: np.ndarray | None, name: str
    ) -> AugmentedRows:
        return _BoardRows(self, originals, spec)


class _BoardRows:
    """Every row gets one of its `count` symmetries, drawn for its place in the epoch."""

    def __init__(
        self, symmetry: BoardSymmetry, originals: Originals, spec: Mapping[str, Any]
    ) -> None:
        self._symmetry, self._originals, self._spec = symmetry, originals, spec
        self._groups = originals.column("groups")
        self._table: Any = None
        if originals.in_memory:
            self._table = symmetry.prepare(originals.column("inputs"), originals.column("labels"))

    def take(
        self,
        chosen: np.ndarray,
        places: Sequence[Any],
        seed: int,
        out: tuple[np.ndarray, np.ndarray, np.ndarray],
    ) -> None:
        count = self._spec["count"]
        drawn = [draw_augmentations(count, seed, p.epoch, p.offset, len(p.rows)) for p in places]
        table, rows = self._table, chosen
        if table is None:
            boards = np.empty((2, *out[0].shape), np.uint8)
            self._originals.take("inputs", chosen, boards[0])
            self._originals.take("labels", chosen, boards[1])
            table, rows = self._symmetry.prepare(*boards), np.arange(len(chosen))
        index = np.concatenate(drawn)
        self._symmetry.augment_rows(
            table, rows, self._groups[chosen], index, self._spec["seed"], (out[0], out[1])
        )


class Dihedral(BoardSymmetry):
    """Rotations and reflections: eight of a square board, four of another, or only `turns`."""

    def __init__(
        self, height: int, width: int, tokens: int, turns: Sequence[int] | None = None
    ) -> None:
        cells = np.arange(height * width).reshape(height, width)
        turns = turns or (range(8) if height == width else (0, 2, 4, 5))
        self.gathers = np.stack([dihedral(cells, turn).ravel() for turn in turns])
        self._tokens = np.arange(tokens, dtype=np.uint8)

    @property
    def order(self) -> int:
        return len(self.gathers)

    def draw(self, keys: np.ndarray) -> Maps:
        return self._of(below(keys, self.order))

    def elements(self) -> Maps:
        return self._of(np.arange(self.order))

    def _of(self, numbers: np.ndarray) -> Maps:
        return Maps(self.gathers[numbers], np.tile(self._tokens, (len(numbers), 1)))


class Relabel(BoardSymmetry):
    """Any renaming of the tokens `symbols` among each other."""

    def __init__(self, symbols: range, tokens: int, cells: int) -> None:
        self._symbols, self._tokens, self._cells = symbols, tokens, cells

    @property
    def order(self) -> int:
        return math.factorial(len(self._symbols))

    def draw(self, keys: np.ndarray) -> Maps:
        count, first = len(self._symbols), self._symbols.start
        steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GAMMA)
        ranks = np.argsort(mix_array(keys[:, None] + steps), axis=1, kind="stable")
        tokens = np.tile(np.arange(self._tokens, dtype=np.uint8), (len(keys), 1))
        tokens[:, first : first + count] = ranks + first
        return Maps(np.tile(np.arange(self._cells), (len(keys), 1)), tokens)

    def elements(self) -> Maps:
        return Maps(np.arange(self._cells)[None], np.arange(self._tokens, dtype=np.uint8)[None])

    def normalise(self, boards: np.ndarray) -> np.ndarray:
        """Symbols renamed in the order in which they first occur."""
        first = np.full((len(boards), 256), boards.shape[1], np.int64)
        for symbol in self._symbols:
            found = boards == symbol
            first[:, symbol] = np.where(found.any(1), found.argmax(1), boards.shape[1])
        names = np.tile(np.arange(256, dtype=np.uint8), (len(boards), 1))
        part = slice(self._symbols.start, self._symbols.stop)
        order = np.argsort(first[:, part], axis=1, kind="stable")
        names[:, part] = np.argsort(order, axis=1) + self._symbols.start
        return np.take_along_axis(names, boards.astype(np.intp), axis=1)


class Lines(BoardSymmetry):
    """Bands of rows permuted, and the rows in each; of columns with axis=1."""

    def __init__(self, height: int, width: int, band: int, tokens: int, axis: int = 0) -> None:
        self._shape, self._band, self._axis = (height, width), band, axis
        self._tokens = np.arange(tokens, dtype=np.uint8)
        self._lines = self._shape[axis]

    @property
    def order(self) -> int:
        bands = self._lines // self._band
        return math.factorial(bands) * math.factorial(self._band) ** bands

    def draw(self, keys: np.ndarray) -> Maps:
        bands = self._lines // self._band
        steps = np.arange(1, bands + self._lines + 1, dtype=np.uint64) * np.uint64(GAMMA)
        draws = mix_array(keys[:, None] + steps)
        order = np.argsort(draws[:, :bands], axis=1, kind="stable")
        inner = draws[:, bands:].reshape(len(keys), bands, self._band).argsort(2, kind="stable")
        return self._of((order[:, :, None] * self._band + inner).reshape(len(keys), -1))

    def elements(self) -> Maps:
        if self.order > _MOST_ELEMENTS:
            return super().elements()
        return self._of(line_orders(self._lines, self._band))

    def _of(self, lines: np.ndarray) -> Maps:
        cells = np.arange(math.prod(self._shape)).reshape(self._shape)
        moved = cells[lines] if self._axis == 0 else cells.T[lines].swapaxes(1, 2)
        count = len(lines)
        return Maps(moved.reshape(count, -1), np.tile(self._tokens, (count, 1)))


class Product(BoardSymmetry):
    """One of each factor, the first applied first."""

    def __init__(self, *factors: BoardSymmetry) -> None:
        self._factors = factors

    @property
    def order(self) -> int:
        return math.prod(factor.order for factor in self._factors)

    def draw(self, keys: np.ndarray) -> Maps:
        streams = [
            mix_array(fold_array(make_key(SYMMETRY, number), keys))
            for number in range(len(self._factors))
        ]
        drawn = [f.draw(stream) for f, stream in zip(self._factors, streams, strict=True)]
        joined = drawn[0]
        for maps in drawn[1:]:
            joined = joined.then(maps)
        return joined

    def elements(self) -> Maps:
        joined = self._factors[0].elements()
        for factor in self._factors[1:]:
            more = factor.elements()
            if len(joined) * len(more) > _MOST_ELEMENTS:
                return super().elements()
            left = np.repeat(np.arange(len(joined)), len(more))
            right = np.tile(np.arange(len(more)), len(joined))
            joined = Maps(joined.cells[left], joined.tokens[left]).then(
                Maps(more.cells[right], more.tokens[right])
            )
        return joined

    def normalise(self, boards: np.ndarray) -> np.ndarray:
        for factor in self._factors:
            boards = factor.normalise(boards)
        return boards


def line_orders(lines: int, band: int) -> np.ndarray:
    """All orders of `lines` lines that keep bands of `band` of them together, int64 [orders,
    lines]; entry 0 is 0, 1, 2 ..."""
    bands = lines // band
    orders = np.array(list(itertools.permutations(range(bands))))
    inner = np.array(list(itertools.permutations(range(band))))
    choices = inner[np.array(list(itertools.product(range(len(inner)), repeat=bands)))]
    # [order of the bands, orders inside them, band, line]
    return (orders[:, None, :, None] * band + choices).reshape(-1, lines)


def dihedral(grid: np.ndarray, number: int) -> np.ndarray:
    """Transformation 0 ... 7 of the last two axes; a view.

    0 nothing; 1, 2, 3 quarter turns counter-clockwise; 4 left-right and 5 up-down mirrored; 6
    transposed; 7 mirrored at the other diagonal.
    """
    if not 0 <= number <= 7:
        raise ValueError(f"{number} is not a dihedral transformation, they are 0 to 7")
    if number in (1, 3, 6, 7):
        grid = np.swapaxes(grid, -1, -2)
    if number in (1, 2, 5, 7):
        grid = grid[..., ::-1, :]
    if number in (2, 3, 4, 7):
        grid = grid[..., ::-1]
    return grid


def symmetry_keys(groups: np.ndarray, index: np.ndarray, seed: int) -> np.ndarray:
    """The key of symmetry number `index` of each group, uint64 [n]."""
    names = groups.astype(np.uint64)
    names <<= np.uint64(32)
    names |= index.astype(np.uint64)
    return fold_array(make_key(SYMMETRY, seed), names)


def draw_augmentations(count: int, seed: int, epoch: int, offset: int, examples: int) -> np.ndarray:
    """Augmentation index 0 ... count of each position of an epoch from `offset` on, int64 [n]."""
    offsets = np.arange(offset, offset + examples, dtype=np.uint64)
    return below(fold_array(make_key(AUGMENT_DRAW, seed, epoch), offsets), count + 1)


def _words(rows: np.ndarray) -> np.ndarray:
    """Rows of bytes as rows of an eighth as many words, which are hashed faster."""
    filled = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 8)))
    return np.ascontiguousarray(filled).view("<u8")


def hash_rows(rows: np.ndarray) -> np.ndarray:
    """A 64-bit hash of each row of unsigned integers, uint64 [n]."""
    keys = np.zeros(len(rows), np.uint64)
    for column in rows.T:
        keys = mix_array(fold_array(keys, column))
    return keys
