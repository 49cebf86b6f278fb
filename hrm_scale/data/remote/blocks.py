"""Cuts the shards of a split into blocks of whole records: the unit of download and of caching."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xxhash

from hrm_scale.data.format.index import SplitIndex

BLOCK_BYTES = 256 << 10
"""Neighbouring records are one block while they fit into this: a request costs more than that."""


@dataclass(frozen=True)
class Blocks:
    """of_record: int64 [records], the block of each; the others [blocks]: shard, first record,
    and bytes begin ... end - 1 of the shard."""

    of_record: np.ndarray
    shard: list[int]
    first: list[int]
    begin: list[int]
    end: list[int]

    def __len__(self) -> int:
        return len(self.shard)

    def records(self, block: int) -> range:
        stop = self.first[block + 1] if block + 1 < len(self) else len(self.of_record)
        return range(self.first[block], stop)


def cut_blocks(index: SplitIndex) -> Blocks:
    """The same for every process, as it depends on the index alone.

    ValueError when records overlap or are out of order: reading them could then cost many times
    the size of the shards.
    """
    begin = np.min([index.offset[name] for name in index.columns], axis=0)
    end = np.max([index.offset[name] + index.size[name] for name in index.columns], axis=0)
    step = np.diff(index.shard)
    if (step < 0).any() or ((step == 0) & (begin[1:] < end[:-1])).any():
        raise ValueError("its records overlap or are out of order")
    of_record = np.empty(index.records, np.int64)
    blocks = Blocks(of_record, [], [], [], [])
    numbers = zip(index.shard.tolist(), begin.tolist(), end.tolist(), strict=True)
    for record, (shard, first, last) in enumerate(numbers):
        if blocks.shard and blocks.shard[-1] == shard and last - blocks.begin[-1] <= BLOCK_BYTES:
            blocks.end[-1] = last
        else:
            blocks.shard.append(shard)
            blocks.first.append(record)
            blocks.begin.append(first)
            blocks.end.append(last)
        of_record[record] = len(blocks) - 1
    return blocks


def is_intact(index: SplitIndex, blocks: Blocks, block: int, data: np.ndarray) -> bool:
    """Has every member of a block the hash that the index says?"""
    begin = blocks.begin[block]
    for record in blocks.records(block):
        for name in index.columns:
            start = int(index.offset[name][record]) - begin
            member = data[start : start + int(index.size[name][record])]
            if xxhash.xxh3_64_intdigest(member.data) != int(index.xxh3[name][record]):
                return False
    return True
