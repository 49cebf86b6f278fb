"""ARC augmentation in bulk: variants (colours and dihedral) and translations of example pairs.

The draws, keyed by (seed, epoch, group), so that they depend on no batch, rank or order::

    variant = below(key(VARIANT, seed, epoch, group), variants of the task)
    still = below(key(STILL, seed, epoch, group), examples of the puzzle)
    place = key(TRANSLATION, seed, epoch, group, example of the puzzle)
    row = below(place, 31 - tallest);  column = below(mix(place + GAMMA), 31 - widest)

Example `still` of a puzzle stays at (0, 0), the others are moved to (row, column), where tallest
and widest are of input and output together. This is the law of the published builder, which
draws once for all epochs. Dense storage has the draws of "epoch" k in stripe k.

Speed: question and answer share one frame of bytes, a nibble each. A frame under a dihedral
transformation is made once, as bytes whose lines are 30 apart. A translation then is the place it
is copied to, and a permutation of colours one `bytes.translate` for both grids.
"""

from __future__ import annotations

import numpy as np

from hrm_scale.base.counter import (
    GAMMA,
    STILL,
    TRANSLATION,
    VARIANT,
    below,
    fold_array,
    make_key,
    mix_array,
)
from hrm_scale.puzzles.arc.grid import CELLS, COLOURS, EOS, FIRST_COLOUR, SIDE, dihedral
from hrm_scale.puzzles.arc.kernel import kernel

_BLOCK = 256  # examples whose frames are unpacked while they are in the second-level cache
_NOTHING = bytes(CELLS)
_TURNED = np.array([0, 1, 0, 1, 0, 0, 1, 1], np.bool_)  # transformations that swap the sides


