"""The commands of cluster/local.md, on this machine, with other ports and paths: two nodes, a token, a job."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.test_pages import bash_of

pytestmark = pytest.mark.slow


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports


class Page:
    """Somebody who types the commands of the page, with other ports, paths and a home that is empty."""

    def __init__(self, root: Path) -> None:
        self.root = root
        port, dashboard_port = free_ports(2)
        self._other = {"6379": str(port), "8265": str(dashboard_port), "HEAD": "127.0.0.1", "/shared": str(root)}
        self._lines = bash_of("local.md").splitlines()
        plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = plain | {"HOME": str(root), "PATH": path, "RAY_AUTH_MODE": "token"}
        self._nodes: list[subprocess.Popen[bytes]] = []

    def line(self, start: str) -> str:
        """Return the one command that starts so."""
        (found,) = [line for line in self._lines if line.startswith(start)]
        for old, new in self._other.items():
            found = found.replace(old, new)
        return found

    def do(self, start: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Do what the page says."""
        whole = self.environment | environment
        return subprocess.run(["bash", "-c", self.line(start)], check=False, env=whole, capture_output=True, text=True)

    def start(self, start: str, more: str) -> None:
        """Start a node, which stays in the foreground: `ray stop` would end the nodes of others.

        Its agent takes jobs; by default that has the same port on every cluster.
        """
        (agent_port,) = free_ports(1)
        command = ["bash", "-c", f"exec {self.line(start)} --block --dashboard-agent-listen-port={agent_port} {more}"]
        log = self.root / f"node{len(self._nodes)}.log"
        with log.open("wb") as output:
            node = subprocess.Popen(command, env=self.environment, stdout=output, stderr=output, start_new_session=True)
        self._nodes.append(node)

    def await_status(self, part: str) -> None:
        """Wait until `ray status` says so."""
        for _ in range(60):
            if part in self.do("ray status").stdout:
                return
            time.sleep(1)
        logs = "\n".join(path.read_text() for path in sorted(self.root.glob("node*.log")))
        raise AssertionError(f"no {part!r} in\n{self.do('ray status')}\n{logs}")

    def stop(self) -> None:
        """End the nodes, and whatever they have started."""
        for node in reversed(self._nodes):
            os.killpg(node.pid, signal.SIGKILL)
            node.wait()


@pytest.fixture
def page() -> Iterator[Page]:
    """A page in a directory of a short name, since those of sockets must be short."""
    page = Page(Path(tempfile.mkdtemp(prefix="ray-")))
    yield page
    page.stop()
    shutil.rmtree(page.root)


def test_the_page_works(page: Page) -> None:
    sample = ["etl-ray", "sample", str(page.root / "recording"), "--minutes", "1", "--rate", "2", "--quiet"]
    alone = ["etl-ray", "run", str(page.root / "recording"), str(page.root / "alone"), "--engine", "local", "--quiet"]
    for command in (sample, alone):
        subprocess.run(command, check=True, env=page.environment)

    assert page.do("ray get-auth-token").returncode == 0
    assert page.do("chmod").returncode == 0
    page.start("ray start --head", f"--temp-dir={page.root}/a")
    page.await_status("1 node")
    page.start("ray start --address", f"--temp-dir={page.root}/b --num-cpus=2")
    page.await_status("0.0/2.0 CPU")
    submitted = page.do("ray job submit")
    listed = page.do("ray job list")
    refused = page.do("ray job list", HOME="/nonexistent", RAY_AUTH_MODE="disabled")

    assert submitted.returncode == 0, submitted
    (summary,) = [json.loads(line) for line in submitted.stdout.splitlines() if line.startswith("{")]
    assert (summary["lines"], summary["unchanged"]) == (851, False)
    assert subprocess.run(["diff", "-r", page.root / "alone", page.root / "tables"], check=False).returncode == 0
    assert "SUCCEEDED" in listed.stdout + listed.stderr
    assert refused.returncode != 0
    assert "authentication token" in refused.stdout + refused.stderr
