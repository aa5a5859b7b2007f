"""Buckets of both servers, empty for each test, in this process and all that it starts."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import fsspec
import pytest
from gcsfs.core import GCSFileSystem

from etl_ray.storage import access
from tests.buckets.proxy import Proxy, in_front_of
from tests.buckets.servers import Environment, Server, serve
from tests.faults.recordings import EVERYTHING, write_tiny
from tests.orchestrators.jobs import run


@dataclass(frozen=True)
class Bucket:
    """An empty bucket, by URL, and the proxy through which everybody reaches it."""

    url: str
    proxy: Proxy


class Servers:
    """Starts the server of each scheme when it is first asked for."""

    def __init__(self, directory: Path, opened: ExitStack) -> None:
        self._directory = directory
        self._opened = opened
        self._running: dict[str, Server] = {}

    def of(self, scheme: str) -> Server:
        """Return the running server."""
        if scheme not in self._running:
            self._running[scheme] = self._opened.enter_context(serve(scheme, self._directory))
        return self._running[scheme]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Give the servers, which stop when all tests are done."""
    # What the environment says of its class gcsfs reads when it is imported, which other tests may have done.
    fsspec.register_implementation("gs", GCSFileSystem, clobber=True)
    with ExitStack() as opened:
        yield Servers(tmp_path_factory.mktemp("servers"), opened)


def use(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process and all that it starts live in an environment; clients that know another one are forgotten."""
    for name, value in environment.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    forget_clients()


def forget_clients() -> None:
    """Let clients be made anew, which read the environment then."""
    access.google_credentials.cache_clear()
    for scheme in ("gs", "s3"):
        fsspec.get_filesystem_class(scheme).clear_instance_cache()


@pytest.fixture(params=["gs", "s3"])
def bucket(request: pytest.FixtureRequest, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """Give an empty bucket of each server."""
    yield from make_bucket(servers.of(request.param), monkeypatch)


def make_bucket(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """Give an empty bucket of a server."""
    name = f"bucket-{secrets.token_hex(4)}"
    server.make_bucket(name)
    with in_front_of(server.address, Proxy()) as proxy:
        use(server.environment(proxy.address), monkeypatch)
        yield Bucket(f"{server.scheme}://{name}", proxy)
        forget_clients()


@pytest.fixture(scope="session")
def tiny_segments(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return the segments of a short recording, which no test may change."""
    return write_tiny(tmp_path_factory.mktemp("tiny") / "input")


@pytest.fixture(scope="session")
def undisturbed(tiny_segments: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an OUTPUT on disk with all tables, made in one run over all segments."""
    output = tmp_path_factory.mktemp("undisturbed") / "output"
    run(tiny_segments[0].parent, output, **EVERYTHING)
    return output
