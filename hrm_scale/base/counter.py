"""Counter-based random numbers: a pure function of its keys, in any order, on any machine.

splitmix64 (Steele, Lea, Flood 2014): ``mix(x)`` is its finaliser, ``GAMMA`` its increment.
Every draw is ``mix(key + (i + 1) * GAMMA)`` modulo 2**64, where ``key`` folds the names of the
stream (purpose, seed, epoch ...) by ``key = mix((key ^ part) + GAMMA)``. numpy's own generators
are not used: their streams may change between numpy versions, and these must not.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

GAMMA = 0x9E3779B97F4A7C15
_M1 = 0xBF58476D1CE4E5B9
_M2 = 0x94D049BB133111EB
_MASK = (1 << 64) - 1

# Purposes: the first part of every key, so that no two streams ever share numbers.
STRIPES, RECORDS, ROWS, PUZZLES, AUGMENT_DRAW, SYMMETRY, SUBSET = range(1, 8)
VARIANT, STILL, TRANSLATION, CUT = range(8, 12)


def mix(value: int) -> int:
    """The splitmix64 finaliser on one Python integer (modulo 2**64)."""
    value &= _MASK
    value = ((value ^ (value >> 30)) * _M1) & _MASK
    value = ((value ^ (value >> 27)) * _M2) & _MASK
    return value ^ (value >> 31)


def make_key(purpose: int, *parts: int) -> int:
    """Fold a purpose and integers (seed, epoch, window ...) into one 64-bit key."""
    key = mix(purpose + GAMMA)
    for part in parts:
        key = mix((key ^ (part & _MASK)) + GAMMA)
    return key


def mix_array(values: np.ndarray) -> np.ndarray:
    """`mix` of a uint64 array, in place."""
    scratch = values >> np.uint64(30)
    values ^= scratch
    values *= np.uint64(_M1)
    np.right_shift(values, np.uint64(27), out=scratch)
    values ^= scratch
    values *= np.uint64(_M2)
    np.right_shift(values, np.uint64(31), out=scratch)
    values ^= scratch
    return values


def fold_array(keys: np.ndarray | int, parts: np.ndarray) -> np.ndarray:
    """One folding step of `make_key` for arrays: uint64 keys (or one key) with integer parts."""
    base = np.uint64(keys) if isinstance(keys, int) else keys
    folded = parts.astype(np.uint64)  # negative numbers wrap modulo 2**64, as in make_key
    folded ^= base
    folded += np.uint64(GAMMA)
    return mix_array(folded)


def draws(key: int, start: int, count: int) -> np.ndarray:
    """Draws start ... start + count - 1 of a stream, uint64 [count]."""
    first = np.uint64((key + (start + 1) * GAMMA) & _MASK)
    return mix_array(_steps(count)[1] + first)


@functools.lru_cache(maxsize=4)
def _steps(count: int) -> tuple[np.ndarray, np.ndarray]:
    """0 ... count - 1, and the same times GAMMA: windows mostly have one of a few sizes."""
    numbers = np.arange(count, dtype=np.uint64)
    return numbers, numbers * np.uint64(GAMMA)


def below(values: np.ndarray, limit: np.ndarray | int) -> np.ndarray:
    """Integers 0 <= x < limit (limit <= 2**31) from the upper 32 bits of uint64 draws, int64.

    ``(draw >> 32) * limit >> 32``: the bias is at most limit / 2**32 of a probability.
    """
    upper = values >> np.uint64(32)
    upper *= np.asarray(limit, dtype=np.uint64)
    upper >>= np.uint64(32)
    return upper.view(np.int64)


def permutation(key: int, count: int) -> np.ndarray:
    """Permutation of 0 ... count - 1, int64: the numbers sorted by the draws of the stream.

    The low bits of each draw are replaced by the number itself: one plain sort yields the
    permutation, and a tie of the upper bits (there are at least 64 - 31) goes to the smaller.
    """
    return permutations([key], count)[0]


def permutations(keys: Sequence[int], count: int) -> np.ndarray:
    """`permutation` for several keys at once, int64 [keys, count]."""
    bits = np.uint64((1 << max(1, (count - 1).bit_length())) - 1)
    numbers, steps = _steps(count)
    firsts = np.array([(key + GAMMA) & _MASK for key in keys], np.uint64)
    values = mix_array(firsts[:, None] + steps)
    values &= ~bits
    values |= numbers
    values.sort(axis=1)
    values &= bits
    return values.view(np.int64)
