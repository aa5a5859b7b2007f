"""A head of Ray as `ray start` runs it, of a test's own: free ports of loopback, a directory and a token of its own."""

from __future__ import annotations

import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

START_S = 120
STOP_S = 30
LISTENING = (20_000, 30_000)  # not those of the workers of Ray, 10002 to 19999
PORTS = (
    "port",
    "dashboard-port",
    "metrics-export-port",
    "node-manager-port",
    "object-manager-port",
    "ray-client-server-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "runtime-env-agent-port",
)


@dataclass(frozen=True)
class Head:
    """A running head: `address` is for drivers, `url` for jobs, `metrics_url` for Prometheus."""

    address: str
    url: str
    metrics_url: str
    token: str
    home: Path

    def environment(self) -> dict[str, str]:
        """Return the environment of a client that may use it."""
        return {**own_environment(self.home), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}


def own_environment(home: Path) -> dict[str, str]:
    """Return this environment without anything of Ray's, with another home directory."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTHONPATH"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "HOME": str(home), "PATH": path, "COLUMNS": "200", "RAY_USAGE_STATS_ENABLED": "0"}


@contextmanager
def running_head(*, num_cpus: int = 2) -> Iterator[Head]:
    """Start a head that asks for a token, and stop it with all that it has started."""
    # Paths of sockets have to be short, so this is not below the directory of the test.
    with tempfile.TemporaryDirectory(prefix="head-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        home = directory / "home"
        home.mkdir()
        head = Head(
            address=f"127.0.0.1:{ports['port']}",
            url=f"http://127.0.0.1:{ports['dashboard-port']}",
            metrics_url=f"http://127.0.0.1:{ports['metrics-export-port']}/metrics",
            token=secrets.token_hex(32),
            home=home,
        )
        command = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", "--disable-usage-stats"]
        command += ["--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", f"--temp-dir={directory / 'ray'}"]
        command += [f"--num-cpus={num_cpus}", "--memory=4000000000", "--object-store-memory=100000000"]
        command += [f"--{name}={port}" for name, port in ports.items()]
        with (directory / "output").open("w") as output:
            process = subprocess.Popen(command, env=head.environment(), stdout=output, stderr=output)
        try:
            wait_for_answers(head, process, directory / "output")
            yield head
        finally:
            stop(process, directory)


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens on, below those that systems give to whoever asks for any."""
    with ExitStack() as bound:
        ports: list[int] = []
        for port in random.SystemRandom().sample(range(*LISTENING), LISTENING[1] - LISTENING[0]):
            each = bound.enter_context(socket.socket())
            with suppress(OSError):
                each.bind(("127.0.0.1", port))
                ports.append(port)
            if len(ports) == count:
                return ports
    raise AssertionError(f"no {count} free ports within {LISTENING}")


def wait_for_answers(head: Head, process: subprocess.Popen[bytes], output: Path) -> None:
    """Wait for the dashboard, which takes jobs, and for the node's agent, which comes later and has the metrics."""
    until_s = time.monotonic() + START_S
    for url in (f"{head.url}/api/version", head.metrics_url):
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {head.token}"})
        while not answers(request):
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < until_s, f"no answer from {url}: {output.read_text()}"
            time.sleep(0.2)


def answers(request: urllib.request.Request) -> bool:
    try:
        with urllib.request.urlopen(request, timeout=5):
            return True
    except OSError:
        return False


def stop(process: subprocess.Popen[bytes], directory: Path) -> None:
    """End the head, which ends what it has started, and kill what is left of that."""
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it may end meanwhile
            if str(directory).encode() in path.read_bytes():
                os.kill(int(path.parent.name), signal.SIGKILL)
