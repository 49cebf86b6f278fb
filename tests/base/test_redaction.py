"""Credentials are masked in any text that is kept; everything else stays as it is."""

from __future__ import annotations

import string
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hrm_scale.base.errors import ConfigError
from hrm_scale.base.redaction import MASK, redact, redact_values
from hrm_scale.checkpoint import changed_settings
from hrm_scale.config.compose import compose
from hrm_scale.config.saved import from_dict, read_yaml, to_dict, to_yaml

HEX40 = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://user:SECRET@host/x", "s3://***@host/x"),
        ("s3:/user:SECRET@host/x", "s3:/***@host/x"),  # what pathlib makes of it
        ("https://SECRET@github.com/x.git", "https://***@github.com/x.git"),
        ("s3://AKIA:SEC/RET+x@bucket/data", "s3://***@bucket/data"),
        ("https://user:SEC@RET@host/x", "https://***@host/x"),
        ("https://h/x?token=SECRET&n=1", "https://h/x?token=***&n=1"),
        ("https://h/x?n=1&sig=SEC%2FRET", "https://h/x?n=1&sig=***"),
        ("https://h/x?X-Amz-Signature=SECRET&a=b", "https://h/x?X-Amz-Signature=***&a=b"),
        ("https://h/x?AWSAccessKeyId=SECRET", "https://h/x?AWSAccessKeyId=***"),
        (f"WANDB_API_KEY={HEX40} python -m x", "WANDB_API_KEY=*** python -m x"),
        ("AWS_ACCESS_KEY=SECRET", "AWS_ACCESS_KEY=***"),
        ("MY_KEY='SECRET two words' b=c", "MY_KEY='***' b=c"),
        ("GH_TOKEN=SECRET.", "GH_TOKEN=***."),
        ("PASSWORD=SECRET;x, next", "PASSWORD=***, next"),
        ("'data.password=SECRET and blanks' lr=1", "'data.password=***' lr=1"),
        ("{'api_key': 'SECRET', 'lr': 0.1}", "{'api_key': '***', 'lr': 0.1}"),
        ('{"access_token": "SEC\\"RET", "n": 1}', '{"access_token": "***", "n": 1}'),
        ('password: "SECRET never closed', 'password: "***'),
        ("--hf-token SECRET --lr 1", "--hf-token *** --lr 1"),
        ("Authorization: Bearer SECRET", "Authorization: Bearer ***"),
        ("sent bearer SECRETSECRETSECRET", "sent bearer ***"),
        ("key hf_abcdefghijklmnopqrstuvwxyz", "key ***"),
        ("AKIAIOSFODNN7EXAMPLE", "***"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "***"),
        ("eyJhbGciOiJIUzI1.eyJzdWIiOiIx.SflKxwRJSM", "***"),
    ],
)
def test_credentials_are_masked(text: str, expected: str) -> None:
    assert redact(text) == expected
    assert "SEC" not in redact(text)
    assert redact(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "/data/sudoku-extreme/train/shard-00000.tar",
        "C:\\data\\x",
        "https://host:8080/a/@b",
        "git@github.com:x/y.git ssh://git@host/x",
        f"commit {HEX40} sha256={'ab' * 32}",
        "pad_token=0 max_tokens=512 tokenizer=bpe password=null token: none",
        "step 120/1000 | loss 0.4321 | exact 0.9120 | lr 1.00e-04 | 512 ex/s | ETA 1h02m",
        "wandb: offline (no API key found); to upload: wandb sync /runs/wandb/offline-run-1",
        "python -m hrm_scale.train data_path=data/x 'run_name=a b' key=3",
        "PWD=/data/x KEYS=3 monkey=1",
        "",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert redact(text) == text


PLAIN = st.text(alphabet=string.ascii_letters + string.digits + " ./_-+%\n", max_size=60)
SECRETS = st.text(alphabet=string.ascii_letters + string.digits, min_size=30, max_size=40)


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=200) | st.text(alphabet="token=:'\"@/ \\?&key-_.", max_size=120))
def test_twice_is_once(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@settings(deadline=None, max_examples=100)
@given(PLAIN)
def test_text_without_signs_of_credentials_stays(text: str) -> None:
    """No '=', ':', '@' or '--NAME VALUE', and nothing as long as a known kind of key."""
    if "--" not in text and not any(len(word) > 15 for word in text.split()):
        assert redact(text) == text


@settings(deadline=None, max_examples=150)
@given(
    PLAIN,
    st.sampled_from(
        [
            "s3://u:{}@h/x",
            "https://h/?access_token={}",
            "MY_TOKEN={}",
            "--api-key {}",
            '"password": "{}"',
            "Authorization: Bearer {}",
        ]
    ),
    SECRETS,
)
def test_a_secret_in_any_surroundings_is_gone(around: str, form: str, secret: str) -> None:
    assume(secret not in around)
    text = f"{around} {form.format(secret)} {around}"
    assert secret not in redact(text)


@pytest.mark.parametrize(
    "unit",
    ["a-", "://", "://a:", 'token="', "a_", "sk-", "eyJaaaaaaaaaaaa.", "token=)", "https://u:"],
)
def test_time_is_linear(unit: str) -> None:
    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        began = time.process_time()
        redact(text)
        return time.process_time() - began

    # Ten times the text takes about ten times as long, not a hundred times.
    short = min(seconds(4_000) for _ in range(3))
    assert seconds(40_000) < 40 * short + 0.05


def test_values_of_settings() -> None:
    values: dict[str, Any] = {
        "data_path": "s3://u:SECRET@h/x",
        "lr": 1e-4,
        "resume": None,
        "log": {"wandb_api_key": "SECRET", "every": 5, "tags": ["a", "TOKEN=SECRET"]},
        "password": "SECRET",
        "pad_token": 0,
    }
    assert redact_values(values) == {
        "data_path": f"s3://{MASK}@h/x",
        "lr": 1e-4,
        "resume": None,
        "log": {"wandb_api_key": MASK, "every": 5, "tags": ["a", f"TOKEN={MASK}"]},
        "password": MASK,
        "pad_token": 0,
    }


ADDRESS = "data_path=s3://user:SECRETPASSWORD@host/data"


def test_a_saved_configuration_holds_no_password() -> None:
    run = compose([ADDRESS, "run_name=x", "project_name=p"]).run
    assert "SECRETPASSWORD" not in to_yaml(run)
    assert "SECRETPASSWORD" not in str(to_dict(run))
    assert to_dict(run)["data_path"] == "s3://***@host/data"
    assert from_dict(to_dict(run), "x").run_name == "x"


def test_masked_and_older_unmasked_settings_compare_equal() -> None:
    run = compose([ADDRESS, "run_name=x", "project_name=p"]).run
    assert changed_settings(run.model_dump(mode="json"), to_dict(run)) == []
    other = compose(["data_path=s3://u:SECRETOTHER@elsewhere/data", "run_name=x"]).run
    lines = changed_settings(run.model_dump(mode="json"), to_dict(other))
    assert any(line.startswith("data_path: ") for line in lines)
    assert "SECRET" not in "".join(lines)


def test_changed_settings_are_one_line_each_and_not_endless() -> None:
    hostile = {f"key{i}": "a\nb\x1b]0;x\x07" * 20 for i in range(300)}
    lines = changed_settings(hostile, {})
    assert len(lines) < 300
    assert all(line.isprintable() and len(line) < 1000 for line in lines)


@pytest.mark.parametrize(
    "text",
    [
        "lr: !!python/object/apply:os.system ['echo run']",
        "!!python/object/new:tuple [1]",
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
        "[" * 1500,
        "\x00",
        "lr: ${oc.env:HOME}",
        "x: " + "y" * (1 << 20),
    ],
)
def test_hostile_yaml_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_yaml(file)
    assert len(str(caught.value)) < 2000
    assert str(Path.home()) + "'" not in str(caught.value)
