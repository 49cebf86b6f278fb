"""Settings of a network, read from its tensors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.tiny.models import tiny_config
from hrm_scale.base.errors import CheckpointError, ConfigError
from hrm_scale.interchange.infer import architecture, infer
from hrm_scale.models import ModelConfig, build_model


def shapes_of(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {name: tuple(t.shape) for name, t in build_model(config).state_dict().items()}


def defaults(**changes: Any) -> dict[str, Any]:
    return {
        "num_heads": 2,
        "expansion": 4.0,
        "pos_encodings": "rope",
        "puzzle_emb_len": 0,
        **changes,
    }


@st.composite
def networks(draw: st.DrawFn) -> ModelConfig:
    name = draw(st.sampled_from(("hrm_v1", "hrm_v2", "trm", "urm")))
    mlp_t = name == "trm" and draw(st.booleans())
    width = draw(st.sampled_from((32, 48, 256)))
    positions = ("none", "learned") if mlp_t else ("rope", "learned")
    ndim = draw(st.sampled_from((0, 16, width, 2 * width - 8)))
    return tiny_config(
        name=name,
        vocab_size=draw(st.sampled_from((8, 11, 12))),
        seq_len=draw(st.integers(1, 99)),
        hidden_size=width,
        H_layers=draw(st.integers(1, 3)) if name in ("hrm_v1", "hrm_v2") else 0,
        L_layers=draw(st.integers(1, 12)) if name != "hrm_v2" else 0,
        expansion=draw(st.sampled_from((2.0, 4.0))),
        mlp_t=mlp_t,
        conv_kernel=draw(st.sampled_from((0, 2))) if name == "urm" else 0,
        puzzle_emb_ndim=ndim,
        puzzle_emb_len=draw(st.sampled_from((0, 5))) if ndim else 0,
        pos_encodings=draw(st.sampled_from(positions)),
    )


@given(networks())
def test_what_is_inferred_builds_the_same_network(config: ModelConfig) -> None:
    shapes = shapes_of(config)
    name, _, _ = architecture(shapes, "it")
    assert name == config.name
    known = defaults(expansion=config.expansion, puzzle_emb_len=config.puzzle_emb_len)
    found = infer(shapes, config.puzzle_emb_ndim or None, name, known, set(), config.seq_len, "it")
    assert (found.vocab_size, found.seq_len) == (config.vocab_size, config.seq_len)
    sizes = {"vocab_size": found.vocab_size, "seq_len": found.seq_len}
    left = {"name": name, "H_layers": 0, "L_layers": 0, "puzzle_emb_len": config.puzzle_emb_len}
    again = tiny_config(
        **{**left, **sizes, **found.settings},
    )
    assert shapes_of(again) == shapes
    assert again.prefix_len == config.prefix_len
    assert set(found.settings) == set(found.reasons)


def test_lengths_are_those_of_known_puzzles() -> None:
    config = tiny_config(name="trm", vocab_size=11, seq_len=81, mlp_t=True, pos_encodings="none")
    config = tiny_config(**{**config.__dict__, "puzzle_emb_ndim": 32, "puzzle_emb_len": 16})
    found = infer(shapes_of(config), 32, "trm", defaults(puzzle_emb_len=16), set(), None, "it")
    assert (found.seq_len, found.settings["puzzle_emb_len"]) == (81, 16)


def test_heads_that_do_not_fit_must_be_told() -> None:
    shapes = shapes_of(tiny_config(name="hrm_v2", num_heads=3, L_layers=0))
    with pytest.raises(ConfigError, match=r"num_heads.*allowed: 3, 5.*type arch\.num_heads=N"):
        infer(shapes, 16, "hrm_v2", defaults(num_heads=12), set(), 16, "it")
    told = infer(shapes, 16, "hrm_v2", defaults(num_heads=3), {"num_heads"}, 16, "it")
    assert "num_heads" not in told.settings


def test_a_length_nobody_knows_must_be_told() -> None:
    shapes = shapes_of(tiny_config(vocab_size=77))
    with pytest.raises(ConfigError, match="--seq-len N"):
        infer(shapes, 16, "hrm_v1", defaults(), set(), None, "it")


@pytest.mark.parametrize("names", [[], ["encoder.weight"], ["inner.embed_tokens.x"]])
def test_other_networks_are_refused(names: list[str]) -> None:
    with pytest.raises(CheckpointError, match="no network this program knows"):
        architecture(dict.fromkeys(names, (1, 2)), "it")


def test_positions_too_few_for_the_sequence() -> None:
    shapes = shapes_of(tiny_config(pos_encodings="learned"))
    with pytest.raises(CheckpointError, match="17 positions"):
        infer(shapes, 16, "hrm_v1", defaults(), set(), 20, "it")
