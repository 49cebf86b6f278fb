"""What all processes of a run meet is reported by one of them."""

from __future__ import annotations

import pytest

from hrm_scale.base.errors import DataError, HrmError, run_cli
from hrm_scale.base.worker_exit import reported_once


@pytest.mark.parametrize(("rank", "shown"), [(None, True), ("0", True), ("1", False)])
def test_an_error_of_all_ranks_is_reported_by_the_first(
    rank: str | None,
    shown: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)

    def main(_: list[str]) -> None:
        with reported_once():
            raise DataError("no data")

    with pytest.raises(SystemExit) as left:
        run_cli(main, [])
    assert left.value.code == DataError.exit_code
    assert ("no data" in capsys.readouterr().err) == shown


def test_other_errors_are_reported_by_every_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(HrmError) as caught, reported_once((DataError,)):
        raise HrmError("disk full on this machine")
    assert not caught.value.already_reported
