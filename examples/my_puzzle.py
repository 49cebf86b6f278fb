"""A puzzle of your own in one file: Queens.

Every row, column and coloured region holds exactly one queen, and no two queens touch. With
`--puzzle examples/my_puzzle.py` every program knows it; `docs/your-own-puzzle.md` shows them all:

    python -m shards.generate queens --puzzle examples/my_puzzle.py --size 6 --output-dir queens
    python -m hrm_scale.train --puzzle examples/my_puzzle.py experiment=demo data_path=queens
"""

from functools import cached_property
from itertools import permutations

import numpy as np

from hrm_scale.puzzles import (
    REGIONS,
    Dihedral,
    Drawing,
    Fault,
    Generated,
    Product,
    Puzzle,
    Relabel,
    Token,
)

LARGEST = 8  # the generator looks through all placements of queens: 5,242 of 8x8


class Queens(Puzzle):
    """Tokens: 0 padding, 1 ... n the regions (a question is all regions), then queen and empty."""

    kind = "queens"

    def __init__(self, height: int, width: int) -> None:
        super().__init__(height, width)
        if not 4 < height == width <= LARGEST:
            raise ValueError(f"Queens boards are square, 5x5 to {LARGEST}x{LARGEST}")
        regions = zip("ABCDEFGH"[:height], REGIONS, strict=False)
        self.tokens = (
            Token("padding"),
            *(Token(f"region {letter}", letter, colour) for letter, colour in regions),
            Token("queen", "Q"),
            Token("empty", "."),
        )
        self.symbols = range(1, height + 1)
        self.queen, self.empty = height + 1, height + 2
        self.answers_only = frozenset({self.queen, self.empty})
        count = len(self.tokens)
        self.symmetry = Product(
            Dihedral(height, width, count), Relabel(self.symbols, count, self.cells)
        )

    @cached_property
    def drawing(self) -> Drawing:
        return Drawing(self.height, self.width, self.tokens, background=True, regions=True)

    def faults(self, inputs: np.ndarray, answers: np.ndarray) -> list[Fault]:
        """Queens that share a row, column or region, or touch; rows and cells left open."""
        size = self.height
        queens = (answers == self.queen).reshape(-1, size, size)
        crowded = queens & ((queens.sum(1) > 1)[:, None, :] | (queens.sum(2) > 1)[:, :, None])
        for region in self.symbols:
            here = queens & (inputs == region).reshape(queens.shape)
            crowded |= here & (here.sum((1, 2)) > 1)[:, None, None]
        wide = np.pad(queens, ((0, 0), (1, 1), (1, 1))).astype(np.uint8)
        near = sum(
            wide[:, 1 + y : 1 + y + size, 1 + x : 1 + x + size]
            for y in (-1, 0, 1)
            for x in (-1, 0, 1)
        )
        undecided = (answers != self.queen) & (answers != self.empty)
        without = np.broadcast_to(~queens.any(2, keepdims=True), queens.shape)

        def fault(cells: np.ndarray, words: str, open: bool = False) -> Fault:
            return Fault(cells.reshape(answers.shape), f"cell {words}", f"cells {words}", open)

        return [
            fault(crowded, "with a queen that shares a row, column or region"),
            fault(queens & (near > 1), "with a queen that touches another"),
            fault(undecided, "with neither queen nor empty", open=True),
            fault(without, "in a row without a queen", open=True),
        ]

    def generate(self, count: int, seed: int) -> Generated:
        """Regions grown around random queens; kept where no other placement fits."""
        random = np.random.Generator(np.random.PCG64(seed))
        size = self.height
        every = np.array(list(permutations(range(size))))
        every = every[(np.abs(np.diff(every)) > 1).all(axis=1)]  # neighbours in rows do not touch
        found: list[tuple[np.ndarray, np.ndarray]] = []
        while sum(len(inputs) for inputs, _ in found) < count:
            chosen = every[random.integers(len(every), size=1024)]
            inputs = self._grown(chosen, random)
            at = inputs[:, np.arange(size) * size + every]  # region of each queen: [n, ways, size]
            fits = (np.diff(np.sort(at, axis=2), axis=2) > 0).all(axis=2)
            unique = fits.sum(axis=1) == 1
            labels = np.full(inputs.shape, self.empty, np.uint8)
            np.put_along_axis(labels, np.arange(size) * size + chosen, self.queen, axis=1)
            found.append((inputs[unique], labels[unique]))
        inputs, labels = (np.concatenate(parts)[:count] for parts in zip(*found, strict=True))
        return Generated(inputs, labels)

    def _grown(self, queens: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Boards uint8 [n, cells] of connected regions, one around each queen."""
        size, boards = self.height, np.zeros((len(queens), self.cells), np.uint8)
        columns = np.arange(size) * size + queens
        np.put_along_axis(boards, columns, np.arange(1, size + 1, dtype=np.uint8)[None], axis=1)
        boards = np.pad(boards.reshape(-1, size, size), ((0, 0), (1, 1), (1, 1)))
        inner = boards[:, 1:-1, 1:-1]
        while (inner == 0).any():
            y, x = [(0, 1), (2, 1), (1, 0), (1, 2)][random.integers(4)]
            beside = boards[:, y : y + size, x : x + size]
            grows = (inner == 0) & (random.random(inner.shape) < 0.15)
            np.copyto(inner, beside.copy(), where=grows)
        return inner.reshape(len(queens), -1).copy()
