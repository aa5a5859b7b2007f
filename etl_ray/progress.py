"""How a run tells what it is doing: not at all, in plain lines, or with a bar on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as RichProgress

_LINES = ((60.0, 5.0), (600.0, 30.0), (float("inf"), 60.0))
"""How many seconds a stage may have taken, and how far apart its lines then are: a log of hours can still be read."""
_BYTES_PER_MB = 1_000_000


class Progress(Protocol):
    """What a run reports to. Stages follow each other; what is added comes to the totals of its stage, 0: not known."""

    def stage(self, name: str, total_bytes: int, total_units: int) -> None:
        """Begin a stage, which ends the one before."""

    def skip(self, bytes_: int, units: int) -> None:
        """Add what was finished before the stage began: it counts for no rate."""

    def advance(self, bytes_: int, units: int) -> None:
        """Add what has been finished since the last call."""

    def done(self) -> None:
        """End the stage, finished or not; do nothing if there is none."""

    def note(self, message: str) -> None:
        """Tell something that is no figure, such as a retry."""


class SilentProgress:
    """Tells nothing."""

    def stage(self, name: str, total_bytes: int, total_units: int) -> None:
        """Do nothing."""

    def skip(self, bytes_: int, units: int) -> None:
        """Do nothing."""

    def advance(self, bytes_: int, units: int) -> None:
        """Do nothing."""

    def done(self) -> None:
        """Do nothing."""

    def note(self, message: str) -> None:
        """Do nothing."""


class LineProgress:
    """Writes plain lines to `stream`: those of a stage some seconds apart, and its last. `clock` gives seconds.

    They are 5 s apart in the first minute of a stage, 30 s up to ten minutes, then 60 s.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._name: str | None = None
        self._total_bytes = self._total_units = 0
        self._bytes = self._units = 0
        self._known_bytes = self._known_units = 0
        self._start_s = self._line_s = 0.0

    def stage(self, name: str, total_bytes: int, total_units: int) -> None:
        """Begin a stage, which ends the one before."""
        self.done()
        self._name = name
        self._total_bytes, self._total_units = total_bytes, total_units
        self._bytes = self._units = 0
        self._known_bytes = self._known_units = 0
        self._start_s = self._line_s = self._clock()

    def skip(self, bytes_: int, units: int) -> None:
        """Add what was finished before."""
        self._bytes += bytes_
        self._units += units
        self._known_bytes += bytes_
        self._known_units += units

    def advance(self, bytes_: int, units: int) -> None:
        """Add what has been finished; write a line if the last is old enough, but none beside that of the end."""
        self._bytes += bytes_
        self._units += units
        now_s = self._clock()
        seconds = now_s - self._start_s
        apart_s = next(apart_s for until_s, apart_s in _LINES if seconds <= until_s)
        is_end = 0 < self._units == self._total_units
        if self._name is not None and now_s - self._line_s >= apart_s and not is_end:
            self._line_s = now_s
            self._write(f"{self._figures(seconds)}, {self._left(seconds)}")

    def done(self) -> None:
        """Write the stage's last line."""
        if self._name is not None:
            seconds = self._clock() - self._start_s
            self._write(f"{self._figures(seconds)}, {format_duration(seconds)}")
            self._name = None

    def note(self, message: str) -> None:
        """Write `message` as a line."""
        print(message, file=self._stream, flush=True)

    def _write(self, figures: str) -> None:
        self.note(f"{self._name}: {figures}")

    def _figures(self, seconds: float) -> str:
        parts = []
        if self._total_units or not self._bytes:
            parts.append(f"{self._units:,}/{self._total_units:,} units")
        mb, total_mb = self._bytes / _BYTES_PER_MB, self._total_bytes / _BYTES_PER_MB
        if mb or total_mb:
            parts.append(f"{mb:,.1f}/{total_mb:,.1f} MB" if total_mb else f"{mb:,.1f} MB")
            if seconds > 0:
                parts.append(f"{(self._bytes - self._known_bytes) / _BYTES_PER_MB / seconds:,.1f} MB/s")
        return ", ".join(parts)

    def _left(self, seconds: float) -> str:
        if self._total_bytes:
            done, known, total = self._bytes, self._known_bytes, self._total_bytes
        else:
            done, known, total = self._units, self._known_units, self._total_units
        if not known < done <= total:
            return "time left unknown"
        return f"{format_duration(seconds / (done - known) * (total - done))} left"


class BarProgress:
    """Draws a bar for each stage, with rate and time left, on `console`; it counts units if no bytes are known."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: RichProgress | None = None
        self._by_bytes = True

    def stage(self, name: str, total_bytes: int, total_units: int) -> None:
        """Begin a stage, which ends the one before."""
        self.done()
        self._by_bytes = total_bytes > 0 or total_units == 0
        self._bar = RichProgress(
            TextColumn("{task.description:<10}", markup=False),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            *((DownloadColumn(), TransferSpeedColumn()) if self._by_bytes else (MofNCompleteColumn(),)),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=self._console,
            expand=True,
        )
        self._bar.add_task(name, total=(total_bytes if self._by_bytes else total_units) or None)
        self._bar.start()

    def skip(self, bytes_: int, units: int) -> None:
        """Move the bar; its rate is that of the last seconds."""
        self.advance(bytes_, units)

    def advance(self, bytes_: int, units: int) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0], bytes_ if self._by_bytes else units)

    def done(self) -> None:
        """End the stage and leave its bar standing."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def note(self, message: str) -> None:
        """Print `message` above the bar."""
        self._console.print(message, markup=False, highlight=False, soft_wrap=True)


def choose_progress(quiet: bool, stream: TextIO) -> Progress:
    """Return silence if `quiet`, a bar if `stream` is a terminal that can draw one, else plain lines."""
    if quiet:
        return SilentProgress()
    console = Console(file=stream)
    return BarProgress(console) if console.is_terminal and not console.is_dumb_terminal else LineProgress(stream)


def format_duration(seconds: float) -> str:
    """Write a duration as 0.4 s, 12 s, 3:07 or 1:02:03."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole_s = round(seconds)
    if whole_s < 60:
        return f"{whole_s} s"
    hours, minutes = divmod(whole_s // 60, 60)
    return f"{hours}:{minutes:02}:{whole_s % 60:02}" if hours else f"{minutes}:{whole_s % 60:02}"
