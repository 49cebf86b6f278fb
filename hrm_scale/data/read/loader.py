"""Training batches: the same bytes for every world size, thread count and accumulation."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from hrm_scale.base.batch_shape import BatchShape
from hrm_scale.base.errors import ConfigError, DataError
from hrm_scale.data.read.batch import MOST_NARROW, Batch, make_batch
from hrm_scale.data.read.buffers import BufferPool
from hrm_scale.data.read.prefetch import ordered
from hrm_scale.data.read.stream import ReadOptions

if TYPE_CHECKING:
    from hrm_scale.data.read.dataset import Dataset

STATE_VERSION = 1
BYTES_TOGETHER = 1 << 17
"""Bytes of tokens a rank gathers at once where its batches are smaller: what a core's cache holds.
Four times as many with augmentation, whose fixed cost per gather is higher."""


class Loader:
    """Batches of a training split from any position on; each rank makes its own slices only.

    global_batch_size G, accumulation K, ranks R: micro-step m of rank r takes rows
    ``[m*G/K + r*G/(K*R), ... + G/(K*R))`` of global batch b, which is positions [bG, (b+1)G).
    window: records shuffled together, None for the whole epoch. threads: 0 reads in the caller.
    prefetch: global batches made ahead (small ones: at least two gathers of BYTES_TOGETHER).
    on_error: "raise" | "mask" (rows of a damaged record become padding with labels -100; more
    than `mask_budget` of the split's examples raises).
    sampling: "epoch" | "reference" (`reference_order.py`; `reference_epochs` to an iteration).
    widen: "host" | "device" (batches stay narrow, see `Batch`).
    ConfigError for sizes that do not divide; DataError for damage found when opening.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        *,
        seed: int,
        global_batch_size: int,
        accumulation: int = 1,
        rank: int = 0,
        ranks: int = 1,
        window: int | None = 16,
        threads: int = 1,
        prefetch: int = 4,
        on_error: str = "raise",
        verify: bool = True,
        mask_budget: float = 0.001,
        sampling: str = "epoch",
        reference_epochs: int = 1,
        widen: str = "host",
    ) -> None:
        self._shape = BatchShape(global_batch_size, accumulation, ranks)
        for key, value, allowed in (
            ("on_error", on_error, ("raise", "mask")),
            ("sampling", sampling, ("epoch", "reference")),
            ("widen", widen, ("host", "device")),
        ):
            if value not in allowed:
                raise ConfigError(f"data.{key}={value!r} is unknown: use {' or '.join(allowed)}")
        if window is not None and window < 1:
            raise ConfigError(f"data.window={window} must be at least 1, or all")
        self._meta, self._name = dataset.meta, dataset.name
        if widen == "device" and self._meta.vocab_size > MOST_NARROW:
            raise ConfigError(
                f"data.widen=device carries at most {MOST_NARROW} tokens, {self._name} has"
                f" {self._meta.vocab_size}: use data.widen=host"
            )
        self._narrow = widen == "device"
        self._seed, self._window_size = seed, window
        self._rank = rank
        self._threads, self._prefetch = threads, max(1, prefetch)
        self._sampling = sampling
        self._stream = dataset.stream(
            split,
            ReadOptions(
                seed=seed,
                window=window,
                threads=threads,
                on_error=on_error,
                verify=verify,
                mask_budget=mask_budget,
                reference_batch=global_batch_size if sampling == "reference" else None,
                reference_epochs=reference_epochs,
            ),
        )
        self._pool = BufferPool()

    def batches(self, position: int) -> Generator[list[Batch], None, None]:
        """From an absolute position on, endlessly: the micro-batches of this rank, K per item."""
        # Small batches are made several at a time, as the fixed cost of a gather is then shared;
        # the very first comes alone, as somebody waits for it.
        wanted = BYTES_TOGETHER * (4 if self._stream.augments else 1) // self._meta.seq_len
        batch = self._shape.global_batch_size
        together = max(1, wanted // (batch // self._shape.world_size))
        rest = itertools.count(position + batch, batch * together)
        tasks = itertools.chain([(position, 1)], ((start, together) for start in rest))
        # One gather under way and one waiting, else the thread would idle at every hand-over.
        ahead = max(2, self._prefetch // together)

        def make(task: tuple[int, int]) -> list[list[Batch]]:
            return self._global_batches(*task)

        for group in ordered(make, tasks, threads=self._threads, ahead=ahead):
            yield from group

    def fetch(self, start: int, stop: int) -> Batch:
        """The samples at absolute positions start ... stop - 1, the same bytes as `batches`."""
        return self._gather([(start, stop)])

    def epoch_of(self, position: int) -> tuple[int, int]:
        """(epoch, offset in the epoch) of a position."""
        return self._stream.epoch_of(position)

    def epoch_start(self, epoch: int) -> int:
        """Position of the first example of an epoch."""
        return self._stream.epoch_start(epoch)

    @property
    def masked_examples(self) -> int:
        """How many examples on_error=mask has hidden so far."""
        return self._stream.masked_examples

    def stats(self) -> dict[str, float]:
        """What reading from an address cost this process so far; empty for folders.

        bytes, requests, retries; pieces found in the node's cache (hits) or waited for (waits);
        wait_seconds.
        """
        return self._stream.stats()

    def close(self) -> None:
        """End what reads ahead."""
        self._stream.close()

    def state(self, position: int) -> dict[str, Any]:
        """What resuming needs, under 200 bytes as JSON; the same on every rank."""
        return {
            "v": STATE_VERSION,
            "fingerprint": self._meta.fingerprint,
            "seed": self._seed,
            "window": self._window_size,
            "epoch": self._stream.epoch_of(position)[0],
            "position": position,
        }

    def resume(self, state: dict[str, Any]) -> int:
        """The position to go on from. DataError when data, seed or window are not the same."""
        if state.get("v") != STATE_VERSION:
            raise DataError(f"data state version {state.get('v')!r} is unknown to this program")
        if state["fingerprint"] != self._meta.fingerprint:
            raise DataError(
                f"the checkpoint was trained on data set {state['fingerprint'][:12]!r}…, this one"
                f" ({self._name}) is {self._meta.fingerprint[:12]}…: give the data_path of that"
                " data set"
            )
        for name, mine in (("seed", self._seed), ("window", self._window_size)):
            if state[name] != mine:
                key = "seed" if name == "seed" else "data.window"
                raise DataError(
                    f"the checkpoint's data order has {key}={state[name] or 'all'}, this run "
                    f"{mine or 'all'}: type {key}={state[name] or 'all'} to go on exactly"
                )
        return int(state["position"])

    def _global_batches(self, start: int, count: int) -> list[list[Batch]]:
        """This rank's micro-batches of `count` global batches, made in one gather."""
        shape, rows, each = self._shape, self._shape.rows, self._shape.accumulation
        steps = count * each
        if shape.world_size == 1:
            ranges = [(start, start + count * shape.global_batch_size)]
        else:
            slots = (shape.slots(k, self._rank) for k in range(steps))
            ranges = [(start + low, start + high) for low, high in slots]
        whole = self._gather(ranges)
        parts = [
            Batch(*(array[k * rows : (k + 1) * rows] for array in whole)) for k in range(steps)
        ]
        return [parts[k : k + each] for k in range(0, steps, each)]

    def _gather(self, ranges: list[tuple[int, int]]) -> Batch:
        rows = self._stream.rows(ranges, self._pool)
        return make_batch(
            rows.inputs,
            rows.labels,
            rows.identifiers,
            self._meta,
            rows.damaged,
            self._pool,
            self._narrow,
        )
