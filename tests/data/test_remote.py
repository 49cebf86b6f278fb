"""Data sets read from a server: same bytes, each once; what fails is named in one line."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.tiny.data_sets import write_grouped, write_online
from hrm_scale.base.errors import ConfigError, DataError, EnvironmentProblem
from hrm_scale.data import Dataset, Loader
from hrm_scale.data.addresses import RemoteOptions, parse_address
from hrm_scale.data.remote.blocks import cut_blocks
from hrm_scale.data.remote.dataset import RemoteDataset
from hrm_scale.data.remote.pieces import RemotePieces
from hrm_scale.data.remote.source_http import HttpSource
from tests.support.servers import server_of

SETTINGS: dict[str, Any] = {"seed": 1, "global_batch_size": 48, "window": 3}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """d: several shards, several blocks in each."""
    root = tmp_path_factory.mktemp("root")
    write_online(root / "d", size=9, examples=6000, chunk_examples=256, shard_bytes=400_000)
    return root


@pytest.fixture
def options(tmp_path: Path) -> RemoteOptions:
    return RemoteOptions(cache=tmp_path / "cache", retry_seconds=5.0, timeout_seconds=5.0)


def batches(dataset: Dataset, count: int = 20, **settings: Any) -> list[np.ndarray]:
    loader = Loader(dataset, "train", **{**SETTINGS, **settings})
    stream = loader.batches(0)
    made = [np.stack([b.inputs, b.labels]) for _ in range(count) for b in next(stream)]
    stream.close()
    return made


def same(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return len(first) == len(second) and all(
        (one == other).all() for one, other in zip(first, second, strict=True)
    )


def everything(dataset: Dataset) -> dict[str, np.ndarray]:
    names = list(dataset.index("train").columns)
    return dataset.read("train", names, 0, 10**6)


def copy_of(root: Path, target: Path) -> Path:
    """Files that a test may change; the others are links."""
    for file in root.rglob("*"):
        if file.is_file():
            place = target / file.relative_to(root)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.read_bytes())
    return target


def spans(asked: list[str]) -> Iterator[tuple[str, int, int]]:
    for line in asked:
        if "bytes=" in line:
            _, path, span = line.split(" ")
            first, last = span.removeprefix("bytes=").split("-")
            yield path, int(first), int(last) + 1


def transferred_twice(asked: list[str]) -> int:
    ends: dict[str, int] = {}
    twice = 0
    for path, first, stop in sorted(spans(asked)):
        twice += max(0, ends.get(path, 0) - first)
        ends[path] = max(stop, ends.get(path, 0))
    return twice


def one_line(error: BaseException, *words: str) -> str:
    text = str(error)
    assert "\n" not in text
    for word in words:
        assert word in text, text
    return text


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_same_bytes_as_the_folder_and_each_once(
    root: Path, options: RemoteOptions, threads: int
) -> None:
    local = Dataset(root / "d")
    with server_of(root) as (address, asked):
        remote = RemoteDataset(f"{address}/d", options)
        assert remote.meta == local.meta
        assert same(batches(local), batches(remote, threads=threads))
        expected, found = everything(local), everything(remote)
        assert all((expected[name] == found[name]).all() for name in expected)
        assert transferred_twice(asked) == 0
        assert remote.identifiers() == local.identifiers()
        before = len(asked)
        again = RemoteDataset(f"{address}/d", options)
        assert same(batches(local), batches(again, threads=threads))
        new = [line for line in asked[before:] if not line.startswith("HEAD")]
        assert new == ["GET /d/dataset.json"]
        assert again.reader("train").stats()["hits"] > 0


def test_one_request_brings_neighbouring_blocks(root: Path, options: RemoteOptions) -> None:
    with server_of(root) as (address, asked):
        remote = RemoteDataset(f"{address}/d", options)
        reader = remote.reader("train")
        reader.urgent(range(reader.index.records))
        everything(remote)
        blocks = len(cut_blocks(reader.index))
        assert len(list(spans(asked))) < blocks
        assert transferred_twice(asked) == 0


def test_short_replies_go_on_where_they_ended(root: Path, options: RemoteOptions) -> None:
    def cut(handler: BaseHTTPRequestHandler, content: bytes) -> bool:
        span = handler.headers.get("Range")
        if span is None:
            return False
        first, last = map(int, span.removeprefix("bytes=").split("-"))
        part = content[first : last + 1]
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        handler.send_header("Content-Length", str(len(part)))
        handler.end_headers()
        handler.wfile.write(part[: max(1, min(40_000, len(part)))])
        handler.close_connection = True
        return True

    with server_of(root, cut) as (address, asked):
        remote = RemoteDataset(f"{address}/d", options)
        assert same(batches(Dataset(root / "d")), batches(remote))
        assert remote.reader("train").stats()["retries"] > 3
        assert len({path for path, _, _ in spans(asked)}) > 1


@pytest.mark.parametrize("fault", ["elsewhere", "encoded", "no range", "hang up", "busy"])
def test_wrong_replies_are_never_used(root: Path, options: RemoteOptions, fault: str) -> None:
    left = [10**6 if fault == "encoded" else 3]

    def wrong(handler: BaseHTTPRequestHandler, content: bytes) -> bool:
        span = handler.headers.get("Range")
        if span is None or left[0] == 0:
            return False
        left[0] -= 1
        first, last = map(int, span.removeprefix("bytes=").split("-"))
        if fault == "hang up":
            handler.close_connection = True
            return True
        shift = 512 if fault == "elsewhere" else 0
        handler.send_response(503 if fault == "busy" else 206)
        if fault == "busy":
            handler.send_header("Retry-After", "0")
        if fault != "no range":
            place = f"bytes {first + shift}-{last + shift}/{len(content)}"
            handler.send_header("Content-Range", place)
        if fault == "encoded":
            handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", str(last + 1 - first))
        handler.end_headers()
        handler.wfile.write(bytes(last + 1 - first))
        return True

    with server_of(root, wrong) as (address, _):
        remote = RemoteDataset(f"{address}/d", options)
        if fault == "encoded":
            with pytest.raises(EnvironmentProblem, match="another encoding") as caught:
                batches(remote)
            one_line(caught.value, address)
        else:
            assert same(batches(Dataset(root / "d")), batches(remote))


def test_a_server_without_ranges(root: Path, options: RemoteOptions) -> None:
    def whole(handler: Any, content: bytes) -> bool:
        if not content:
            return False
        handler.reply(200, content)
        return True

    with server_of(root, whole) as (address, _):
        remote = RemoteDataset(f"{address}/d", options)
        assert same(batches(Dataset(root / "d")), batches(remote))
        size = sum(shard.bytes for shard in remote.index("train").shards)
        assert remote.reader("train").stats()["bytes"] < 1.2 * size


def test_waits_as_long_as_the_server_asks(root: Path, options: RemoteOptions) -> None:
    left = [1]

    def busy(handler: Any, content: bytes) -> bool:
        if "Range" not in handler.headers or not left[0]:
            return False
        left[0] = 0
        handler.reply(429, b"", {"Retry-After": "1"})
        return True

    with server_of(root, busy) as (address, _):
        remote = RemoteDataset(f"{address}/d", options)
        begun = time.monotonic()
        remote.reader("train").columns(0, ["inputs"])
        assert 1.0 <= time.monotonic() - begun < 4.0


def test_gives_up_in_one_line_without_the_password(root: Path, tmp_path: Path) -> None:
    def broken(handler: Any, _: bytes) -> bool:
        if "Range" in handler.headers:
            handler.reply(500, b"")
        return "Range" in handler.headers

    options = RemoteOptions(cache=tmp_path / "cache", retry_seconds=0.6)
    with server_of(root, broken) as (address, _):
        secret = address.replace("http://", "http://me:S3cretWord@")
        remote = RemoteDataset(f"{secret}/d", options)
        with pytest.raises(EnvironmentProblem, match=r"500.* tries in \d+ s") as caught:
            batches(remote)
        text = one_line(caught.value, "/d/train/shard-", "type the same command again")
        assert "S3cretWord" not in text
        assert "S3cretWord" not in remote.name


def test_nobody_listens(tmp_path: Path) -> None:
    options = RemoteOptions(cache=tmp_path / "cache", retry_seconds=0.3)
    with pytest.raises(EnvironmentProblem, match="refused") as caught:
        RemoteDataset("http://127.0.0.1:9/d", options)
    one_line(caught.value, "http://127.0.0.1:9/d/dataset.json")


def test_missing_and_forbidden_at_once(root: Path, options: RemoteOptions, tmp_path: Path) -> None:
    changed = copy_of(root, tmp_path / "root")
    (changed / "d/train/shard-00001.tar").unlink()

    def closed(handler: Any, _: bytes) -> bool:
        if handler.path.startswith("/closed"):
            handler.reply(403, b"")
            return True
        return False

    begun = time.monotonic()
    with server_of(changed, closed) as (address, _):
        with pytest.raises(DataError, match="not a data set") as caught:
            RemoteDataset(f"{address}/nothing", options)
        one_line(caught.value, address)
        with pytest.raises(EnvironmentProblem, match="403") as refused:
            RemoteDataset(f"{address}/closed", options)
        one_line(refused.value, "credentials")
        remote = RemoteDataset(f"{address}/d", options)
        with pytest.raises(DataError, match="shard is missing") as missing:
            batches(remote)
        one_line(missing.value, f"{address}/d/train/shard-00001.tar")
        with pytest.raises(DataError, match="shard is missing"):
            everything(remote)
        (changed / "d/train/index.json").unlink()
        with pytest.raises(DataError, match=r"index\.json: missing"):
            RemoteDataset(f"{address}/d", RemoteOptions(cache=tmp_path / "other")).index("train")
    assert time.monotonic() - begun < 4.0


def damage(path: Path, record: int) -> None:
    """Flip a byte of a record's inputs."""
    index = Dataset(path).index("train")
    file = path / "train" / index.shards[int(index.shard[record])].name
    content = bytearray(file.read_bytes())
    content[int(index.offset["inputs"][record]) + 200] ^= 1
    file.write_bytes(content)


