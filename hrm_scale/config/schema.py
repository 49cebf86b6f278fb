"""What a training run is: frozen, validated, with the key names HRM users already type.

Every model forbids unknown keys. Ranges are declared on the fields; rules between fields are in
`checks.py`. Defaults are the published implementation's (`presets/` holds the same values where
a key is listed there).
"""

from __future__ import annotations

import os
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from hrm_scale.base.output import path_problem
from hrm_scale.config import checks, identity
from hrm_scale.config.data_build import build_into
from hrm_scale.config.durations import DURATION_FORM, parse_duration
from hrm_scale.config.keys import TRAIN

# Published names (module@Class) and the short names the rest of the program uses.
ARCHITECTURE_NAMES: dict[str, str] = {
    "hrm.hrm_act_v1@HierarchicalReasoningModel_ACTV1": "hrm_v1",
    "hrm.hrm_act_v2@HierarchicalReasoningModel_ACTV2": "hrm_v2",
    "recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1": "trm",
    "urm.urm@URM": "urm",
}
LOSS_NAMES: dict[str, str] = {"losses@ACTLossHead": "act"}


MOST = 1 << 53  # above it floats, as times and rates are, miss whole numbers


def _no_bool(value: object) -> object:
    # Python counts True as 1; a number field must not.
    if isinstance(value, bool):
        raise PydanticCustomError("number_type", "is not a number")
    return value


def _off_is_a_word(value: object) -> object:
    # YAML 1.1 reads an unquoted `off` as false.
    return "off" if value is False else value


def _path(text: str) -> str:
    text = os.path.expanduser(text)
    # An address has no such limits.
    if "://" not in text and (problem := path_problem(text)) is not None:
        raise ValueError(problem)
    return text


def _duration(value: object) -> float | None:
    return None if value is None else parse_duration(value)


Positive = Annotated[int, Field(ge=1, le=MOST), BeforeValidator(_no_bool)]
NotNegative = Annotated[int, Field(ge=0, le=MOST), BeforeValidator(_no_bool)]
Rows = Annotated[int, Field(ge=1, le=2**31 - 1), BeforeValidator(_no_bool)]
Repeats = Annotated[int, Field(ge=1, le=1_000_000), BeforeValidator(_no_bool)]
Layers = Annotated[int, Field(ge=1, le=10_000), BeforeValidator(_no_bool)]
LayersOrNone = Annotated[int, Field(ge=0, le=10_000), BeforeValidator(_no_bool)]
Width = Annotated[int, Field(ge=1, le=1 << 20), BeforeValidator(_no_bool)]
WidthOrNone = Annotated[int, Field(ge=0, le=1 << 20), BeforeValidator(_no_bool)]
Workers = Annotated[int, Field(ge=1, le=1024), BeforeValidator(_no_bool)]
WorkersOrNone = Annotated[int, Field(ge=0, le=1024), BeforeValidator(_no_bool)]
Port = Annotated[int, Field(ge=0, le=65535), BeforeValidator(_no_bool)]
Real = Annotated[float, BeforeValidator(_no_bool)]
Minutes = Annotated[float, Field(gt=0, le=1_000_000), BeforeValidator(_no_bool)]
PositiveReal = Annotated[float, Field(gt=0), BeforeValidator(_no_bool)]
Text = Annotated[str, Field(min_length=1)]
PathText = Annotated[str, Field(min_length=1), AfterValidator(_path)]
Seed = Annotated[int, Field(ge=0, lt=2**63), BeforeValidator(_no_bool)]
Seconds = Annotated[
    float | None,
    BeforeValidator(_duration),
    Field(json_schema_extra={"allowed": f"{DURATION_FORM}, or null"}),
]


