"""The command line in this process."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from etl_ray.cli import main
from tests.faults.recordings import CONFIG


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


class CommandLine:
    """Runs commands; `run` with all tables, in this process."""

    def __init__(self, directory: Path, capture: pytest.CaptureFixture[str]) -> None:
        self._config = directory / "everything.yaml"
        self._config.write_text(CONFIG)
        self._capture = capture

    def run(self, source: object, output: object, *options: str) -> Answer:
        """`etl-ray run`."""
        own = ("--config", str(self._config), "--engine", "local", "--quiet")
        return self("run", str(source), str(output), *own, *options)

    def __call__(self, *arguments: str) -> Answer:
        """Any command."""
        self._capture.readouterr()
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as exited:
            patch.setattr(sys, "argv", ["etl-ray", *arguments])
            main()
        code = exited.value.code
        assert isinstance(code, int)
        return Answer(code, *self._capture.readouterr())
