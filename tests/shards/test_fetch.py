"""python -m shards.fetch against a real HTTP server, and with what was fetched elsewhere."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import re
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hrm_scale.base.errors import ConfigError, DataError, EnvironmentProblem, HrmError
from shards.builder import archive as fetch_archive
from shards.fetch import http as fetch_http
from shards.fetch.check import checked_tasks
from shards.fetch.cli import main
from shards.fetch.sources import ARCHIVE, SOURCES, digest_of

TASKS = {
    f"data/{part}/{name}.json": f'{{"train": [], "test": [], "x": "{part}{name}"}}'.encode() * 50
    for part in ("training", "evaluation")
    for name in ("00a", "00b", "00c")
}
MAZES = b"source,question,answer,rating\n" + b"a,S G ,SoG ,2\n" * 3
PUBLISHED = dict(SOURCES)
MAZE_PATH = "/" + SOURCES["maze"].paths["train.csv"]


def tar_of(members: dict[str, bytes], top: str = "ARC-AGI-3990304") -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"{top}/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return raw.getvalue()


@pytest.fixture(autouse=True)
def small_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    arc1, maze = SOURCES["arc1"], SOURCES["maze"]
    monkeypatch.setitem(
        SOURCES, "arc1", dataclasses.replace(arc1, digest=digest_of(TASKS), count=len(TASKS))
    )
    monkeypatch.setitem(
        SOURCES, "maze", dataclasses.replace(maze, rows={"train.csv": 3, "test.csv": 3})
    )
    monkeypatch.setattr(fetch_http, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setenv("HRM_SCALE_CACHE", str(tmp_path / "cache"))
    for name in ("HRM_SCALE_MIRROR", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


class Site:
    """What the server holds, how it misbehaves, and what it was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.cuts: list[int] = []  # bytes after which the next answers break off
        self.statuses: list[int] = []  # of the next answers
        self.retry_after = ""
        self.etag = True
        self.address = ""


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            site.asked.append((self.path, wanted))
            status = site.statuses.pop(0) if site.statuses else 0
            content = site.files.get(self.path)
            if status or content is None:
                self.send_response(status or 404)
                self.send_header("Content-Length", "0")
                if site.retry_after:
                    self.send_header("Retry-After", site.retry_after)
                self.end_headers()
                return
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            start = 0
            found = re.fullmatch(r"bytes=(\d+)-", wanted or "")
            if found and self.headers.get("If-Range") == etag:
                start = int(found[1])
            self.send_response(206 if start else 200)
            if start:
                whole = len(content)
                self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
            if site.etag:
                self.send_header("ETag", etag)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            part = content[start:]
            if site.cuts:
                part = part[: site.cuts.pop(0)]
                self.close_connection = True
            self.wfile.write(part)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    site.address = f"http://127.0.0.1:{server.server_port}"
    yield site
    server.shutdown()
    server.server_close()
    thread.join()


ARC_PATH = "/" + SOURCES["arc1"].paths[ARCHIVE]


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def arc(site: Site, *more: str) -> int:
    return main(["arc1", "--mirror", site.address, *more])