class Section(BaseModel):
    """A group of keys: unknown ones are refused, values never change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=()
    )


def key(name: str, default: Any, **constraints: Any) -> Any:
    """A field of the training schema with its description from `keys.TRAIN`."""
    return Field(default, description=TRAIN[name], **constraints)


def _short_name(names: dict[str, str]) -> BeforeValidator:
    return BeforeValidator(lambda value: names.get(value, value) if value.__hash__ else value)


class LossConfig(Section):
    name: Annotated[Literal["act"], _short_name(LOSS_NAMES)] = key(
        "arch.loss.name", "act", json_schema_extra={"also": list(LOSS_NAMES)}
    )
    loss_type: Literal["stablemax_cross_entropy", "softmax_cross_entropy"] = key(
        "arch.loss.loss_type", "stablemax_cross_entropy"
    )


class ArchConfig(Section):
    """The network. `name` is always the short name after validation."""

    name: Annotated[Literal["hrm_v1", "hrm_v2", "trm", "urm"], _short_name(ARCHITECTURE_NAMES)] = (
        key("arch.name", "hrm_v1", json_schema_extra={"also": list(ARCHITECTURE_NAMES)})
    )
    halt_exploration_prob: Real = key("arch.halt_exploration_prob", 0.1, ge=0, le=1)
    halt_max_steps: Repeats = key("arch.halt_max_steps", 16)
    H_cycles: Repeats = key("arch.H_cycles", 2)
    L_cycles: Repeats = key("arch.L_cycles", 2)
    H_layers: LayersOrNone = key("arch.H_layers", 4)
    L_layers: Layers = key("arch.L_layers", 4)
    hidden_size: Width = key("arch.hidden_size", 512)
    num_heads: Width = key("arch.num_heads", 8)
    expansion: PositiveReal = key("arch.expansion", 4.0)
    puzzle_emb_ndim: WidthOrNone = Field(
        default_factory=lambda valid: valid.get("hidden_size", 512),
        description=TRAIN["arch.puzzle_emb_ndim"],
    )
    pos_encodings: Literal["rope", "learned", "none"] = key("arch.pos_encodings", "rope")
    rope_theta: PositiveReal = key("arch.rope_theta", 10000.0)
    rms_norm_eps: PositiveReal = key("arch.rms_norm_eps", 1e-5)
    forward_dtype: Literal["auto", "bfloat16", "float32"] = key("arch.forward_dtype", "auto")
    act_enabled: bool = key("arch.act_enabled", True)
    q_continue: Literal["bootstrap", "none", "untrained"] = key("arch.q_continue", "bootstrap")
    no_ACT_continue: bool | None = key("arch.no_ACT_continue", None)
    grad_cycles: Positive | Literal["all"] = key("arch.grad_cycles", 1)
    depth_curriculum: Annotated[Literal["off", "cgar"], BeforeValidator(_off_is_a_word)] = key(
        "arch.depth_curriculum", "off"
    )
    mlp_t: bool = key("arch.mlp_t", False)
    conv_kernel: WidthOrNone = key("arch.conv_kernel", 0)
    puzzle_emb_len: WidthOrNone = key("arch.puzzle_emb_len", 0)
    random_init: bool = key("arch.random_init", False)
    noise_scale: Real = key("arch.noise_scale", 0.0, ge=0)
    relaxation: Real = key("arch.relaxation", 1.0, gt=0, le=1)
    loss: LossConfig = LossConfig()

    @model_validator(mode="after")
    def _one_spelling(self) -> ArchConfig:
        if self.no_ACT_continue is not None:
            # The published spelling decides, and leaves no trace: both name the same run.
            rule = "none" if self.no_ACT_continue else "bootstrap"
            object.__setattr__(self, "q_continue", rule)
            object.__setattr__(self, "no_ACT_continue", None)
        return self


class DataConfig(Section):
    refill: Literal["always", "on_halt"] = key("data.refill", "always")
    window: Positive | Literal["all"] = key("data.window", 16)
    prefetch: WorkersOrNone = key("data.prefetch", 4)
    threads: WorkersOrNone = key("data.threads", 1)
    on_error: Literal["raise", "mask"] = key("data.on_error", "raise")
    verify: bool = key("data.verify", True)
    sampling: Literal["epoch", "reference"] = key("data.sampling", "epoch")
    widen: Literal["auto", "host", "device"] = key("data.widen", "auto")
    cache: PathText | None = key("data.cache", None)
    cache_gb: PositiveReal = key("data.cache_gb", 32.0, le=1e9)
    downloads: Workers = key("data.downloads", 8)
    retry_minutes: Minutes = key("data.retry_minutes", 10.0)


class EngineConfig(Section):
    accumulation: Positive = key("engine.accumulation", 1)
    compile: bool | Literal["auto"] = key("engine.compile", "auto")
    attention: Literal["auto", "sdpa", "flash2", "flash3"] = key("engine.attention", "auto")
    device: Literal["auto", "cpu", "cuda"] = key("engine.device", "auto")
    deepspeed: Annotated[PathText, BeforeValidator(_off_is_a_word)] = key(
        "engine.deepspeed", "auto"
    )
    puzzle_table: Literal["device", "host", "sharded"] = key("engine.puzzle_table", "device")
    activation_checkpointing: bool = key("engine.activation_checkpointing", False)
    timeout_minutes: Minutes = key("engine.timeout_minutes", 10.0)


class CheckpointConfig(Section):
    every_steps: Positive | None = key("checkpoint.every_steps", None)
    every_minutes: Minutes | None = key("checkpoint.every_minutes", 10.0)
    keep_last: Positive = key("checkpoint.keep_last", 2)
    at_end: bool = key("checkpoint.at_end", True)
    asynchronous: bool = key("checkpoint.asynchronous", False)
    keep_best: bool = key("checkpoint.keep_best", True)


class EvaluationConfig(Section):
    every_steps: Positive | None = key("evaluation.every_steps", None)
    limit: Positive | None = key("evaluation.limit", 1000)
    batch_size: Rows | None = key("evaluation.batch_size", None)
    seed: Seed = key("evaluation.seed", 0)
    full_at_end: bool = key("evaluation.full_at_end", True)


class EarlyStoppingConfig(Section):
    patience: Positive | None = key("early_stopping.patience", None)
    metric: Literal["exact_accuracy", "accuracy", "lm_loss"] = key(
        "early_stopping.metric", "exact_accuracy"
    )
    min_delta: Real = key("early_stopping.min_delta", 0.0, ge=0)


class GuardsConfig(Section):
    non_finite: Literal["raise", "skip", "rollback"] = key("guards.non_finite", "raise")
    limit: Positive = key("guards.limit", 10)
    loss_spike: Annotated[float, Field(gt=1), BeforeValidator(_no_bool)] | None = key(
        "guards.loss_spike", 5.0
    )
    stall_minutes: Minutes | None = key("guards.stall_minutes", 5.0)


class LogConfig(Section):
    every: Positive = key("log.every", 10)
    console: Literal["auto", "bar", "line", "quiet"] = key("log.console", "auto")
    wandb: Annotated[
        Literal["auto", "online", "offline", "off"], BeforeValidator(_off_is_a_word)
    ] = key("log.wandb", "auto")


class RunConfig(Section):
    """One training run.

    After validation `project_name`, `run_name` and `checkpoint_path` are always filled: given, or
    derived by `identity.py`. `max_time` is in seconds.
    """

    base: ClassVar[str] = "train"

    data_path: PathText = key("data_path", "data/arc-aug-1000")
    data_build: Text | None = key("data_build", None)
    global_batch_size: Rows = key("global_batch_size", 768)
    epochs: Positive | None = key("epochs", 100000)
    max_steps: Positive | None = key("max_steps", None)
    max_samples: Positive | None = key("max_samples", None)
    max_flops: PositiveReal | None = key("max_flops", None)
    max_time: Seconds = key("max_time", None)
    eval_interval: Positive | None = key("eval_interval", 10000)
    checkpoint_every_eval: bool = key("checkpoint_every_eval", True)
    lr: Real = key("lr", 1e-4, gt=0, le=1)
    lr_min_ratio: Real = key("lr_min_ratio", 1.0, ge=0, le=1)
    lr_warmup_steps: NotNegative = key("lr_warmup_steps", 2000)
    beta1: Real = key("beta1", 0.9, ge=0, lt=1)
    beta2: Real = key("beta2", 0.95, ge=0, lt=1)
    weight_decay: Real = key("weight_decay", 0.1, ge=0)
    optimizer: Literal["adam_atan2", "adamw", "muon"] = key("optimizer", "adam_atan2")
    ema: bool = key("ema", False)
    ema_rate: Real = key("ema_rate", 0.999, ge=0, lt=1)
    puzzle_emb_lr: Real = key("puzzle_emb_lr", 1e-2, ge=0, le=1)
    puzzle_emb_weight_decay: Real = key("puzzle_emb_weight_decay", 0.1, ge=0)
    project_name: Text | None = key("project_name", None)
    run_name: Text | None = key("run_name", None)
    checkpoint_path: PathText | None = key("checkpoint_path", None)
    seed: Seed = key("seed", 0)
    resume: PathText = key("resume", "auto")
    init_from: PathText | None = key("init_from", None)
    arch: ArchConfig = ArchConfig()
    data: DataConfig = DataConfig()
    engine: EngineConfig = EngineConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    early_stopping: EarlyStoppingConfig = EarlyStoppingConfig()
    guards: GuardsConfig = GuardsConfig()
    log: LogConfig = LogConfig()

    @model_validator(mode="after")
    def _rules_and_names(self) -> RunConfig:
        checks.require(checks.train_problems(self))
        for name, value in identity.derived_names(self).items():
            # Validation is the one moment at which a frozen model may still be completed.
            object.__setattr__(self, name, value)
        object.__setattr__(self, "data_build", build_into(self.data_build, self.data_path))
        return self
