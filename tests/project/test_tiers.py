"""The tiers of the test suite: what runs, in what order, and what the summary says."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]
QUICK = "def test_quick(): pass"
SLOW = """
import pytest

@pytest.mark.slow
def test_slow(): pass

def test_skipped(): pytest.skip("needs a server")

def test_skipped_too(): pytest.skip("needs a server")
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini("[pytest]\ntestpaths = tests\nmarkers = slow\naddopts = -p no:cacheprovider")
    for folder, text in (("integration", SLOW), ("unit", QUICK)):
        (pytester.path / "tests" / folder).mkdir(parents=True)
        (pytester.path / "tests" / folder / f"test_{folder}.py").write_text(text)
    return pytester


def outcome(suite: pytest.Pytester, *arguments: str) -> tuple[dict[str, int], list[str]]:
    result = suite.runpytest_inprocess("-p", "tests.tiers", *arguments)
    return result.parseoutcomes(), result.outlines


@pytest.mark.parametrize("workers", ["0", "2"])
def test_slow_tests_wait_for_all(suite: pytest.Pytester, workers: str) -> None:
    counts, lines = outcome(suite, "-n", workers)
    assert (counts["passed"], counts["skipped"]) == (1, 2)
    assert lines[-1] == "1 slow tests were left out; run everything: ./launch.sh test --all"
    assert "skipped: 2 needs a server" in lines  # one line per reason, not per test


@pytest.mark.parametrize(
    "arguments",
    [["--all"], ["tests/integration"], ["-k", "slow or quick or skipped"], ["--all", "-n", "1"]],
)
def test_what_was_selected_runs_whole(suite: pytest.Pytester, arguments: list[str]) -> None:
    counts, lines = outcome(suite, *arguments)
    assert counts["passed"] == 1 + ("tests/integration" not in arguments)
    assert "left out" not in lines[-1]


def test_unit_tests_run_first(suite: pytest.Pytester) -> None:
    _, lines = outcome(suite, "--all", "-v")
    ran = [line.split("::")[1].split()[0] for line in lines if "::" in line]
    assert ran[0] == "test_quick"
