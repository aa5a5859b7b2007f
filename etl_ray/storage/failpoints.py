"""Places where tests make a process die: each write, creation, move and deletion reaches a few of them.

Names: `write`, `create`, `move` and `delete`, each with `.before` and `.after`. In between, `write.whole` and
`create.whole`: all bytes are in a temporary file, the name is not there yet; `move.copied`: in buckets, `src` is still
there; `delete.aside`: a local file that is deleted only if it did not change has left its name.

Settings: `log:PATH` appends name and URL of each point as a line. `kill:N` kills the process at its point number N,
from 1 on; `kill:NAME:PART` where a point of this name has a URL with PART in it. `stop:NAME:PART` stops it there the
first time, until SIGCONT. With `once:MARKER:` in front, only the process acts that makes the file MARKER: Ray starts a
killed worker's task again. Delete it, and the next process acts.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path

from etl_ray.errors import ConfigError
from etl_ray.urls import redact

_setting: str | None = None
_act: Callable[[str, str], None] | None = None


def arm(setting: str) -> None:
    """Obey `setting` from here on; the one that is obeyed already changes nothing. ConfigError if it is none."""
    global _act, _setting  # noqa: PLW0603  # one process, one setting
    if setting != _setting:
        _act = _read(setting)
        _setting = setting


def disarm() -> None:
    """Obey nothing from here on."""
    global _act, _setting  # noqa: PLW0603
    _act = _setting = None


def reach(name: str, url: str) -> None:
    """Do what the setting asks for at this point, mostly nothing."""
    if _act is not None:
        _act(name, url)


def _read(setting: str) -> Callable[[str, str], None]:
    kind, _, rest = setting.partition(":")
    marker = None
    if kind == "once":
        marker, _, rest = rest.partition(":")
        kind, _, rest = rest.partition(":")
    if kind == "log" and rest and marker is None:
        return _logger(rest)
    if kind == "kill" and rest.isdigit() and int(rest):
        return _at_number(int(rest), _signal(signal.SIGKILL, marker))
    name, colon, part = rest.partition(":")
    if kind == "kill" and name and colon:
        return _at_name(name, part, _signal(signal.SIGKILL, marker))
    if kind == "stop" and name and colon:
        stop = _signal(signal.SIGSTOP, marker)
        return _at_name(name, part, _first_time(stop) if marker is None else stop)
    raise ConfigError(
        f"failpoint {setting!r}: expected log:PATH, kill:N, kill:NAME:PART or stop:NAME:PART, the last three perhaps "
        "behind once:MARKER:"
    )


def _logger(path: str) -> Callable[[str, str], None]:
    def act(name: str, url: str) -> None:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(file, f"{name} {redact(url)}\n".encode())  # one call: lines of several processes stay whole
        finally:
            os.close(file)

    return act


def _at_number(number: int, act: Callable[[], None]) -> Callable[[str, str], None]:
    reached = count(1)

    def act_at(_name: str, _url: str) -> None:
        if next(reached) == number:
            act()

    return act_at


def _at_name(wanted: str, part: str, act: Callable[[], None]) -> Callable[[str, str], None]:
    def act_at(name: str, url: str) -> None:
        if name == wanted and part in url:
            act()

    return act_at


def _first_time(act: Callable[[], None]) -> Callable[[], None]:
    reached = count(1)

    def act_once() -> None:
        if next(reached) == 1:
            act()

    return act_once


def _signal(number: signal.Signals, marker: str | None) -> Callable[[], None]:
    def send() -> None:
        try:
            if marker is not None:
                Path(marker).touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), number)

    return send
