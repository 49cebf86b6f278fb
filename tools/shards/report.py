"""What `verify` and `lint` find: stable codes with a severity and a place, as lines or as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from hrm_scale.base.errors import DataError
from hrm_scale.base.untrusted import printable

LISTED = 20
"""Findings of one code that are printed; all are counted, and JSON lists KEPT of them."""
KEPT = 1000

CODES = {
    "E000": "unreadable",
    "E001": "dataset.json",
    "E002": "fingerprint",
    "E010": "identifiers",
    "E011": "augmentations",
    "E012": "test puzzles",
    "E101": "missing",
    "E102": "sha256",
    "E103": "foreign file",
    "E104": "hash",
    "E105": "truncated",
    "E106": "tar",
    "E107": "pickle",
    "E108": "array",
    "E201": "index",
    "E202": "stale index",
    "E203": "index place",
    "E204": "lost member",
    "E205": "foreign member",
    "E206": "counts",
    "E301": "range",
    "E302": "columns",
    "E303": "split group",
    "E304": "scattered group",
    "E305": "stripe",
    "E306": "scattered puzzle",
    "E307": "unknown identifier",
    "E308": "identifier",
    "E401": "unsolved",
    "E402": "lost clue",
    "E403": "padding",
    "E404": "second solution",
    "E405": "other puzzle",
    "E411": "maze cells",
    "E412": "maze path",
    "E421": "frame",
    "E422": "content",
    "E423": "shapes",
    "E424": "other variant",
    "E425": "variants",
    "E430": "rules",
    "E501": "leak",
    "E502": "repeated record",
    "W103": "foreign file",
    "W500": "repeated example",
    "W501": "leak",
    "W502": "repeated puzzle",
}
"""E: an error. W: a warning, an error only with --strict. A code never changes its meaning; a kind
may have codes of its own."""


@dataclass(frozen=True)
class Place:
    """Where something is: a file, and as much of record, column, row, example as is known."""

    path: str
    record: int | None = None
    column: str | None = None
    row: int | None = None
    example: int | None = None

    def __str__(self) -> str:
        parts = [] if self.record is None else [f"record {self.record:06d}"]
        if self.column is not None:
            parts.append(f"column {self.column}")
        if self.row is not None:
            parts.append(f"row {self.row}")
        text = ": ".join([self.path, *([", ".join(parts)] if parts else [])])
        return text if self.example is None else f"{text} (example {self.example})"


@dataclass(frozen=True)
class Finding:
    code: str
    name: str
    text: str
    place: Place


class Report:
    """Collects findings; prints a line per check and per finding unless it is `silent`."""

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent
        self.counts: Counter[str] = Counter()
        self.findings: list[Finding] = []
        self.passed: list[str] = []

    @property
    def errors(self) -> int:
        return sum(count for code, count in self.counts.items() if code[0] == "E")

    @property
    def warnings(self) -> int:
        return self.counts.total() - self.errors

    def sound(self, text: str) -> None:
        """A whole check that passed."""
        self.passed.append(text)
        self._say(f"ok     {text}")

    def found(self, code: str, text: str, place: Place | str) -> None:
        """Something is wrong at a place."""
        if isinstance(place, str):
            place = Place(place)
        self.counts[code] += 1
        number, name = self.counts[code], CODES.get(code, "rules")
        if number <= KEPT:
            self.findings.append(Finding(code, name, text, place))
        word = "FAULT" if code[0] == "E" else "warn "
        if number <= LISTED:
            self._say(f"{word}  {code} {name}: {place}: {text}")
        elif number == LISTED + 1:
            self._say(f"{word}  {code} {name}: more of them, not listed")

    def check(self, text: str, before: int) -> None:
        """A line for a whole check, if nothing was found since `before` (a `total`)."""
        if self.total == before:
            self.sound(text)

    @property
    def total(self) -> int:
        return self.counts.total()

    @contextmanager
    def surviving(self, place: Place | str) -> Iterator[None]:
        """Turn whatever goes wrong inside into a finding: damage must not end the search for more.

        Every exception, as damaged bytes meet numpy and zlib in ways nobody can list.
        """
        try:
            yield
        except DataError as error:
            self.found("E000", str(error), place)
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            self.found("E000", f"cannot be checked ({type(error).__name__}: {reason})", place)

    def close(self, directory: str, *, as_json: bool, strict: bool, examples: int) -> None:
        """Print the summary. DataError when there are errors (with `strict`: or warnings)."""
        if as_json:
            print(json.dumps(self.as_json(), indent=1))
        failed = self.errors or (strict and self.warnings)
        warnings = f"{self.warnings} warnings" if self.warnings != 1 else "1 warning"
        if failed:
            errors = f"{self.errors} faults found" if self.errors != 1 else "1 fault found"
            also = f" and {warnings}" if self.warnings else ""
            raise DataError(
                f"{directory}: {errors}{also}: restore the files named above from their source, "
                "or build the data set again"
            )
        also = f", {warnings} (--strict makes them faults)" if self.warnings else ""
        self._say(f"ok     {directory}: all {examples} examples are sound{also}")

    def as_json(self) -> dict[str, object]:
        """{"errors", "warnings", "counts" by code, "findings", "passed"}."""
        return {
            "errors": self.errors,
            "warnings": self.warnings,
            "counts": dict(sorted(self.counts.items())),
            "findings": [
                {
                    "code": item.code,
                    "name": item.name,
                    "severity": "error" if item.code[0] == "E" else "warning",
                    "text": item.text,
                    **{
                        key: value for key, value in asdict(item.place).items() if value is not None
                    },
                }
                for item in self.findings
            ],
            "passed": self.passed,
        }

    def _say(self, line: str) -> None:
        if not self._silent:
            print(printable(line), flush=True)
