"""Whole jobs as child processes, on URLs, and what they leave in a bucket brought to disk to be looked at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from etl_ray import storage
from tests.faults.recordings import CONFIG

_TIMEOUT_S = 150


@dataclass(frozen=True)
class Answer:
    """What a command has returned and printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, object]:
        """The object on the last line."""
        found: dict[str, object] = json.loads(self.out.splitlines()[-1])
        return found


def command(*arguments: str, failpoint: str | None = None) -> Answer:
    """Run `etl-ray` in a process of its own, with the environment of this one."""
    extra = {} if failpoint is None else {"ETL_RAY_FAILPOINT": failpoint}
    done = subprocess.run(
        [sys.executable, "-c", "from etl_ray.cli import main; main()", *arguments],
        env={**os.environ, **extra},
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


class Job:
    """Runs over an INPUT into an OUTPUT, with all tables in several files each."""

    def __init__(self, source: str, output: str, directory: Path) -> None:
        self.source = source
        self.output = output
        self._config = directory / "everything.yaml"
        self._config.write_text(CONFIG)

    def run(self, *options: str, engine: str = "local", failpoint: str | None = None) -> Answer:
        """`etl-ray run`."""
        own = ("--config", str(self._config), "--engine", engine, "--quiet", "--json")
        return command("run", self.source, self.output, *own, *options, failpoint=failpoint)


def upload(segments: Sequence[Path], url: str) -> None:
    """Let segments appear below a URL."""
    for path in segments:
        storage.write_bytes(storage.join(url, path.name), path.read_bytes())


def download(url: str, directory: Path) -> Path:
    """Bring all files below a URL to a new directory, hidden ones too."""
    for info in storage.list_files(url):
        path = directory / info.url.removeprefix(storage.canonical(url)).lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(storage.read_bytes(info.url))
    return directory
