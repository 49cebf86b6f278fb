"""No command line ends in anything but a configuration or a ConfigError."""

from __future__ import annotations

import string

from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_scale.base.errors import ConfigError
from hrm_scale.config.compose import compose
from hrm_scale.config.durations import format_duration, parse_duration
from hrm_scale.config.keys import TRAIN
from hrm_scale.config.overrides import parse_overrides
from hrm_scale.config.schema import RunConfig
from hrm_scale.config.suggest import closest_key

_NAMES = [*TRAIN, "arch", "experiment", "data", "arch.loss", "hydra", "", "no", "arch.x", "a@b"]
_AWKWARD = [
    *["", "null", "true", "off", "???", "'", '"a', "demo", "hrm_v1", "1,2", "1e999", "[1,2]"],
    *["{a:1}", "{1:2}", "{'a b':3}", "{lr:{b:[${x}]}}", "${lr}", "${.x}", "${oc.env:NO_SUCH}"],
    *["range(1,3)", "glob(*)", "int(3)", "sort(3,2)", "choice(1)", "9" * 5000, "[" * 300],
    *["${" * 50, "{accumulation:{a:1}}", "{}"],
]
_SPECIAL = st.text(alphabet="{}[]()$:.,'\"\\=+~-@ #*?%/\n\t01aenux_", max_size=12)
_VALUES = st.one_of(
    _SPECIAL,
    st.text(max_size=12),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(_AWKWARD),
)
_ARGUMENT = st.one_of(
    st.builds(
        lambda sign, name, value: f"{sign}{name}={value}",
        st.sampled_from(["", "", "+", "++", "~", "-", "+++"]),
        st.sampled_from(_NAMES),
        _VALUES,
    ),
    st.sampled_from(_NAMES).map("~{}".format),
    st.text(max_size=15),
    _SPECIAL,
)


def _is_lines(error: ConfigError) -> None:
    assert all(line.strip() and line.isprintable() for line in str(error).split("\n"))


@settings(deadline=None, max_examples=120)
@given(st.lists(_ARGUMENT, max_size=3))
def test_parsing_never_raises(arguments: list[str]) -> None:
    result = parse_overrides(arguments, RunConfig)
    assert len(result.problems) <= len(arguments)
    assert all(problem and "\n" not in problem for problem in result.problems)


@settings(deadline=None, max_examples=60)
@given(st.lists(_ARGUMENT, max_size=4))
def test_compose_raises_nothing_but_config_error(arguments: list[str]) -> None:
    try:
        resolved = compose(arguments)
    except ConfigError as error:
        _is_lines(error)
    else:
        assert set(resolved.provenance) == set(TRAIN)


@settings(deadline=None, max_examples=40)
@given(st.text(max_size=30))
def test_free_text_arrives_as_typed(text: str) -> None:
    try:
        run = compose(["checkpoint=x", f"puzzle={text}"], "predict").run
    except ConfigError as error:
        _is_lines(error)
        assert (
            not text.strip() or "${" in text or text.strip() == "null" or text.strip()[0] in "'\""
        )
    else:
        assert run.puzzle == text or text.strip()[0] in "'\"$"


@given(st.floats(min_value=1e-3, max_value=1e9))
def test_durations_round_trip(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.text(alphabet=string.ascii_letters + "._-", max_size=20))
def test_suggestions_are_always_real_keys(text: str) -> None:
    assert closest_key(text, list(TRAIN)) in {None, *TRAIN}