def test_fetches_checks_and_says_what_is_next(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    junk = {"LICENSE": b"free", "README.md": b"hi", "apps/data/training/x.json": b"no"}
    site.files[ARC_PATH] = tar_of({**TASKS, **junk})
    target = tmp_path / "cache" / "raw" / "arc1"
    assert arc(site) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{target}\n"
    assert f"`python -m shards.fetch conceptarc --to {target.with_name('conceptarc')}`" in (
        captured.err
    )
    found = files_below(target)
    del found["fetched.json"]
    assert found == {**TASKS, "LICENSE": b"free"}
    assert [p.name for p in target.parent.iterdir()] == ["arc1"]
    # Again: nothing is asked, what is there is checked.
    target.with_name("conceptarc").mkdir()
    assert arc(site) == 0
    assert len(site.asked) == 1
    captured = capsys.readouterr()
    assert "already there and unchanged" in captured.err
    assert f"shards.arc --dataset-dirs {target}/data {target.parent}/conceptarc/corpus" in (
        captured.err
    )


def test_a_changed_folder_is_told_and_fetched_again_when_asked(site: Site, tmp_path: Path) -> None:
    site.files[ARC_PATH] = tar_of(TASKS)
    target = tmp_path / "x"
    assert arc(site, "--to", str(target)) == 0
    spoiled = target / "data" / "training" / "00a.json"
    spoiled.write_bytes(b"{}")
    with pytest.raises(DataError, match="--overwrite"):
        arc(site, "--to", str(target))
    assert spoiled.read_bytes() == b"{}"
    assert arc(site, "--to", str(target), "--overwrite") == 0
    assert spoiled.read_bytes() == TASKS["data/training/00a.json"]
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_foreign_folder_is_left_alone(site: Site, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(ConfigError, match="was not made by this program"):
        arc(site, "--to", str(tmp_path / "mine"), "--overwrite")
    assert not site.asked


def test_a_truncated_download_goes_on_where_it_stopped(site: Site, tmp_path: Path) -> None:
    content = tar_of(TASKS)
    site.files[ARC_PATH] = content
    site.cuts = [100, 50]
    assert arc(site) == 0
    assert [wanted for _, wanted in site.asked] == [None, "bytes=100-", "bytes=150-"]


def test_without_an_etag_it_begins_anew(site: Site) -> None:
    site.files[ARC_PATH] = tar_of(TASKS)
    site.etag, site.cuts = False, [100]
    assert arc(site) == 0
    assert [wanted for _, wanted in site.asked] == [None, None]


def test_a_file_that_changed_meanwhile_begins_anew(site: Site, tmp_path: Path) -> None:
    site.files[ARC_PATH] = tar_of({"data/training/old.json": b"o" * 9999})
    site.cuts = [60, *[0] * 100]
    with pytest.raises(EnvironmentProblem, match="the connection ended after 60 of"):
        arc(site)
    part = tmp_path / "cache" / "raw" / ".arc1.fetch" / f"{ARCHIVE}.part"
    assert part.stat().st_size == 60
    site.files[ARC_PATH], site.cuts = tar_of(TASKS), []
    assert arc(site) == 0
    assert not (tmp_path / "cache" / "raw" / ".arc1.fetch").exists()


def test_a_busy_server_is_asked_again_and_one_that_refuses_is_not(
    site: Site, tmp_path: Path
) -> None:
    site.files[ARC_PATH] = tar_of(TASKS)
    site.statuses = [503, 429]
    assert arc(site) == 0
    assert len(site.asked) == 3
    site.asked.clear()
    site.statuses = [403]
    with pytest.raises(EnvironmentProblem, match="answers 403"):
        arc(site, "--to", str(tmp_path / "elsewhere"))
    assert len(site.asked) == 1


def test_wrong_content_is_refused_and_the_next_attempt_is_fresh(site: Site, tmp_path: Path) -> None:
    site.files[ARC_PATH] = tar_of({**TASKS, "data/training/00a.json": b"{}"})
    with pytest.raises(DataError, match=r"6 tasks with digest .*, expected 6 with") as caught:
        arc(site)
    assert site.address in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache" / "raw" / "arc1").exists()
    site.files[ARC_PATH] = tar_of(TASKS)
    assert arc(site) == 0


def test_no_network_is_exit_code_5_with_a_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(EnvironmentProblem) as caught:
        main(["arc1", "--mirror", "http://127.0.0.1:9"])
    message = str(caught.value)
    assert caught.value.exit_code == 5
    assert "\n" not in message
    assert "https://codeload.github.com/fchollet/ARC-AGI/tar.gz/3990304" in message
    assert f"--to {tmp_path}/cache/raw/arc1 --from THAT_FILE" in message
    assert list((tmp_path / "cache" / "raw").iterdir()) == []


def test_nobody_there_is_final_and_a_password_stays_secret(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_http, "PATIENCE_SECONDS", 60.0)
    begun = time.monotonic()
    with pytest.raises(EnvironmentProblem, match="refused") as caught:
        main(["arc1", "--mirror", "http://me:S3cretWord@127.0.0.1:9"])
    assert time.monotonic() - begun < 5.0
    assert "S3cretWord" not in str(caught.value) + capsys.readouterr().err


def test_a_server_that_asks_to_wait_is_left_alone_so_long(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_http, "PATIENCE_SECONDS", 60.0)
    site.files[ARC_PATH] = tar_of(TASKS)
    site.statuses, site.retry_after = [503], "1"
    begun = time.monotonic()
    assert arc(site) == 0
    assert 1.0 <= time.monotonic() - begun < 5.0


def test_a_full_disk_is_not_a_failure_of_the_network(site: Site, tmp_path: Path) -> None:
    site.files["/x"], site.etag = b"x" * 9000, False
    (tmp_path / "x").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        fetch_http.download(f"{site.address}/x", tmp_path / "x", most_bytes=1 << 20)
    assert len(site.asked) == 1


def maze_site(site: Site, train: bytes = MAZES, test: bytes = MAZES) -> None:
    site.files[MAZE_PATH] = train
    site.files[MAZE_PATH.replace("train", "test")] = test


def test_tables_from_the_hub(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maze_site(site)
    monkeypatch.setenv("HF_ENDPOINT", site.address)
    site.cuts = [len(MAZES), 10, *[0] * 100]
    with pytest.raises(EnvironmentProblem, match=r"test\.csv"):
        main(["maze"])
    site.cuts = []
    assert main(["maze"]) == 0
    # The file that was complete is not asked for again.
    assert [path for path, _ in site.asked].count(MAZE_PATH) == 1
    found = files_below(tmp_path / "cache" / "raw" / "maze")
    assert found["train.csv"] == found["test.csv"] == MAZES
    assert main(["maze"]) == 0
    (tmp_path / "cache" / "raw" / "maze" / "test.csv").write_bytes(MAZES + b"x")
    with pytest.raises(DataError, match="changed since it was fetched"):
        main(["maze"])


@pytest.mark.parametrize(
    ("train", "words"),
    [
        (MAZES + b"a,S G ,SoG ,2\n", "has 4 rows, train.csv of .* has 3"),
        (b"<html>not found</html>\n", "the header lacks question, answer"),
    ],
)
def test_tables_that_are_something_else(
    site: Site, tmp_path: Path, train: bytes, words: str
) -> None:
    maze_site(site, train=train)
    with pytest.raises(DataError, match=words):
        main(["maze", "--mirror", site.address])
    assert not (tmp_path / "cache" / "raw" / "maze").exists()
    maze_site(site)
    assert main(["maze", "--mirror", site.address]) == 0


def test_tables_fetched_elsewhere(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    (given / "train.csv").write_bytes(MAZES)
    with pytest.raises(DataError, match=r"holds neither test\.csv nor"):
        main(["maze", "--from", str(given)])
    (given / "test.csv.gz").write_bytes(gzip.compress(MAZES))
    assert main(["maze", "--from", str(given)]) == 0
    assert sorted(files_below(tmp_path / "cache" / "raw" / "maze")) == [
        "fetched.json",
        "test.csv.gz",
        "train.csv",
    ]
    assert main(["maze"]) == 0


def folder_of(path: Path) -> Path:
    for name, content in TASKS.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    (path / ".git" / "data").mkdir(parents=True)
    return path


def zip_of(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in TASKS.items():
            archive.writestr(f"ARC-AGI-master/{name}", content)
    return path


def tar_at(path: Path) -> Path:
    path.write_bytes(gzip.decompress(tar_of(TASKS)))
    return path


@pytest.mark.parametrize("make", [folder_of, zip_of, tar_at])
def test_a_clone_a_zip_or_a_plain_tar_will_do(tmp_path: Path, make: object) -> None:
    given = make(tmp_path / "given")  # type: ignore[operator]
    assert main(["arc1", "--from", str(given)]) == 0
    found = files_below(tmp_path / "cache" / "raw" / "arc1")
    assert {name: found[name] for name in TASKS} == TASKS


def hostile(kind: str) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        for name, content in TASKS.items():
            info = tarfile.TarInfo(f"top/{name}")
            info.size = len(content)
            if name.endswith("evaluation/00c.json"):
                if kind in ("symlink", "hardlink"):
                    info.type = tarfile.SYMTYPE if kind == "symlink" else tarfile.LNKTYPE
                    info.linkname, info.size = "/etc/passwd", 0
                elif kind == "large":
                    content = b"x" * (fetch_archive.MAX_FILE_BYTES + 1)
                    info.size = len(content)
                elif kind == "twice":
                    archive.addfile(info, io.BytesIO(content))
            archive.addfile(info, io.BytesIO(content) if info.size else None)
        if kind == "outside":
            for name in ("../evil.json", "/evil.json", "top/data/training/../../../evil.json"):
                info = tarfile.TarInfo(name)
                info.size = 4
                archive.addfile(info, io.BytesIO(b"evil"))
    data = raw.getvalue()
    if kind == "cut":
        return data[: len(data) // 2]
    if kind == "flipped":
        return data[:-8] + bytes([data[-8] ^ 1]) + data[-7:]
    return b"hello" if kind == "text" else data


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("symlink", "evaluation/00c.json is a link"),
        ("hardlink", "evaluation/00c.json is a link"),
        ("large", "has more than 16777216 bytes"),
        ("twice", "occurs twice"),
        ("cut", "damaged"),
        ("flipped", "damaged"),
        ("text", "not an archive"),
    ],
)
def test_archives_that_are_damaged_or_malicious(tmp_path: Path, kind: str, words: str) -> None:
    given = tmp_path / "given.tar.gz"
    given.write_bytes(hostile(kind))
    with pytest.raises(DataError, match=words) as caught:
        main(["arc1", "--from", str(given)])
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "given.tar.gz"]
    assert list((tmp_path / "cache" / "raw").iterdir()) == []


def test_names_that_lead_outside_lead_nowhere(tmp_path: Path) -> None:
    given = tmp_path / "given.tar.gz"
    given.write_bytes(hostile("outside"))
    assert main(["arc1", "--from", str(given)]) == 0
    assert not list(tmp_path.rglob("evil*"))
    assert not Path("/evil.json").exists()


def test_an_archive_that_unpacks_without_end_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch_archive, "MAX_UNPACKED_BYTES", 1 << 20)
    given = tmp_path / "bomb.tar.gz"
    given.write_bytes(tar_of({"README.md": bytes(4 << 20), **TASKS}))
    with pytest.raises(DataError, match="unpacks to more than 1048576 bytes"):
        main(["arc1", "--from", str(given)])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["arc3"], "'arc3' is not a data set to fetch, .* Did you mean 'arc"),
        (["maze", "--mirror", "file:///etc"], "is no address for --mirror"),
        (["maze", "--form", "x"], "Did you mean '--from'"),
        (["arc1", "--from", "/nowhere/at/all"], "no such file or folder"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], words: str) -> None:
    with pytest.raises(HrmError, match=words) as caught:
        main(arguments)
    assert "\n" not in str(caught.value)


REAL = {"arc1": "ARC-AGI", "arc2": "ARC-AGI-2", "conceptarc": "ConceptARC"}


@pytest.mark.parametrize("name", REAL)
def test_the_digests_are_those_of_the_real_repositories(shared: Path, name: str) -> None:
    source = PUBLISHED[name]
    files = checked_tasks(source, shared / "data" / "arc" / f"{REAL[name]}.tar.gz")
    assert "LICENSE" in files
    assert len(files) == source.count + 1