def test_damage_names_address_and_record(
    root: Path, options: RemoteOptions, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    changed = copy_of(root, tmp_path / "root")
    damage(changed / "d", 5)
    with server_of(changed) as (address, _):
        remote = RemoteDataset(f"{address}/d", options)
        reader = remote.reader("train")
        reader.columns(4, ["inputs", "groups"])
        with pytest.raises(DataError, match=r"xxh3 differs") as caught:
            reader.columns(5, ["inputs"])
        where = f"{address}/d/train/shard-00000.tar: record 000005, column inputs"
        one_line(caught.value, where)
        assert "came damaged, fetching it again" in caplog.text
        masked = Loader(remote, "train", **SETTINGS, on_error="mask", mask_budget=0.2)
        expected = Loader(
            Dataset(changed / "d"), "train", **SETTINGS, on_error="mask", mask_budget=0.2
        )
        for name, found in masked.fetch(0, 6000)._asdict().items():
            assert (found == getattr(expected.fetch(0, 6000), name)).all()
        # Once it is mended where it is published, the next run goes on without further ado.
        damage(changed / "d", 5)
        assert same(batches(Dataset(root / "d")), batches(RemoteDataset(f"{address}/d", options)))


def test_errors_read_ahead_appear_at_their_place(
    root: Path, options: RemoteOptions, tmp_path: Path
) -> None:
    changed = copy_of(root, tmp_path / "root")
    damage(changed / "d", 10)
    plain = Loader(Dataset(changed / "d"), "train", **SETTINGS)

    def until_error(loader: Loader) -> int:
        stream = loader.batches(0)
        for number in range(200):
            try:
                next(stream)
            except DataError:
                return number
        raise AssertionError("no error")

    with server_of(changed) as (address, _):
        remote = RemoteDataset(f"{address}/d", options)
        for threads in (0, 2):
            loader = Loader(remote, "train", **SETTINGS, threads=threads)
            assert until_error(loader) == until_error(plain) > 0


def test_a_damaged_entry_of_the_cache_is_fetched_again(root: Path, options: RemoteOptions) -> None:
    local = Dataset(root / "d")
    with server_of(root) as (address, asked):
        everything(RemoteDataset(f"{address}/d", options))
        entries = [file for file in (options.cache / "entries").rglob("*") if file.is_file()]
        for file in entries:
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 255
            file.write_bytes(content)
        asked.clear()
        assert same(batches(local), batches(RemoteDataset(f"{address}/d", options)))
        assert any("bytes=" in line for line in asked)
        for file in entries:
            file.write_bytes(file.read_bytes()[:-1])
        assert same(batches(local), batches(RemoteDataset(f"{address}/d", options)))


@pytest.mark.parametrize("limit", [1, 150_000, 600_000])
def test_a_cache_smaller_than_what_is_read(root: Path, tmp_path: Path, limit: int) -> None:
    options = RemoteOptions(cache=tmp_path / "cache", cache_bytes=limit)
    with server_of(root) as (address, _):
        remote = RemoteDataset(f"{address}/d", options)
        assert same(batches(Dataset(root / "d"), 80), batches(remote, 80))
    held = sum(f.stat().st_size for f in (options.cache / "entries").rglob("*") if f.is_file())
    assert held <= limit


def test_an_index_that_lies(root: Path, options: RemoteOptions, tmp_path: Path) -> None:
    changed = copy_of(root, tmp_path / "root")
    file = changed / "d/train/index.json"
    index = json.loads(file.read_text())

    def opened(name: str, content: dict[str, Any]) -> str:
        file.write_text(json.dumps(content))
        fresh = RemoteOptions(cache=tmp_path / name, retry_seconds=1)
        with pytest.raises(DataError) as caught:
            everything(RemoteDataset(f"{address}/d", fresh))
        return one_line(caught.value)

    with server_of(changed) as (address, _):
        longer = json.loads(json.dumps(index))
        longer["shards"][0]["bytes"] += 1024
        assert "bytes instead of" in opened("longer", longer)
        overlapping = json.loads(json.dumps(index))
        for member in overlapping["records"]["members"].values():
            member["offset"][1] = member["offset"][0]
        assert "overlap" in opened("overlapping", overlapping)
        short = json.loads(json.dumps(index))
        short["shards"][1]["sha256"] = "../../outside"
        assert "other shards than dataset.json" in opened("short", short)
        assert "damaged index" in opened("none", {"version": 1, "columns": {}})
        # What is mended is read, although the cache had nothing of it.
        file.write_text(json.dumps(index))
        assert same(batches(Dataset(root / "d")), batches(RemoteDataset(f"{address}/d", options)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ("S3:/bucket/a", "s3://bucket/a"),
        ("https://host:8443/d?sig=x", "https://host:8443/d?sig=x"),
        ("hf://datasets/me/sudoku", "hf://datasets/me/sudoku"),
    ],
)
def test_addresses(text: str, expected: str) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "pipe:curl -s http://host/d",
        "ftp://host/d",
        "file:///d",
        "http://",
        "http://host:port/d",
        "s3://me:S3cretWord@bucket/d",
        "s3://bucket/../d",
        "s3://bucket/d?x=1",
        "https://host/d#part",
        "https://host/d\r\nX: y",
    ],
)
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_address(text)
    assert "S3cretWord" not in one_line(caught.value)


