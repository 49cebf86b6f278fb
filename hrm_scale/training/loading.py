"""What a run reads, and how."""

from __future__ import annotations

from pathlib import Path

from hrm_scale.config.data_build import build_hint
from hrm_scale.config.schema import RunConfig
from hrm_scale.data import MOST_NARROW, Dataset, Loader, RemoteOptions, open_dataset
from hrm_scale.data.remote.options import default_cache_folder
from hrm_scale.engine import Engine

_GIB = 1 << 30


def open_data(run: RunConfig) -> Dataset:
    """The data set of a run. DataError or EnvironmentProblem when it cannot be opened."""
    data = run.data
    options = RemoteOptions(
        cache_bytes=int(data.cache_gb * _GIB),
        retry_seconds=60 * data.retry_minutes,
        threads=data.downloads,
        cache=default_cache_folder() if data.cache is None else Path(data.cache),
    )
    return open_dataset(run.data_path, options, missing=build_hint(run))


def open_loader(run: RunConfig, dataset: Dataset, engine: Engine) -> Loader:
    """Training batches for this process. ConfigError or DataError, as `Loader`."""
    data, widen = run.data, run.data.widen
    if widen == "auto":
        fits = dataset.meta.vocab_size <= MOST_NARROW
        widen = "device" if fits and engine.device.type == "cuda" else "host"
    return Loader(
        dataset,
        "train",
        seed=run.seed,
        global_batch_size=run.global_batch_size,
        accumulation=run.engine.accumulation,
        rank=engine.rank,
        ranks=engine.ranks,
        window=None if data.window == "all" else data.window,
        threads=data.threads,
        prefetch=data.prefetch,
        on_error=data.on_error,
        verify=data.verify,
        sampling=data.sampling,
        # One iteration of the published trainer lasts until it evaluates.
        reference_epochs=run.eval_interval or 1,
        widen=widen,
    )