def draw_variants(seed: int, epoch: int, groups: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Variant 0 ... counts - 1 of each group in an epoch, int64 [n]."""
    return below(fold_array(make_key(VARIANT, seed, epoch), groups), counts)


def draw_offsets(
    seed: int,
    epoch: int,
    groups: np.ndarray,
    inside: np.ndarray,
    sizes: np.ndarray,
    shapes: np.ndarray,
) -> np.ndarray:
    """Row and column that each example is moved to in an epoch, int64 [n, 2].

    groups: of each example; inside: its number in its puzzle; sizes: examples of that puzzle;
    shapes: [n, 4] sides of its grids as they are moved (`turned_shapes`).
    """
    place = fold_array(fold_array(make_key(TRANSLATION, seed, epoch), groups), inside)
    tallest = np.maximum(shapes[:, 0], shapes[:, 2]).astype(np.int64)
    widest = np.maximum(shapes[:, 1], shapes[:, 3]).astype(np.int64)
    offsets = np.empty((len(groups), 2), np.int64)
    offsets[:, 0] = below(place, SIDE + 1 - tallest)
    offsets[:, 1] = below(mix_array(place + np.uint64(GAMMA)), SIDE + 1 - widest)
    still = below(fold_array(make_key(STILL, seed, epoch), groups), sizes)
    offsets[still == inside] = 0
    return offsets


def turned_shapes(shapes: np.ndarray, variants: np.ndarray) -> np.ndarray:
    """Sides [n, 4] of the grids once they are under their variants [n, 11]."""
    return np.where(_TURNED[variants[:, 0]][:, None], shapes[:, [1, 0, 3, 2]], shapes)


class ArcFrames:
    """Original pairs, ready to be augmented again and again. Thread-safe.

    inputs, labels: uint8 [n, 900], untranslated, with their EOS; shapes: uint8 [n, 4], height and
    width of the input, then of the output; groups: [n], the same for neighbours that are examples
    of one puzzle. The pairs are read when one of their puzzle is first needed.
    """

    def __init__(
        self, inputs: np.ndarray, labels: np.ndarray, shapes: np.ndarray, groups: np.ndarray
    ) -> None:
        self._inputs, self._labels, self._shapes = inputs, labels, shapes
        new = np.append(True, groups[1:] != groups[:-1])
        self._bounds = np.append(np.flatnonzero(new), len(groups))
        self._puzzle = np.cumsum(new) - 1
        # By puzzle and transformation: its frames after each other.
        self._frames: list[bytes | None] = [None] * (8 * len(self._bounds) - 8)
        widest, tallest = (
            np.maximum(shapes[:, 1], shapes[:, 3]),
            np.maximum(shapes[:, 0], shapes[:, 2]),
        )
        # By row and transformation: its widest grid; where its frame begins and ends in `_frames`.
        self._widest = np.where(_TURNED, tallest[:, None], widest[:, None]).ravel().astype(np.int64)
        self._begin = np.zeros(8 * len(inputs), np.int64)
        self._end = np.zeros(8 * len(inputs), np.int64)

    def augment(
        self,
        rows: np.ndarray,
        variants: np.ndarray,
        offsets: np.ndarray,
        out: tuple[np.ndarray, np.ndarray],
    ) -> None:
        """Pairs number `rows` (int64 [n]) under variants (uint8 [n, 11]), moved to offsets [n, 2].

        out: (inputs, labels), uint8 [n, 900], written in place. The offsets must leave room. It is
        fastest where the examples of a puzzle follow each other under one variant.
        """
        if (compiled := kernel()) is not None:
            compiled(self._inputs, self._labels, self._shapes, rows, variants, offsets, *out)
            return
        for start in range(0, len(rows), _BLOCK):
            part = slice(start, min(start + _BLOCK, len(rows)))
            self._block(rows[part], variants[part], offsets[part], (out[0][part], out[1][part]))

    def _block(
        self,
        rows: np.ndarray,
        variants: np.ndarray,
        offsets: np.ndarray,
        out: tuple[np.ndarray, np.ndarray],
    ) -> None:
        entries = rows * 8 + variants[:, 0]
        numbers = self._puzzle[rows] * 8 + variants[:, 0]
        new = np.append(True, numbers[1:] != numbers[:-1])
        new[1:] |= (variants[1:, 1:] != variants[:-1, 1:]).any(axis=1)
        recoloured = [
            (self._frames[number] or self._make(number)).translate(table)
            for number, table in zip(
                numbers[new].tolist(), _colour_tables(variants[new]), strict=True
            )
        ]
        begins, ends = self._begin[entries], self._end[entries]
        # Frames so far apart that 900 bytes from anywhere before one hold nothing of its
        # neighbours: where they begin is the translation.
        parts = [_NOTHING]
        runs = np.cumsum(new) - 1
        for run, begin, end in zip(runs.tolist(), begins.tolist(), ends.tolist(), strict=True):
            parts.append(recoloured[run][begin:end])
            parts.append(_NOTHING)
        content = b"".join(parts)
        starts = np.cumsum(ends - begins + CELLS) - (ends - begins)
        starts -= offsets[:, 0] * SIDE + offsets[:, 1]
        windows = np.ndarray((len(content) - CELLS + 1, CELLS), np.uint8, content, strides=(1, 1))
        pairs = windows[starts]
        # An EOS column beyond the edge has come out at the start of the next line.
        edge = (offsets[:, 1] > 0) & (offsets[:, 1] + self._widest[entries] == SIDE)
        pairs.reshape(len(rows), SIDE, SIDE)[edge, :, 0] = 0
        np.bitwise_and(pairs, 15, out=out[0])
        np.right_shift(pairs, 4, out=out[1])

    def _make(self, number: int) -> bytes:
        """The frames of a puzzle under a transformation."""
        puzzle, turn = divmod(number, 8)
        frames, length = [], 0
        for row in range(*self._bounds[puzzle : puzzle + 2].tolist()):
            height, width, label_height, label_width = self._shapes[row].tolist()
            pair = turn_frame(self._inputs[row], height, width, turn)
            pair |= turn_frame(self._labels[row], label_height, label_width, turn) << 4
            frame = pair.tobytes().rstrip(b"\0")
            self._begin[row * 8 + turn] = length
            length += len(frame)
            self._end[row * 8 + turn] = length
            frames.append(frame)
        self._frames[number] = joined = b"".join(frames)
        return joined


def turn_frame(tokens: np.ndarray, height: int, width: int, turn: int) -> np.ndarray:
    """Tokens uint8 [30, 30] of a grid that lies at the top left of `tokens`, transformed there."""
    grid = dihedral(tokens.reshape(SIDE, SIDE)[:height, :width], turn)
    height, width = grid.shape
    frame = np.zeros((SIDE, SIDE), np.uint8)
    frame[:height, :width] = grid
    frame[height : height + 1, :width] = EOS
    frame[:height, width : width + 1] = EOS
    return frame


def _colour_tables(variants: np.ndarray) -> list[bytes]:
    """For `bytes.translate`, of each variant: the new pair of tokens of every pair, 256 bytes."""
    tokens = np.tile(np.arange(16, dtype=np.uint8), (len(variants), 1))
    tokens[:, FIRST_COLOUR : FIRST_COLOUR + COLOURS] = variants[:, 1:] + np.uint8(FIRST_COLOUR)
    tables = (tokens[:, None, :] | (tokens << 4)[:, :, None]).tobytes()
    return [tables[at : at + 256] for at in range(0, len(tables), 256)]
