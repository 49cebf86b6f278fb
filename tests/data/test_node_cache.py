"""The cache that the processes of a node share, and trying again."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from hrm_scale.base.errors import EnvironmentProblem
from hrm_scale.data.addresses import RemoteOptions, default_cache_folder
from hrm_scale.data.remote.errors import TransientError
from hrm_scale.data.remote.node_cache import NodeCache
from hrm_scale.data.remote.retry import Retrier


def cache_of(folder: Path, limit: int = 1 << 20) -> NodeCache:
    return NodeCache(RemoteOptions(cache=folder, cache_bytes=limit))


def content(cache: NodeCache, name: str, size: int) -> bytes | None:
    found = cache.get(name, size)
    return None if found is None else found.tobytes()


def test_entries_are_whole_or_not_there(tmp_path: Path) -> None:
    cache = cache_of(tmp_path / "c")
    assert content(cache, "aa", 5) is None
    assert cache.put("aa", b"hello").tobytes() == b"hello"
    assert content(cache, "aa", 5) == b"hello"
    assert content(cache, "aa", 6) is None
    assert cache.has("aa", 5)
    assert not cache.has("aa", 4)
    cache.remove("aa")
    cache.remove("aa")
    assert not cache.has("aa", 5)
    assert list((tmp_path / "c" / "partial").iterdir()) == []


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    cache = cache_of(tmp_path / "c", 1000)
    for number in range(9):
        cache.put(f"{number:02d}", bytes([number]) * 100)
        os.utime(tmp_path / "c" / "entries" / f"{number:02d}" / f"{number:02d}", (number, number))
    held = cache.get("03", 100)
    assert held is not None
    assert cache.has("00", 100)
    mapped = cache.put("09", bytes(300))  # 1200: down to 900
    kept = [
        number for number in range(10) if cache.has(f"{number:02d}", 300 if number == 9 else 100)
    ]
    assert kept == [0, 3, 5, 6, 7, 8, 9] or kept == [0, 3, 6, 7, 8, 9]
    for number in range(10, 30):
        cache.put(f"{number:02d}", bytes(100))
    assert not cache.has("03", 100)
    assert (held == 3).all()
    assert not mapped.any()


def test_an_entry_beyond_the_limit_can_be_read_all_the_same(tmp_path: Path) -> None:
    cache = cache_of(tmp_path / "c", 10)
    assert cache.put("aa", b"x" * 100).tobytes() == b"x" * 100
    assert not cache.has("aa", 100)


def test_a_lost_or_foreign_total_is_counted_anew(tmp_path: Path) -> None:
    cache = cache_of(tmp_path / "c", 1000)
    for number in range(5):
        cache.put(f"{number}0", bytes(150))
        (tmp_path / "c" / "bytes").write_text("no number")
    cache.put("60", bytes(400))
    total = sum(f.stat().st_size for f in (tmp_path / "c" / "entries").rglob("*") if f.is_file())
    assert total <= 1000
    assert int((tmp_path / "c" / "bytes").read_text()) == total


def test_a_full_disk_makes_room_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = cache_of(tmp_path / "c")
    for number in range(4):
        cache.put(f"{number}0", bytes(100))
    put, failures = NodeCache._put, [1]

    def full(self: NodeCache, name: str, data: bytes) -> np.ndarray:
        if failures:
            failures.pop()
            raise OSError(errno.ENOSPC, "No space left on device")
        return put(self, name, data)

    monkeypatch.setattr(NodeCache, "_put", full)
    cache.put("50", bytes(100))
    assert cache.has("50", 100)
    assert sum(cache.has(f"{number}0", 100) for number in range(4)) == 2


def test_locks_exclude_threads_and_end_with_their_process(tmp_path: Path) -> None:
    cache = cache_of(tmp_path / "c")
    with cache.lock("one") as first, cache.lock("two", 0.0) as other, cache.lock("one", 0.05) as no:
        assert (first, other, no) == (True, True, False)
    code = (
        "import sys, time; from pathlib import Path\n"
        "from hrm_scale.data.remote.node_cache import NodeCache\n"
        "from hrm_scale.data.addresses import RemoteOptions\n"
        "cache = NodeCache(RemoteOptions(cache=Path(sys.argv[1])))\n"
        "with cache.lock('one'):\n    print('held', flush=True); time.sleep(60)\n"
    )
    other_process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "c")], stdout=subprocess.PIPE, text=True
    )
    assert other_process.stdout is not None
    assert other_process.stdout.readline() == "held\n"
    with cache.lock("one", 0.05) as locked:
        assert not locked
    threading.Timer(0.1, other_process.kill).start()
    with cache.lock("one", 20.0) as locked:
        assert locked
    other_process.communicate()


def test_what_a_dead_process_left_is_removed(tmp_path: Path) -> None:
    cache_of(tmp_path / "c")
    partial = tmp_path / "c" / "partial"
    for name in ("dead", "new", "busy"):
        (partial / name).write_bytes(b"x")
    os.utime(partial / "dead", (0, 0))
    os.utime(partial / "busy", (0, 0))
    with (partial / "busy").open("rb") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        cache_of(tmp_path / "c")
        assert sorted(file.name for file in partial.iterdir()) == ["busy", "new"]


def test_the_folder_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HRM_SCALE_CACHE", "/scratch")
    assert default_cache_folder() == Path("/scratch/shards")
    monkeypatch.delenv("HRM_SCALE_CACHE")
    monkeypatch.setenv("HOME", "/elsewhere")
    assert default_cache_folder() == Path("/elsewhere/.cache/hrm_scale/shards")


def failing(times: int, **options: float) -> tuple[Retrier, list[float], object]:
    begun = time.monotonic()
    calls: list[float] = []

    def attempt() -> str:
        calls.append(time.monotonic() - begun)
        if len(calls) <= times:
            raise TransientError("broken", **options)
        return "done"

    return Retrier(30.0), calls, attempt


def test_tries_again_ever_less_often() -> None:
    retrier, calls, attempt = failing(3)
    assert retrier.run("it", attempt) == "done"  # type: ignore[arg-type]
    gaps = np.diff(calls)
    assert len(calls) == 4
    assert 0.04 < gaps[0] < gaps[2] < 1.5
    assert retrier.retries == 3


def test_gives_up_after_its_patience_and_says_so() -> None:
    retrier = Retrier(0.4)
    calls = []

    def attempt() -> None:
        calls.append(time.monotonic())
        raise TransientError("broken")

    begun = time.monotonic()
    with pytest.raises(EnvironmentProblem, match=r"it: broken; \d+ tries in \d s") as caught:
        retrier.run("it", attempt)
    assert "\n" not in str(caught.value)
    assert 0.4 <= time.monotonic() - begun < 2.0
    assert 3 <= len(calls) < 10


def test_new_bytes_start_the_clock_anew() -> None:
    retrier, received = Retrier(0.3), [0]
    end = time.monotonic() + 1.0

    def attempt() -> str:
        if time.monotonic() > end:
            return "done"
        received[0] += 1
        raise TransientError("cut off")

    assert retrier.run("it", attempt, progress=lambda: received[0]) == "done"


def test_everybody_stays_away_when_asked() -> None:
    retrier, _, attempt = failing(1, retry_after=0.5)
    thread = threading.Thread(target=retrier.run, args=("it", attempt))
    thread.start()
    time.sleep(0.05)
    begun = time.monotonic()
    assert retrier.run("other", lambda: 1) == 1
    assert time.monotonic() - begun > 0.3
    thread.join()


def test_closing_lets_go_of_those_who_wait() -> None:
    retrier, _, attempt = failing(10**6, retry_after=100.0)
    threading.Timer(0.1, retrier.close).start()
    begun = time.monotonic()
    with pytest.raises(EnvironmentProblem, match="stopped"):
        retrier.run("it", attempt)  # type: ignore[arg-type]
    assert time.monotonic() - begun < 5.0
