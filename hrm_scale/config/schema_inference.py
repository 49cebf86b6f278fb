"""What an evaluation and a prediction are: the same strictness as a training run."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from hrm_scale.config import checks
from hrm_scale.config.keys import EVALUATE, PREDICT
from hrm_scale.config.schema import PathText, Positive, RunConfig, Section, Seed, Text

Weights = Literal["auto", "averaged", "raw"]


def _evaluate(name: str, default: Any) -> Any:
    return Field(default, description=EVALUATE[name])


def _predict(name: str, default: Any) -> Any:
    return Field(default, description=PREDICT[name])


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
    batch_size: Positive | None = _evaluate("batch_size", None)
    seed: Seed = _evaluate("seed", 0)
    halt_max_steps: Positive | None = _evaluate("halt_max_steps", None)
    output_dir: PathText | None = _evaluate("output_dir", None)
    dtype: Literal["auto", "bfloat16", "float32"] = _evaluate("dtype", "auto")
    weights: Weights = _evaluate("weights", "auto")
    engine: EvaluateEngine = EvaluateEngine()


class PredictConfig(Section):
    """One prediction: a puzzle as text, or a file of them."""

    base: ClassVar[str] = "predict"

    checkpoint: PathText = _predict("checkpoint", ...)
    puzzle: Text | None = _predict("puzzle", None)
    file: PathText | None = _predict("file", None)
    halt_max_steps: Positive | None = _predict("halt_max_steps", None)
    weights: Weights = _predict("weights", "auto")
    device: Literal["auto", "cpu", "cuda"] = _predict("device", "auto")
    color: Literal["auto", "always", "never"] = _predict("color", "auto")

    @model_validator(mode="after")
    def _rules(self) -> PredictConfig:
        checks.require(checks.predict_problems(self))
        return self


SCHEMAS: dict[str, type[Section]] = {
    schema.base: schema for schema in (RunConfig, EvaluateConfig, PredictConfig)
}
