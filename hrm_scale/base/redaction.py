"""Masks credentials in text that is kept or shown: configurations, commands, log lines.

Secrets belong into environment variables, but they arrive in addresses (`s3://KEY:SECRET@host`), in
signed links, and in commands typed in a hurry. What is masked is what looks like a credential by
its place or by its shape; paths, numbers and hashes are left alone. It is a net below a careful
user, not a proof that a text is free of secrets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"

# How the name of a secret ends. `PWD` by itself is the working directory.
_NAME = (
    r"(?:[A-Za-z0-9]{1,40}[-_.]{1,2}){0,8}(?:"
    r"(?:api|access|secret|private|account|auth|session|encryption|wandb|hf|ssh)[-_]?key(?:[-_]?id)?|"
    r"token|secret|password|passwd|passphrase|(?-i:pwd)|(?<=_)pwd|credentials?|signature|"
    r"authorization|(?-i:(?<=[A-Z0-9]_)KEY))"
)
# In quotes; in quotes that are never closed (then to the end of the line); or a word without the
# punctuation that follows it.
_VALUE = (
    r"(?P<value>\"(?:[^\"\\\n]|\\.)+\"|'(?:[^'\\\n]|\\.)+'|[\"'][^\n]+|"
    r"[^\s\"'&]*[^\s\"'&,;.)}\]])"
)
_START = r"(?<![A-Za-z0-9])"

_ADDRESS = r"(?:://|(?<![A-Za-z0-9])(?:s3a?|gs|gcs|https?|s?ftp|hf|abfss?|az|webhdfs|ssh):/)"

_ASSIGNED = (
    # 'NAME=VALUE' quoted as a whole, as a shell wants values with blanks.
    re.compile(rf"(?i)(?P<head>'(?:--)?{_NAME}=)(?P<value>[^'\n]+)"),
    re.compile(rf"(?i)(?P<head>\"(?:--)?{_NAME}=)(?P<value>[^\"\n]+)"),
    # NAME=VALUE, NAME: VALUE, "NAME": "VALUE"
    re.compile(
        rf"(?i){_START}(?P<head>{_NAME}[\"']?[ \t]{{0,3}}[=:][ \t]{{0,3}}"
        rf"(?:(?:bearer|basic)[ \t]{{1,3}})?){_VALUE}"
    ),
    # --NAME VALUE
    re.compile(rf"(?i)(?<!\S)(?P<head>--{_NAME}[ \t]{{1,3}})(?!-){_VALUE}"),
)
_SIMPLE = (
    # Parameters of signed links whose names are short.
    re.compile(
        r"(?i)(?P<head>[?&](?:sig|sign|key|auth|code|jwt|sas|x-(?:amz|goog)-[a-z-]{1,40}|"
        r"awsaccesskeyid|googleaccessid)=)[^\s\"'&#<>]+"
    ),
    re.compile(rf"(?i){_START}(?P<head>(?:bearer|basic)[ \t]{{1,3}})[A-Za-z0-9._~+/=-]{{16,}}"),
    # USER:PASSWORD@ or TOKEN@ of an address. A password may hold "@", and in practice "/". A path
    # type makes one slash of two.
    re.compile(rf"(?P<head>{_ADDRESS})(?!git@)[^\s/\"'<>]{{1,512}}(?=@[^\s@])"),
    re.compile(
        rf"(?P<head>{_ADDRESS})[^\s/:@\"'<>]{{1,128}}:(?!\d{{1,5}}(?:[/?#\s]|$))"
        r"[^\s\"'<>]{1,512}(?=@[^\s@])"
    ),
    # Keys that are known by how they begin.
    re.compile(
        rf"{_START}(?P<head>)(?:hf_[A-Za-z0-9]{{20,}}|(?:AKIA|ASIA)[A-Z0-9]{{16}}(?![A-Za-z0-9])|"
        r"gh[opsur]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|"
        r"sk-[A-Za-z0-9_-]{20,}|xox[abeprs]-[A-Za-z0-9-]{10,}|AIza[A-Za-z0-9_-]{30,}|"
        r"eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,})"
    ),
)
_SECRET_NAME = re.compile(rf"(?i){_NAME}")
# `pad_token: 0` is a setting of a vocabulary, `password: null` is none.
_NUMBER = re.compile(r"\d{1,5}|\d{0,9}\.\d{0,9}")
_NOTHING = re.compile(r"(?i)null|none|true|false")


def redact(text: str) -> str:
    """`text` with `***` in place of what looks like a credential.

    Time is linear in the text. Doing it twice changes nothing more.
    """
    for pattern in _ASSIGNED:
        text = pattern.sub(_masked_value, text)
    for pattern in _SIMPLE:
        text = pattern.sub(rf"\g<head>{MASK}", text)
    return text


def redact_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings with every text passed through `redact`; other types stay as they are.

    Text under the name of a secret (`password`, `api_key`, `..._TOKEN`) is masked as a whole.
    """
    return {key: _redacted(value, str(key)) for key, value in values.items()}


def _redacted(value: Any, name: str = "") -> Any:
    if isinstance(value, Mapping):
        return redact_values(value)
    if isinstance(value, list | tuple):
        return [_redacted(member, name) for member in value]
    if not isinstance(value, str):
        return value
    secret = _SECRET_NAME.fullmatch(name) and not _is_harmless(name, value)
    return MASK if secret and value else redact(value)


def _masked_value(match: re.Match[str]) -> str:
    head, value = match["head"], match["value"]
    quote = value[0] if value[0] in "\"'" else ""
    closed = quote if len(value) > 1 and value[-1] == quote else ""
    inner = value[len(quote) : len(value) - len(closed)]
    if _is_harmless(head, inner):
        return match[0]
    return f"{head}{quote}{MASK}{closed}"


def _is_harmless(name: str, value: str) -> bool:
    if _NOTHING.fullmatch(value):
        return True
    return bool(_NUMBER.fullmatch(value)) and "token" in name.lower()[-12:]
