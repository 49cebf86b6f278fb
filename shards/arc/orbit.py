"""The distinct variants of an ARC task, counted and numbered without trying them.

A variant is a dihedral transformation and a permutation of colours 1 ... 9, applied to all pairs of
the task; two are the same when they give the same multiset of (input, output) pairs. Only what
happens to the k colours U that occur matters, so the group acting is G = D4 x {injections of U into
1 ... 9}, and variants correspond to the cosets of the stabiliser S = {(s, p): s and p (M) = M}
with p a permutation of U: there are 8 * 9! / (9 - k)! / |S| of them.

A coset (d, f) S is the product of two: the turns d D, where D is what S does to the plane, and the
injections f K, where K are the members of S that leave the plane alone. Its *representative* is the
smallest turn of d D with the lexicographically smallest colouring; colours that do not
occur take the colours left, ascending. So the original is represented by the identity.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hrm_scale.puzzles.arc.grid import COLOURS, VARIANT_BYTES, dihedral

from .task import Pair, colours_used

_TURNS = 8
_PAINTS = COLOURS - 1  # colours that may be exchanged: all but 0
Colouring = tuple[int, ...]
"""New colour of 0 ... 9; -1 for a colour of which nothing is known."""
_NOTHING: Colouring = (-1,) * COLOURS


@dataclass(frozen=True)
class Orbit:
    """All distinct variants of a task, numbered 0 ... len - 1.

    colours: the used ones ascending, then the others ascending, uint8 [9]; used: how many are used.
    turns: the representatives of D4 / D. rows: which colourings represent their class, ascending
    numbers int32 [m] (None: all of them do).
    """

    colours: np.ndarray
    used: int
    turns: tuple[int, ...]
    rows: np.ndarray | None

    def __len__(self) -> int:
        return len(self.turns) * self._colourings

    @property
    def _colourings(self) -> int:
        if self.rows is not None:
            return len(self.rows)
        return math.perm(_PAINTS, self.used)

    @property
    def identity(self) -> int:
        """The number of the variant that changes nothing."""
        target = colourings(self.used)
        lowest, highest = 0, len(target)
        wanted = self.colours.tolist()
        while lowest < highest:
            middle = (lowest + highest) // 2
            if target[middle].tolist() < wanted:
                lowest = middle + 1
            else:
                highest = middle
        return lowest if self.rows is None else int(np.searchsorted(self.rows, lowest))

    def variants(self, numbers: np.ndarray) -> np.ndarray:
        """Representatives of these variants, uint8 [n, 11]: turn, new colour of 0 ... 9."""
        turn, row = np.divmod(numbers, self._colourings)
        if self.rows is not None:
            row = self.rows[row]
        table = np.zeros((len(numbers), VARIANT_BYTES), np.uint8)
        table[:, 0] = np.array(self.turns, np.uint8)[turn]
        table[:, 1 + self.colours.astype(np.int64)] = colourings(self.used)[row]
        return table


def orbit_of(pairs: Sequence[Pair]) -> Orbit:
    """The variants of a task with these pairs (demonstrations and tests alike)."""
    used = colours_used(pairs)
    others = [colour for colour in range(1, COLOURS) if colour not in used]
    plane, links = symmetries(pairs, used)
    turns = {min(compose(turn, own) for own in plane) for turn in range(_TURNS)}
    rows = _smallest(len(used), links) if links else None
    return Orbit(np.array(used + others, np.uint8), len(used), tuple(sorted(turns)), rows)


@lru_cache(maxsize=COLOURS)
def colourings(used: int) -> np.ndarray:
    """New colours of `used` colours, then of the others ascending, uint8 [9! / (9 - used)!, 9].

    In lexicographic order: of all permutations with the same start, the first is the one taken.
    """
    return _permutations()[:: math.factorial(_PAINTS - used)]


@lru_cache(maxsize=1)
def _permutations() -> np.ndarray:
    """All permutations of 1 ... 9 in lexicographic order, uint8 [362880, 9]."""
    table = np.ones((1, 1), np.uint8)
    for size in range(2, _PAINTS + 1):
        # A first colour, then an order of the others: those from `first` on are one larger.
        first = np.repeat(np.arange(1, size + 1, dtype=np.uint8), len(table))[:, None]
        rest = np.tile(table, (size, 1))
        table = np.concatenate([first, rest + (rest >= first)], axis=1)
    return table


def _smallest(used: int, links: Sequence[tuple[int, int]]) -> np.ndarray:
    """Numbers of the colourings that come first among all f after k, for k in K.

    f comes first if and only if, for every used colour u in turn, f(u) is the smallest of f over
    what u is sent to by those members of K that leave all used colours before u in place: `links`
    are these pairs, as places among the used colours.
    """
    table = colourings(used)
    first = np.ones(len(table), np.bool_)
    for place, other in links:
        first &= table[:, place] < table[:, other]
    return np.flatnonzero(first).astype(np.int32)


@lru_cache(maxsize=_TURNS * _TURNS)
def compose(second: int, first: int) -> int:
    """The transformation that does `first`, then `second`."""
    probe = np.arange(6).reshape(2, 3)
    wanted = dihedral(dihedral(probe, first), second)
    for turn in range(_TURNS):
        if np.array_equal(dihedral(probe, turn), wanted):
            return turn
    raise AssertionError("the dihedral transformations are closed under composition")


def symmetries(
    pairs: Sequence[Pair], used: Sequence[int]
) -> tuple[list[int], list[tuple[int, int]]]:
    """What S is made of: the turns D, and K as the links `_smallest` wants (none: K is trivial)."""
    counts = Counter(map(_looks, pairs))
    firsts = dict(zip(map(_looks, pairs), pairs, strict=True))
    places: dict[tuple[_Sides, int, bytes], list[bytes]] = {}
    for (sides, cells), count in counts.items():
        places.setdefault((sides, count, cells.translate(_BLANKS)), []).append(cells)
    plane: list[int] = []
    links: list[tuple[int, int]] = []
    for turn in range(_TURNS):
        choices: list[list[Colouring]] = []
        for looks, (question, answer) in firsts.items():
            sides, cells = _looks((dihedral(question, turn), dihedral(answer, turn)))
            targets = places.get((sides, counts[looks], cells.translate(_BLANKS)), [])
            fits = [c for target in targets if (c := _colouring(cells, target)) is not None]
            if not fits:
                break  # most turns of most tasks end here, at their first pair
            choices.append(fits)
        else:
            choices.sort(key=len)
            if _agree(_NOTHING, choices):
                plane.append(turn)
            if turn == 0 and len(choices[-1]) > 1:
                links = _links(used, choices)
    return plane, links


def _links(used: Sequence[int], choices: list[list[Colouring]]) -> list[tuple[int, int]]:
    """Places (i, j): a member of K leaves the used colours before the i-th and sends it to j-th."""
    links = []
    known = list(_NOTHING)
    for place, colour in enumerate(used):
        for other in range(place + 1, len(used)):
            known[colour] = used[other]
            if _agree(tuple(known), choices):
                links.append((place, other))
        known[colour] = colour
    return links


_Sides = tuple[int, ...]
_BLANKS = bytes([0, *[1] * 255])  # for bytes.translate: which cells are 0


def _looks(pair: Pair) -> tuple[_Sides, bytes]:
    """The sides of both grids and their cells."""
    question, answer = pair
    return question.shape + answer.shape, question.tobytes() + answer.tobytes()


def _colouring(source: bytes, target: bytes) -> Colouring | None:
    """The bijection of colours that makes one row of cells the other, if there is one."""
    # Most often a pair meets itself, and sets of numbers are faster than sets of pairs.
    sent = {(c, c) for c in {*source}} if source == target else {*zip(source, target, strict=True)}
    froms, tos = {a for a, _ in sent}, {b for _, b in sent}
    if not len(sent) == len(froms) == len(tos):
        return None
    colouring = [-1] * COLOURS
    for old, new in sent:
        colouring[old] = new
    return tuple(colouring)


def _agree(known: Colouring, choices: list[list[Colouring]]) -> bool:
    """Is there a colouring that agrees with `known` and with one choice for every pair?

    Such a colouring is injective, and distinct pairs go to distinct pairs: it permutes them.
    """
    if not choices:
        return True
    joined = (_join(known, choice) for choice in choices[0])
    return any(more is not None and _agree(more, choices[1:]) for more in joined)


def _join(one: Colouring, other: Colouring) -> Colouring | None:
    """Both together, None where they contradict each other or two colours become one."""
    joined = tuple(b if a < 0 else a for a, b in zip(one, other, strict=True))
    if any(0 <= b != a for a, b in zip(joined, other, strict=True)):
        return None
    targets = [new for new in joined if new >= 0]
    return joined if len(set(targets)) == len(targets) else None
