"""A proxy on loopback in front of a server of buckets: it keeps a record of requests, delays and refuses them.

It also does what Google's storage does and fake-gcs-server does not: check the conditions of some requests.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "date", "server"})


@dataclass(frozen=True)
class Seen:
    """A request: `target` is path and query, `wanted` the header Range; `status` and `n_bytes` were answered."""

    method: str
    target: str
    wanted: str | None
    status: int
    n_bytes: int


@dataclass
class Proxy:
    """What the proxy does and has seen. `refuse` gives the status to answer instead of asking the server.

    It is asked with the number of the request, from 1 on, its method, and its target. `most_at_once` counts requests
    that were in progress at the same time.
    """

    refuse: Callable[[int, str, str], int | None] = lambda _number, _method, _target: None
    latency_s: float = 0.0
    seen: list[Seen] = field(default_factory=list)
    most_at_once: int = 0
    address: str = ""
    body: bytes = b""
    """Of refusals."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._number = self._now = 0

    @contextmanager
    def counted(self) -> Iterator[int]:
        """Count a request that is in progress; give its number."""
        with self._lock:
            self._number += 1
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            number = self._number
        try:
            yield number
        finally:
            with self._lock:
                self._now -= 1

    def reads(self, name: str) -> list[Seen]:
        """Return the requests that got bytes of the file of a name."""
        return [
            seen
            for seen in self.seen
            if seen.method == "GET"
            and unquote(urlsplit(seen.target).path).endswith(f"/{name}")
            and ("alt=media" in seen.target or "/o/" not in seen.target)
        ]


@contextmanager
def in_front_of(address: str, proxy: Proxy) -> Iterator[Proxy]:
    """Run a proxy before a server, on a free port."""
    host = urlsplit(address).netloc

    class Handler(BaseHTTPRequestHandler):
        """Passes on what one client sends over one connection."""

        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each answer waits 40 ms for the client's acknowledgement
        wbufsize = -1

        def setup(self) -> None:
            super().setup()
            self._server = HTTPConnection(host, timeout=30)

        def finish(self) -> None:
            self._server.close()
            super().finish()

        def handle_expect_100(self) -> bool:
            super().handle_expect_100()
            self.wfile.flush()
            return True

        def log_message(self, *_: object) -> None:
            pass

        def _pass_on(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with proxy.counted() as number:
                if proxy.latency_s:
                    time.sleep(proxy.latency_s)
                status = proxy.refuse(number, self.command, self.path)
                if status is not None:
                    proxy.seen.append(Seen(self.command, self.path, self.headers["Range"], status, 0))
                    self._answer(status, [], proxy.body)
                    return
                if self._is_outdated(data):
                    proxy.seen.append(Seen(self.command, self.path, None, 412, 0))
                    self._answer(412, [], b"")
                    return
                headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
                self._server.request(self.command, self.path, data, headers)
                with self._server.getresponse() as response:
                    body = response.read()
                    given = [pair for pair in response.getheaders() if pair[0].lower() not in _HOP_BY_HOP]
                proxy.seen.append(Seen(self.command, self.path, self.headers["Range"], response.status, len(body)))
                self._answer(response.status, given, body)

        def _is_outdated(self, data: bytes) -> bool:
            """Check the condition that fake-gcs-server ignores: of a deletion, and of an upload in parts."""
            parts = urlsplit(self.path)
            query = parse_qs(parts.query)
            wanted = query.get("ifGenerationMatch")
            if wanted is None or not (self.command == "DELETE" or query.get("uploadType") == ["resumable"]):
                return False
            path = (
                parts.path
                if self.command == "DELETE"
                else f"{parts.path.removeprefix('/upload')}/{quote(json.loads(data)['name'], safe='')}"
            )
            self._server.request("GET", path)
            with self._server.getresponse() as response:
                found = json.loads(response.read()) if response.status == 200 else {}
            return bool(found or wanted == ["0"]) and found.get("generation", "0") != wanted[0]

        def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers:
                # Uploads in parts go on at the address in `Location`.
                self.send_header(name, value.replace(address, proxy.address))
            if not any(name.lower() == "content-length" for name, _ in headers) and status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
            self.wfile.flush()

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = _pass_on

    class Threads(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:  # a client went away, perhaps killed
            pass

    with Threads(("127.0.0.1", 0), Handler) as server:
        proxy.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()
