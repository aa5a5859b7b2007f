"""How a run tells what it is doing: nothing, plain lines, or a bar on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress

_LINE_EVERY_S = 5.0
_BYTES_PER_MB = 1_000_000


class Progress(Protocol):
    """What a run reports to. Stages follow each other; `advance` adds up to the totals of its stage."""

    def stage(self, name: str, total_bytes: int, total_units: int) -> None:
        """Begin a stage; the stage before it, if any, is over."""

    def advance(self, bytes_: int, units: int) -> None:
        """Add what has been finished since the last call."""

    def done(self) -> None:
        """End the last stage."""

    def note(self, message: str) -> None:
        """Tell something that is not a matter of progress, such as a retry."""


class SilentProgress:
    """Tell nothing."""

    def stage(self, name: str, total_bytes: int, total_units: int) -> None:
        """Do nothing."""

    def advance(self, bytes_: int, units: int) -> None:
        """Do nothing."""

    def done(self) -> None:
        """Do nothing."""

    def note(self, message: str) -> None:
        """Do nothing."""


class LineProgress:
    """Write plain lines to `stream`: at most one every five seconds of a stage, and its last. `clock` is in seconds."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._name: str | None = None
        self._total_bytes = self._total_units = 0
        self._bytes = self._units = 0
        self._start_s = self._line_s = 0.0

    def stage(self, name: str, total_bytes: int, total_units: int) -> None:
        """Begin a stage and end the one before."""
        self.done()
        self._name = name
        self._total_bytes, self._total_units = total_bytes, total_units
        self._bytes = self._units = 0
        self._start_s = self._line_s = self._clock()

    def advance(self, bytes_: int, units: int) -> None:
        """Add what has been finished; write a line if five seconds have passed since the last."""
        self._bytes += bytes_
        self._units += units
        now_s = self._clock()
        if self._name is not None and now_s - self._line_s >= _LINE_EVERY_S:
            self._line_s = now_s
            self._write(f"{self._figures(now_s - self._start_s)}, {self._left(now_s - self._start_s)}")

    def done(self) -> None:
        """End the stage with its last line."""
        if self._name is not None:
            seconds = self._clock() - self._start_s
            self._write(f"{self._figures(seconds)}, done in {duration(seconds)}")
            self._name = None

    def note(self, message: str) -> None:
        """Write `message` as a line."""
        print(message, file=self._stream, flush=True)

    def _write(self, text: str) -> None:
        print(f"{self._name}: {text}", file=self._stream, flush=True)

    def _figures(self, seconds: float) -> str:
        mb, total_mb = self._bytes / _BYTES_PER_MB, self._total_bytes / _BYTES_PER_MB
        rate = f", {mb / seconds:,.1f} MB/s" if seconds > 0 else ""
        return f"{self._units:,}/{self._total_units:,} units, {mb:,.1f}/{total_mb:,.1f} MB{rate}"

    def _left(self, seconds: float) -> str:
        done, total = (self._bytes, self._total_bytes) if self._total_bytes else (self._units, self._total_units)
        if not 0 < done <= total:
            return "time left unknown"
        return f"{duration(seconds / done * (total - done))} left"


def duration(seconds: float) -> str:
    """Write a duration as 0.4 s, 12 s, 3:07 or 1:02:03."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


class BarProgress:
    """Draw a bar for each stage, with rate and time left, on `console`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: RichProgress | None = None
        self._by_bytes = True

    def stage(self, name: str, total_bytes: int, total_units: int) -> None:
        """Begin a stage and end the one before; the bar counts bytes, or units where there are no bytes."""
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.done()
        self._by_bytes = total_bytes > 0
        self._bar = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=self._console,
            expand=True,
        )
        self._totals = (total_bytes, total_units)
        self._done = (0, 0)
        self._task = self._bar.add_task(name, total=total_bytes if self._by_bytes else total_units, figures="")
        self._bar.start()

    def advance(self, bytes_: int, units: int) -> None:
        """Move the bar."""
        if self._bar is None:
            return
        self._done = (self._done[0] + bytes_, self._done[1] + units)
        self._bar.update(self._task, advance=bytes_ if self._by_bytes else units, figures=self._figures())

    def done(self) -> None:
        """End the stage and leave its bar standing."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def note(self, message: str) -> None:
        """Print `message` above the bar."""
        self._console.print(message, markup=False, highlight=False)

    def _figures(self) -> str:
        units = f"{self._done[1]:,}/{self._totals[1]:,} units"
        speed = self._bar.tasks[0].speed if self._bar is not None else None
        return f"{units} {speed / _BYTES_PER_MB:,.1f} MB/s" if self._by_bytes and speed else units


def choose_progress(quiet: bool, stream: TextIO) -> Progress:
    """Return silence if `quiet`, a bar if `stream` is a terminal, else plain lines."""
    if quiet:
        return SilentProgress()
    from rich.console import Console

    console = Console(file=stream)
    return BarProgress(console) if console.is_terminal and not console.is_dumb_terminal else LineProgress(stream)
