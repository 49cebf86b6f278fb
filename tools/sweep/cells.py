"""What there is of each run of a sweep: whether it can be run, how far it is, what came out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrm_scale.base.errors import EXIT_OK, EXIT_STOPPED, CheckpointError, ConfigError, HrmError
from hrm_scale.training.stop import TIME_IS_UP

from ..run.history import METRICS, lines_of, number_of, read_events, record_of, text_of
from .grid import Cell

if TYPE_CHECKING:
    from hrm_scale.config.schema import RunConfig
    from hrm_scale.data import Dataset
    from hrm_scale.models import ModelConfig

EVALUATION = "evaluation"
CONFIG = "config.yaml"
NEW, STARTED, TO_EVALUATE, FINISHED = "new", "started", "to evaluate", "finished"
# Settings that may differ between two starts of a cell: where it is and what it shows.
_NO_MATTER = ("checkpoint_path", "resume", "project_name", "run_name", "data_build", "log.")


def command_of(cell: Cell, folder: Path) -> list[str]:
    """The settings of the cell's run. Without a wish of the user it reports to no dashboard, and
    keeps the terminal to the sweep."""
    given = {word.partition("=")[0].strip().lstrip("+") for word in cell.settings}
    quiet = {"log.wandb": "off", "log.console": "quiet"}
    extra = [f"{key}={value}" for key, value in quiet.items() if key not in given]
    return [*cell.settings, f"checkpoint_path={folder / cell.name}", *extra]


def check(cells: tuple[Cell, ...], folder: Path) -> tuple[dict[str, RunConfig], dict[str, str]]:
    """The configuration of each cell by its name, and for each invalid one the reason, which may
    be several lines.

    Raises ConfigError when two cells are one run, CheckpointError when the folder of a cell holds
    a run of other settings.
    """
    from hrm_scale.config.compose import compose

    runs: dict[str, RunConfig] = {}
    reasons: dict[str, str] = {}
    same: dict[str, str] = {}
    for cell in cells:
        try:
            run = compose(command_of(cell, folder)).run
        except ConfigError as error:
            reasons[cell.name] = error.line
            continue
        identity = json.dumps(_settings(run), sort_keys=True)
        if (twin := same.setdefault(identity, cell.name)) != cell.name:
            raise ConfigError(
                f"{twin} and {cell.name} are the same run: leave one of these values out"
            )
        runs[cell.name] = run
    _refuse_other_settings(runs, folder)
    return runs, reasons


def check_data(runs: Mapping[str, RunConfig]) -> dict[str, HrmError]:
    """For each cell whose data cannot be trained on, the reason. Data at an address are left to
    the runs: to look is to download."""
    from hrm_scale.config.data_build import build_hint
    from hrm_scale.data import open_dataset
    from hrm_scale.training.horizon import plan_horizon

    opened: dict[str, Dataset] = {}
    reasons: dict[str, HrmError] = {}
    for name, run in runs.items():
        if "://" in run.data_path:
            continue
        try:
            if run.data_path not in opened:
                opened[run.data_path] = open_dataset(run.data_path, missing=build_hint(run))
            dataset = opened[run.data_path]
            plan_horizon(run, dataset.epoch_examples("train"), _model(run, dataset))
        except HrmError as error:
            reasons[name] = error
    return reasons


def _model(run: RunConfig, dataset: Dataset) -> ModelConfig:
    from hrm_scale.modelling import model_config

    return model_config(run.arch, dataset.meta, attention="math", compiled=False)


def state_of(run_dir: Path) -> str:
    """How far a cell is: `NEW`, `STARTED`, `TO_EVALUATE` (its time was up) or `FINISHED`."""
    events = read_events(run_dir)
    if not events.starts and events.end is None:
        return NEW
    code = None if events.end is None else number_of(events.end, "exit_code")
    if code == EXIT_OK:
        return FINISHED
    if code == EXIT_STOPPED and text_of(events.end or {}, "text").startswith(TIME_IS_UP):
        return FINISHED if (run_dir / EVALUATION / "results.json").exists() else TO_EVALUATE
    return STARTED


@dataclass(frozen=True)
class Result:
    """The last evaluation of a finished run: `values` by metric name, without `eval/`.

    samples: trained on. flops: of training, all of them. seconds: of training, without evaluation
    and saving. None is what the run does not tell.
    """

    values: dict[str, float]
    step: int
    samples: float | None
    flops: float | None
    seconds: float | None

    def baseline(self, metric: str) -> float | None:
        """The best of the trivial predictions; None for metrics that have none."""
        last = metric.rpartition("/")[2]
        found = [
            value
            for name, value in self.values.items()
            if name.startswith("baseline/") and name.endswith(f"/{last}")
        ]
        return max(found, default=None)


def read_result(run_dir: Path, within: float | None = None) -> Result | None:
    """What came out of a cell; None when it was never evaluated.

    within: only what came out within so many seconds of training, evaluation and saving left out.
    """
    last: dict[str, Any] = {}
    step, samples, flops, seconds = 0.0, None, None, 0.0
    compute = Compute()
    for line in lines_of(run_dir / METRICS):
        record = record_of(line)
        if record is None:
            continue
        if within is not None:
            speed, upto = (
                number_of(record, f"perf/{name}") for name in ("examples_per_second", "samples")
            )
            if speed and upto is not None:
                seconds += (upto - (samples or 0.0)) / speed
            if seconds > within:
                break
        step = max(step, float(record["step"]))
        samples = number_of(record, "perf/samples") or samples
        flops = compute.add(record)
        if b'"eval/' in line:
            last = record
    values = {
        name.removeprefix("eval/"): value
        for name in last
        if name.startswith("eval/") and (value := number_of(last, name)) is not None
    }
    own = _json(run_dir / EVALUATION / "results.json") if within is None else None
    own = own or {}
    if isinstance(results := own.get("results"), dict):
        values = {n: value for n in results if (value := number_of(results, n)) is not None}
        if step and (end := number_of(own, "step")):
            # Its last steps were not logged: they were like those before.
            samples, flops = (one and one * end / step for one in (samples, flops))
            step = end
    if not values:
        return None
    spent = _train_seconds(run_dir) if within is None else min(seconds, within)
    return Result(values, int(step), samples, flops, spent)


class Compute:
    """FLOPs of training up to each line of metrics: as the run counted them, or summed from the
    reported rates of a run that did not."""

    def __init__(self) -> None:
        self._samples = self._total = 0.0
        self._pending = 0.0  # samples before the first reported rate
        self._each: float | None = None
        self._counted: float | None = None

    def add(self, record: Mapping[str, Any]) -> float | None:
        """The total after `record`; None while no rate is known."""
        if (counted := number_of(dict(record), "perf/flops")) is not None:
            self._counted = counted
        if self._counted is not None:
            return self._counted
        samples = number_of(dict(record), "perf/samples")
        rate = number_of(dict(record), "perf/gflops")
        speed = number_of(dict(record), "perf/examples_per_second")
        if rate is not None and speed:
            self._each = rate * 1e9 / speed
        if samples is not None:
            self._pending += samples - self._samples
            self._samples = samples
        if self._each is None:
            return None
        self._total += self._pending * self._each
        self._pending = 0.0
        return self._total


def _train_seconds(run_dir: Path) -> float | None:
    """The stopwatch in the newest checkpoint."""
    newest = max(run_dir.glob("checkpoints/step-*/state.json"), default=None)
    clock = (_json(newest) or {}).get("clock") if newest else None
    return number_of(clock, "train") if isinstance(clock, dict) else None


def _json(path: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError, RecursionError):
        document: Any = json.loads(path.read_bytes())
        if isinstance(document, dict):
            return document
    return None


def _settings(run: RunConfig) -> dict[str, Any]:
    """All settings by dotted key, but for those that do not matter to what is learned and shown."""
    from hrm_scale.config.leaves import flatten
    from hrm_scale.config.saved import to_dict

    return {key: v for key, v in flatten(to_dict(run)) if not key.startswith(_NO_MATTER)}


def _refuse_other_settings(runs: Mapping[str, RunConfig], folder: Path) -> None:
    from hrm_scale.config.saved import read_yaml
    from hrm_scale.config.values import format_value

    for name, run in runs.items():
        if not (folder / name / CONFIG).exists():
            continue
        then, now = _settings(read_yaml(folder / name / CONFIG)), _settings(run)
        if run.arch.forward_dtype == "auto":
            now["arch.forward_dtype"] = then.get("arch.forward_dtype")  # what it became there
        changed = [
            f"{key}: {format_value(then.get(key))} -> {format_value(value)}"
            for key, value in now.items()
            if then.get(key) != value
        ]
        if changed:
            shown = [*changed[:5], *([f"and {len(changed) - 5} more"] if changed[5:] else [])]
            raise CheckpointError(
                f"{folder / name} holds a run of other settings ({'; '.join(shown)}), and a sweep"
                " does not mix them: choose another --output-dir, or delete that folder"
            )
