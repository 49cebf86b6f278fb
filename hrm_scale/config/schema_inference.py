"""What an evaluation and a prediction are: the same strictness as a training run."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from hrm_scale.config import checks
from hrm_scale.config.counts import Counts
from hrm_scale.config.keys import EVALUATE, PLAY, PREDICT
from hrm_scale.config.schema import (
    PathText,
    Port,
    Positive,
    Real,
    Repeats,
    Rows,
    RunConfig,
    Section,
    Seed,
    Text,
)

Weights = Literal["auto", "averaged", "raw"]


def _evaluate(name: str, default: Any) -> Any:
    return Field(default, description=EVALUATE[name])


def _predict(name: str, default: Any) -> Any:
    return Field(default, description=PREDICT[name])


def _play(name: str, default: Any) -> Any:
    return Field(default, description=PLAY[name])


class EvaluateEngine(Section):
    compile: bool | Literal["auto"] = _evaluate("engine.compile", "auto")
    attention: Literal["auto", "sdpa", "flash2", "flash3"] = _evaluate("engine.attention", "auto")
    device: Literal["auto", "cpu", "cuda"] = _evaluate("engine.device", "auto")


class EvaluateConfig(Section):
    """One evaluation of a checkpoint."""

    base: ClassVar[str] = "evaluate"

    checkpoint: PathText = _evaluate("checkpoint", ...)
    data_path: PathText | None = _evaluate("data_path", None)
    split: Text = _evaluate("split", "test")
    limit: Positive | None = _evaluate("limit", None)
    batch_size: Rows | None = _evaluate("batch_size", None)
    seed: Seed = _evaluate("seed", 0)
    halt_max_steps: Repeats | None = _evaluate("halt_max_steps", None)
    early_exit: bool = _evaluate("early_exit", False)
    steps: Counts = _evaluate("steps", None)
    trajectories: Counts = _evaluate("trajectories", None)
    noise: Annotated[Real, Field(ge=0)] = _evaluate("noise", 0.0)
    random_start: bool = _evaluate("random_start", True)
    augmentation_counts: Counts = _evaluate("augmentation_counts", None)
    random_seed: Seed = _evaluate("random_seed", 42)
    aggregated_voting: bool = _evaluate("aggregated_voting", False)
    failures: Positive | None = _evaluate("failures", None)
    output_dir: PathText | None = _evaluate("output_dir", None)
    dtype: Literal["auto", "bfloat16", "float32"] = _evaluate("dtype", "auto")
    weights: Weights = _evaluate("weights", "auto")
    engine: EvaluateEngine = EvaluateEngine()

    @model_validator(mode="after")
    def _rules(self) -> EvaluateConfig:
        checks.require(checks.evaluate_problems(self))
        return self


class PredictConfig(Section):
    """One prediction: a puzzle as text, or a file of them."""

    base: ClassVar[str] = "predict"

    checkpoint: PathText = _predict("checkpoint", ...)
    puzzle: Text | None = _predict("puzzle", None)
    file: PathText | None = _predict("file", None)
    data_path: PathText | None = _predict("data_path", None)
    trace: bool = _predict("trace", False)
    output: PathText | None = _predict("output", None)
    halt_max_steps: Repeats | None = _predict("halt_max_steps", None)
    weights: Weights = _predict("weights", "auto")
    device: Literal["auto", "cpu", "cuda"] = _predict("device", "auto")
    color: Literal["auto", "always", "never"] = _predict("color", "auto")

    @model_validator(mode="after")
    def _rules(self) -> PredictConfig:
        checks.require(checks.predict_problems(self))
        return self


class PlayConfig(Section):
    """A page on which a model solves what is typed or drawn."""

    base: ClassVar[str] = "play"

    checkpoint: PathText = _play("checkpoint", ...)
    data_path: PathText | None = _play("data_path", None)
    host: Text = _play("host", "127.0.0.1")
    port: Port = _play("port", 8266)
    browser: bool = _play("browser", True)
    halt_max_steps: Repeats | None = _play("halt_max_steps", None)
    weights: Weights = _play("weights", "auto")
    device: Literal["auto", "cpu", "cuda"] = _play("device", "auto")


SCHEMAS: dict[str, type[Section]] = {
    schema.base: schema for schema in (RunConfig, EvaluateConfig, PredictConfig, PlayConfig)
}
