"""DeepSpeed settings: where they come from, what is filled in, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrm_scale.base.batch_shape import BatchShape
from hrm_scale.base.errors import ConfigError
from hrm_scale.engine.zero_config import Shape, complete, describe, requested

SHAPE = Shape(BatchShape(64, 4, 2), bf16_forward=True, on_cpu=True)
FLOAT32 = Shape(BatchShape(64, 4, 2), bf16_forward=False, on_cpu=True)


def settings(stage: int = 1, **more: Any) -> dict[str, Any]:
    return {"zero_optimization": {"stage": stage}, **more}


def test_without_deepspeed_there_is_nothing() -> None:
    assert requested("auto", {}) is None
    assert requested("auto", {"ACCELERATE_USE_DEEPSPEED": "false"}) is None
    assert requested("off", {"ACCELERATE_USE_DEEPSPEED": "true"}) is None


def test_a_file_named_by_the_run_wins_over_the_launcher(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine.json", tmp_path / "theirs.json"
    mine.write_text(json.dumps(settings(1)))
    theirs.write_text(json.dumps(settings(2)))
    launcher = {
        "ACCELERATE_USE_DEEPSPEED": "true",
        "ACCELERATE_DEEPSPEED_CONFIG_FILE": str(theirs),
    }
    assert requested(str(mine), launcher) == (settings(1), str(mine))
    assert requested("auto", launcher) == (settings(2), str(theirs))


def test_flags_of_the_launcher_become_settings() -> None:
    found = requested(
        "auto",
        {
            "ACCELERATE_USE_DEEPSPEED": "true",
            "ACCELERATE_DEEPSPEED_CONFIG_FILE": "none",
            "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3",
            "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE": "cpu",
            "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": "none",
            "ACCELERATE_MIXED_PRECISION": "bf16",
        },
    )
    assert found is not None
    assert found[0] == {
        "zero_optimization": {"stage": 3, "offload_param": {"device": "cpu"}},
        "bf16": {"enabled": True},
    }


@pytest.mark.parametrize(
    ("text", "words"), [(None, "cannot be read"), ("{", "not JSON"), ("[1]", "not a JSON object")]
)
def test_a_file_that_is_no_settings(text: str | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        requested(str(path), {})
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_the_run_decides_is_filled_in() -> None:
    given_settings = settings(1, train_micro_batch_size_per_gpu="auto", bf16={"enabled": "auto"})
    full = complete(given_settings, "x.json", SHAPE)
    assert full["train_batch_size"] == 64
    assert full["train_micro_batch_size_per_gpu"] == 8
    assert full["gradient_accumulation_steps"] == 4
    assert full["gradient_clipping"] == 0.0
    assert full["zero_force_ds_cpu_optimizer"] is False
    assert full["bf16"]["enabled"] is True
    assert full["data_types"]["grad_accum_dtype"] == full["communication_data_type"] == "fp32"
    assert given_settings == settings(
        1, train_micro_batch_size_per_gpu="auto", bf16={"enabled": "auto"}
    )
    assert describe(full) == "ZeRO stage 1, bf16 parameters"


def test_bf16_parameters_follow_the_forward_dtype_unless_stage_0() -> None:
    for stage, shape, expected in ((1, FLOAT32, False), (0, SHAPE, False), (3, SHAPE, True)):
        assert complete(settings(stage, bf16={"enabled": "auto"}), "x", shape)["bf16"] == {
            "enabled": expected
        }


def test_nothing_is_left_behind_when_stage_3_gathers() -> None:
    zero = complete(settings(3), "x", SHAPE)["zero_optimization"]
    assert zero["stage3_param_persistence_threshold"] == 0


def test_memory_is_pinned_for_a_gpu_only() -> None:
    offload = {"stage": 2, "offload_optimizer": {"device": "cpu", "pin_memory": True}}
    for on_cpu in (True, False):
        shape = Shape(BatchShape(64, 4, 2), bf16_forward=True, on_cpu=on_cpu)
        full = complete({"zero_optimization": offload}, "x", shape)
        assert full["zero_optimization"]["offload_optimizer"]["pin_memory"] is not on_cpu
        assert describe(full).endswith("optimizer offload to cpu")


REFUSED: list[tuple[dict[str, Any], Shape, str]] = [
    (settings(4), SHAPE, "allowed: 0, 1, 2 or 3"),
    (settings(1, fp16={"enabled": True}), SHAPE, "bf16, which needs no loss scale"),
    (settings(0, bf16={"enabled": True}), SHAPE, "use stage 1, or false"),
    (settings(1, bf16={"enabled": True}), FLOAT32, "write false or auto"),
    (settings(1, gradient_clipping=1.0), SHAPE, "the same with and without DeepSpeed"),
    (settings(1, optimizer={"type": "Adam"}), SHAPE, "the optimizer is AdamATan2"),
    (settings(1, scheduler={}), SHAPE, "leave it out"),
    (settings(1, zero_force_ds_cpu_optimizer=True), SHAPE, "replaces AdamATan2 by Adam"),
    (settings(1, train_micro_batch_size_per_gpu=4), SHAPE, "the run has 8"),
    (settings(1, gradient_accumulation_steps=1), SHAPE, "the run has 4"),
    (settings(1, train_batch_size=32), SHAPE, "the run has 64"),
    (settings(1, torch_autocast={"enabled": True}), SHAPE, "arch.forward_dtype decides"),
    (settings(1, bf16={"enabled": True}, communication_data_type="bf16"), SHAPE, '"fp32"'),
    (
        settings(1, bf16={"enabled": True}, data_types={"grad_accum_dtype": "bf16"}),
        SHAPE,
        '"fp32"',
    ),
    (
        {"zero_optimization": {"stage": 0, "offload_optimizer": {"device": "cpu"}}},
        SHAPE,
        "stage 1 or more",
    ),
    (
        {"zero_optimization": {"stage": 2, "offload_param": {"device": "cpu"}}},
        SHAPE,
        "stage 3 or more",
    ),
    (
        {"zero_optimization": {"stage": 3, "offload_param": {"device": "nvme"}}},
        SHAPE,
        'allowed: "cpu"',
    ),
]


@pytest.mark.parametrize(("wrong", "shape", "words"), REFUSED)
def test_what_would_not_train_as_asked_is_refused(
    wrong: dict[str, Any], shape: Shape, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        complete(wrong, "some.json", shape)
    message = str(caught.value)
    assert message.startswith("some.json: ")
    assert words in message
    assert "\n" not in message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.sampled_from(["auto", "cpu", "x", "1"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["enabled", "device", "stage"]), inner, max_size=2)
    ),
    max_leaves=4,
)
KEYS = ("zero_optimization", "bf16", "fp16", "train_batch_size", "gradient_clipping", "data_types")


@given(st.dictionaries(st.sampled_from(KEYS), json_values, max_size=4))
def test_any_json_object_is_completed_or_refused(wild: dict[str, Any]) -> None:
    try:
        full = complete(wild, "x", SHAPE)
    except ConfigError:
        return
    assert full["train_batch_size"] == 64
    assert full["gradient_clipping"] == 0.0
    assert full["zero_optimization"]["stage"] in (0, 1, 2, 3)
