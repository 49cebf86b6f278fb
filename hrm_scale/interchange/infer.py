"""The architecture of a network, read from the names and shapes of its tensors.

How often blocks are applied, the rotary base, the halting rule and the loss leave no trace in them:
these come from a preset. Where several values fit, the preset's is taken if it is one of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hrm_scale.base.errors import CheckpointError, ConfigError

Shapes = Mapping[str, tuple[int, ...]]

LENGTHS = {11: 81, 12: 900, 6: 900, 8: 36}
"""Usual length of the sequence by vocabulary: 9x9 Sudoku, ARC, maze, 6x6 Sudoku."""
PRESETS = {"hrm_v1": "hrm_v1", "trm": "trm", "hrm_v2": "hrm_v2_params_matched", "urm": "urm"}
_LAYER = re.compile(r"inner\.(?:(H_level|L_level)\.)?layers\.(\d+)\.")


@dataclass
class Inferred:
    """Settings of `arch` and why each is what it is; sizes of the data."""

    vocab_size: int
    seq_len: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    length_reason: str = ""

    def say(self, name: str, value: Any, reason: str) -> None:
        self.settings[name], self.reasons[name] = value, reason


def architecture(shapes: Shapes, where: str) -> tuple[str, str, str]:
    """(architecture, preset, reason). Raises CheckpointError when it is none that is known."""
    levels = {match[1] or "layers" for name in shapes if (match := _LAYER.match(name))}
    mixes = any(".mlp_t." in name for name in shapes)
    known = {
        frozenset({"H_level", "L_level"}): "hrm_v1",
        frozenset({"L_level"}): "trm",
        frozenset({"H_level"}): "hrm_v2",
        frozenset({"layers"}): "urm",
    }
    name = known.get(frozenset(levels))
    if name is None:
        first = next(iter(shapes), "nothing")
        raise CheckpointError(
            f"{where} is no network this program knows: it has the tensor {first[:80]!r}, expected"
            " inner.H_level..., inner.L_level... or inner.layers... (HRM, TRM, URM)"
        )
    preset = "trm_mlp" if name == "trm" and mixes else PRESETS[name]
    return name, preset, f"it has the blocks {' and '.join(sorted(levels))}"


def infer(
    shapes: Shapes,
    table_width: int | None,
    name: str,
    defaults: Mapping[str, Any],
    given: set[str],
    seq_len: int | None,
    where: str,
) -> Inferred:
    """What the tensors say of the settings of `arch` (without the `arch.`).

    defaults: the preset's settings with those that were given in their place. given: names of
        these. seq_len: where it is known from elsewhere.

    Raises CheckpointError when the tensors contradict each other, ConfigError when something must
    be told that they do not say.
    """
    vocab, width = _shape(shapes, "inner.embed_tokens.embedding_weight", 2, where)
    found = Inferred(vocab)
    found.say("hidden_size", width, "width of the token embedding")
    counts = {"H_level": 0, "L_level": 0, "layers": 0}
    for match in filter(None, map(_LAYER.match, shapes)):
        level = match[1] or "layers"
        counts[level] = max(counts[level], int(match[2]) + 1)
    if name in ("hrm_v1", "hrm_v2"):
        found.say("H_layers", counts["H_level"], "blocks of inner.H_level")
    if name != "hrm_v2":
        low = "layers" if name == "urm" else "L_level"
        found.say("L_layers", counts[low], f"blocks of inner.{low}")
    stack = {"hrm_v2": "H_level.layers", "urm": "layers"}.get(name, "L_level.layers")
    block = f"inner.{stack}.0"
    token_mlp = shapes.get(f"{block}.mlp_t.gate_up_proj.weight")
    found.say("mlp_t", token_mlp is not None, "a SwiGLU over positions" if token_mlp else "none")
    convolution = shapes.get(f"{block}.mlp.dwconv.weight")
    kernel = convolution[-1] if convolution else 0
    found.say("conv_kernel", kernel, "width of its filters" if kernel else "no filters")

    inner = _shape(shapes, f"{block}.mlp.gate_up_proj.weight", 2, where)[0] // 2
    sizes = [(width, inner)]
    if token_mlp is not None:
        sizes.append((token_mlp[1], token_mlp[0] // 2))
    _expansion(found, sizes, float(defaults["expansion"]), where)
    if token_mlp is None:
        rows = _shape(shapes, f"{block}.self_attn.qkv_proj.weight", 2, where)[0]
        _heads(found, rows // 3, width, defaults, given)

    positions = shapes.get("inner.embed_pos.embedding_weight")
    if positions is not None:
        found.say("pos_encodings", "learned", "it has a table of positions")
    elif token_mlp is not None:
        found.say("pos_encodings", "none", "no table of positions, and no heads to turn")
    elif defaults["pos_encodings"] == "learned":
        found.say("pos_encodings", "rope", "no table of positions")
    found.say("puzzle_emb_ndim", table_width or 0, "width of the table" if table_width else "none")
    measured = positions or (token_mlp and token_mlp[1:])
    _lengths(found, measured[0] if measured else None, defaults, seq_len, where)
    return found


def _expansion(found: Inferred, sizes: list[tuple[int, int]], default: float, where: str) -> None:
    """SwiGLU's inner width is 2/3 of expansion x width, rounded up to a multiple of 256."""

    def fits(expansion: float) -> bool:
        return all(-(-round(expansion * n * 2 / 3) // 256) * 256 == inner for n, inner in sizes)

    width, inner = sizes[0]
    options = [value for value in (default, inner * 1.5 / width) if fits(value)]
    if not options:
        raise CheckpointError(
            f"{where}: a SwiGLU of inner width {inner} over {width} is none of the published"
            " networks: allowed is a multiple of 256"
        )
    reason = f"SwiGLU of {inner}; other values round to it too"
    found.say("expansion", options[0], reason)


def _heads(
    found: Inferred, inner: int, width: int, defaults: Mapping[str, Any], given: set[str]
) -> None:
    """The baseline rounds the width of a head down, so that 3 heads of 10 stand for 32."""
    options = [heads for heads in range(1, width + 1) if heads * (width // heads) == inner]
    if "num_heads" in given:
        return
    if defaults["num_heads"] in options:
        found.say("num_heads", defaults["num_heads"], "cannot be read: the preset's, which fits")
    elif len(options) == 1:
        found.say("num_heads", options[0], "the only number that fits its queries")
    else:
        shown = ", ".join(map(str, options[:12])) or "none"
        raise ConfigError(
            f"arch.num_heads cannot be read from the tensors (queries of {inner} in a width of"
            f" {width}), and the preset's {defaults['num_heads']} does not fit; allowed: {shown};"
            " type arch.num_heads=N"
        )


def _lengths(
    found: Inferred,
    total: int | None,
    defaults: Mapping[str, Any],
    seq_len: int | None,
    where: str,
) -> None:
    """Split all positions (None where they leave no trace) into puzzle prefix and sequence."""
    width, ndim = found.settings["hidden_size"], found.settings["puzzle_emb_ndim"]
    needed = -(-ndim // width)
    usual = defaults["puzzle_emb_len"] if ndim and defaults["puzzle_emb_len"] else needed
    known = LENGTHS.get(found.vocab_size)
    if seq_len is None and known is not None and (total is None or known + needed <= total):
        seq_len, found.length_reason = known, f"usual for {found.vocab_size} tokens"
    elif seq_len is None and total is not None and total > usual:
        seq_len, found.length_reason = total - usual, f"{total} positions less the prefix"
    elif seq_len is None:
        raise ConfigError(
            f"{where}: the length of its sequences cannot be read from the tensors, and"
            f" {found.vocab_size} tokens are no puzzle that is known; type --data-path DATASET, or"
            " --seq-len N"
        )
    found.seq_len = seq_len
    if total is None:
        if not ndim:
            found.say("puzzle_emb_len", 0, "no puzzle embedding")
        return
    prefix = total - seq_len
    if prefix < needed or (prefix and not ndim):
        raise CheckpointError(
            f"{where} has {total} positions, which a sequence of {seq_len} and a puzzle embedding"
            f" of {ndim} numbers do not fill: give the data it was trained on, or --seq-len N"
        )
    reason = f"{total} positions less {seq_len} tokens"
    found.say("puzzle_emb_len", 0 if prefix == needed else prefix, reason)


def _shape(shapes: Shapes, name: str, dimensions: int, where: str) -> tuple[int, ...]:
    shape = shapes.get(name)
    if shape is None or len(shape) != dimensions or 0 in shape:
        raise CheckpointError(
            f"{where} is no network this program knows: the tensor '{name}' is"
            f" {'missing' if shape is None else 'of shape ' + str(shape)}"
        )
    return shape