def test_the_hub_gets_the_token_and_nobody_else(
    root: Path, options: RemoteOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens: dict[str, set[str | None]] = {"hub": set(), "store": set()}

    def store(handler: Any, _: bytes) -> bool:
        tokens["store"].add(handler.headers.get("Authorization"))
        return False

    def hub(handler: Any, _: bytes) -> bool:
        tokens["hub"].add(handler.headers.get("Authorization"))
        place = handler.path.removeprefix("/datasets/me/sudoku/resolve/v1/")
        handler.reply(302, b"", {"Location": f"{behind}/{place}?X-Amz-Signature=abc"})
        return True

    with server_of(root, store) as (behind, _), server_of(root, hub) as (front, asked):
        monkeypatch.setenv("HF_ENDPOINT", front)
        monkeypatch.setenv("HF_TOKEN", "hf_thetoken")
        remote = RemoteDataset("hf://datasets/me/sudoku@v1/d", options)
        assert remote.name == "hf://datasets/me/sudoku@v1/d"
        assert same(batches(Dataset(root / "d")), batches(remote))
        asked_for_data = [line for line in asked if "shard" in line and line.startswith("GET")]
        shards = len(remote.index("train").shards)
        assert len(asked_for_data) <= shards + options.threads  # then the redirect is remembered
    assert tokens == {"hub": {"Bearer hf_thetoken"}, "store": {None}}
    with pytest.raises(ConfigError, match="hf://datasets/OWNER/NAME"):
        RemoteDataset("hf://me/sudoku", options)


def test_redirects_lead_to_http_only(options: RemoteOptions, tmp_path: Path) -> None:
    def away(handler: Any, _: bytes) -> bool:
        handler.reply(302, b"", {"Location": "file:///etc/hostname"})
        return True

    def around(handler: Any, _: bytes) -> bool:
        handler.reply(302, b"", {"Location": handler.path})
        return True

    for answer, words in ((away, "not http"), (around, "redirects more than")):
        with (
            server_of(tmp_path, answer) as (address, _),
            pytest.raises(EnvironmentProblem, match=words),
        ):
            RemoteDataset(address, options)


def test_a_proxy_of_the_environment(
    root: Path, options: RemoteOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()

    def proxy(handler: Any, _: bytes) -> bool:
        assert handler.path.startswith("http://data.invalid:81/d/")
        seen.add((handler.headers["Proxy-Authorization"], handler.headers["Authorization"]))
        handler.reply(
            200, (root / handler.path.removeprefix("http://data.invalid:81/")).read_bytes()
        )
        return True

    with server_of(root, proxy) as (address, _):
        monkeypatch.setenv("http_proxy", address.replace("http://", "http://me:Pr0xy@"))
        monkeypatch.delenv("no_proxy", raising=False)
        remote = RemoteDataset("http://you:S3cret@data.invalid:81/d", options)
        assert remote.identifiers() == Dataset(root / "d").identifiers()
        assert seen == {("Basic bWU6UHIweHk=", "Basic eW91OlMzY3JldA==")}
        monkeypatch.setenv("no_proxy", "data.invalid")
        with pytest.raises(EnvironmentProblem) as caught:
            RemoteDataset("http://data.invalid:81/d", replace(options, retry_seconds=0.1))
        one_line(caught.value, "http://data.invalid:81/d/dataset.json")


def test_a_signed_query_is_sent_with_every_file_and_never_logged(
    root: Path, options: RemoteOptions, caplog: pytest.LogCaptureFixture
) -> None:
    def odd(handler: Any, _: bytes) -> bool:
        assert handler.path.endswith("?sig=S3cretWord")
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n no header\r\nContent-Length: 2\r\n\r\n{}")
        return True

    with caplog.at_level("DEBUG"):
        with server_of(root) as (address, asked):
            RemoteDataset(f"{address}/d?sig=S3cretWord", options).identifiers()
            assert all(line.split(" ")[1].endswith("?sig=S3cretWord") for line in asked)
        with server_of(root, odd) as (address, _), pytest.raises((DataError, EnvironmentProblem)):
            RemoteDataset(f"{address}/d?sig=S3cretWord", replace(options, retry_seconds=0.1))
    assert "dataset.json" in caplog.text
    assert "S3cretWord" not in caplog.text


def test_a_certificate_that_nobody_vouches_for(options: RemoteOptions, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x"
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                context.wrap_socket(listening.accept()[0], server_side=True)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(EnvironmentProblem, match="certificate is not valid") as caught:
            RemoteDataset(f"https://127.0.0.1:{listening.getsockname()[1]}/d", options)
        one_line(caught.value, "credentials")
        thread.join()


def test_connections_are_used_again(root: Path, options: RemoteOptions) -> None:
    connections = set()

    def note(handler: Any, _: bytes) -> bool:
        connections.add(handler.client_address)
        return False

    with server_of(root, note) as (address, asked):
        source = HttpSource(f"{address}/d", options)
        size = source.size("train/shard-00000.tar")
        assert size == (root / "d/train/shard-00000.tar").stat().st_size
        source.read_small("dataset.json", 1 << 20)
        source.read("train/shard-00000.tar", 100, 9000, size)
        source.read("train/shard-00000.tar", 0, size, size)
        assert len(connections) == 1 < len(asked)


@pytest.mark.parametrize(("scheme", "package"), [("s3", "s3fs"), ("gs", "gcsfs")])
def test_a_missing_package_is_named(
    scheme: str, package: str, options: RemoteOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EnvironmentProblem, match=f"type `pip install {package}`") as caught:
        RemoteDataset(f"{scheme}://bucket/d", options)
    one_line(caught.value)


def test_a_cache_that_cannot_be(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with server_of(root) as (address, _), pytest.raises(EnvironmentProblem) as caught:
        RemoteDataset(f"{address}/d", RemoteOptions(cache=tmp_path / "file" / "cache"))
    one_line(caught.value, "HRM_SCALE_CACHE", "file/cache")


def test_a_fork_reads_by_itself(root: Path, options: RemoteOptions) -> None:
    with server_of(root) as (address, _):
        remote = RemoteDataset(f"{address}/d", options)
        expected = batches(remote, 3)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if same(expected, batches(remote, 3)) else 2
                everything(remote)
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        everything(remote)


def test_windows_in_place_and_many_pieces(
    root: Path, options: RemoteOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hrm_scale.data.read.window.COPY_BYTES", 0)
    monkeypatch.setattr("hrm_scale.data.remote.pieces.MAX_MAPPED", 3)
    monkeypatch.setattr("hrm_scale.data.remote.blocks.BLOCK_BYTES", 1)
    with server_of(root) as (address, _):
        remote = RemoteDataset(f"{address}/d", options)
        assert len(cut_blocks(remote.index("train"))) == remote.index("train").records
        assert same(batches(Dataset(root / "d")), batches(remote))
        assert same(batches(Dataset(root / "d"), window=None), batches(remote, window=None))


def test_threads_end_when_there_is_nothing_to_do(
    root: Path, options: RemoteOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hrm_scale.data.remote.pieces.IDLE_SECONDS", 0.05)
    with server_of(root) as (address, _):
        remote = RemoteDataset(f"{address}/d", options)
        for _ in range(2):
            everything(remote)
            batches(remote)
            pieces = remote._pieces["train"]
            assert isinstance(pieces, RemotePieces)
            end = time.monotonic() + 5
            while pieces._threads and time.monotonic() < end:
                time.sleep(0.02)
            assert pieces._threads == 0
        remote.close()


def test_a_closed_loader_asks_for_nothing_more(
    root: Path, options: RemoteOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hrm_scale.data.remote.blocks.BLOCK_BYTES", 1)

    def slow(_: object, content: bytes) -> bool:
        time.sleep(0.05)
        return False

    with server_of(root, slow) as (address, asked):
        remote = RemoteDataset(f"{address}/d", replace(options, threads=1))
        blocks = len(cut_blocks(remote.index("train")))
        loader = Loader(remote, "train", **{**SETTINGS, "window": 6}, threads=0)
        asked.clear()
        next(loader.batches(0))  # while all windows that follow are wanted
        loader.close()
        time.sleep(0.2)  # the request under way
        until_then = len(asked)
        assert until_then < blocks - 6
        time.sleep(0.3)
        assert len(asked) == until_then


def test_compressed_and_grouped_sets(tmp_path: Path, options: RemoteOptions) -> None:
    sizes = [[2, 1], [1, 3], [2, 2, 1]] * 8
    write_grouped(tmp_path / "root/d", sizes, compression="zst", chunk_examples=8)
    local = Dataset(tmp_path / "root/d")
    with server_of(tmp_path / "root") as (address, _):
        remote = RemoteDataset(f"{address}/d", options)
        made = [Loader(each, "train", **SETTINGS).fetch(0, 200) for each in (local, remote)]
        assert same(list(made[0]), list(made[1]))
        assert remote.identifiers() == local.identifiers()
