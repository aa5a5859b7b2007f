"""Progress: plain lines at their times and in their words, bars on terminals, silence when asked for."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from etl_ray.progress import BarProgress, LineProgress, Progress, SilentProgress, choose_progress, format_duration

COLOUR = re.compile(r"\x1b\[(?:[0-9;]*;)?3[0-9](?:;[0-9;]*)?m")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def lines(stream: io.StringIO, clock: Clock) -> LineProgress:
    return LineProgress(stream, clock)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Return a terminal of 80 columns that takes colours."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    return Terminal()


# --- lines


def test_a_line_at_most_every_five_seconds_and_a_last_one(
    lines: LineProgress, stream: io.StringIO, clock: Clock
) -> None:
    lines.stage("normalize", 100_000_000, 50)
    for _ in range(25):  # 0.5 s and 2 MB a unit
        clock.now_s += 0.5
        lines.advance(2_000_000, 1)
    lines.done()
    assert stream.getvalue().splitlines() == [
        "normalize: 10/50 units, 20.0/100.0 MB, 4.0 MB/s, 20 s left",
        "normalize: 20/50 units, 40.0/100.0 MB, 4.0 MB/s, 15 s left",
        "normalize: 25/50 units, 50.0/100.0 MB, 4.0 MB/s, 12 s",
    ]


def test_lines_of_long_stages_are_further_apart(lines: LineProgress, stream: io.StringIO, clock: Clock) -> None:
    lines.stage("normalize", 0, 10_000)
    at_s = []
    for second in range(1, 901):
        clock.now_s += 1
        written = stream.tell()
        lines.advance(0, 1)
        if stream.tell() > written:
            at_s.append(second)
    assert at_s == [*range(5, 61, 5), *range(90, 601, 30), *range(660, 901, 60)]


def test_what_was_done_before_counts_for_no_rate(lines: LineProgress, stream: io.StringIO, clock: Clock) -> None:
    lines.stage("normalize", 100_000_000, 50)
    lines.skip(60_000_000, 30)
    clock.now_s += 5
    lines.advance(0, 0)
    clock.now_s += 5
    lines.advance(10_000_000, 5)
    lines.stage("stitch", 0, 4)
    lines.skip(0, 2)
    clock.now_s += 6
    lines.advance(0, 1)
    lines.done()
    assert stream.getvalue().splitlines() == [
        "normalize: 30/50 units, 60.0/100.0 MB, 0.0 MB/s, time left unknown",
        "normalize: 35/50 units, 70.0/100.0 MB, 1.0 MB/s, 30 s left",
        "normalize: 35/50 units, 70.0/100.0 MB, 1.0 MB/s, 10 s",
        "stitch: 3/4 units, 6.0 s left",
        "stitch: 3/4 units, 6.0 s",
    ]


def test_the_end_of_a_stage_is_told_once(lines: LineProgress, stream: io.StringIO, clock: Clock) -> None:
    lines.stage("build", 0, 2)
    for _ in range(2):
        clock.now_s += 5
        lines.advance(3_000_000, 1)
    lines.done()
    assert stream.getvalue().splitlines() == [
        "build: 1/2 units, 3.0 MB, 0.6 MB/s, 5.0 s left",
        "build: 2/2 units, 6.0 MB, 0.6 MB/s, 10 s",
    ]


def test_each_stage_has_its_own_clock_and_figures(lines: LineProgress, stream: io.StringIO, clock: Clock) -> None:
    lines.stage("normalize", 10_000_000, 2)
    clock.now_s += 4
    lines.advance(10_000_000, 2)
    lines.stage("build", 1_234_500_000, 1_000)
    clock.now_s += 4
    lines.advance(200_000_000, 100)
    clock.now_s += 4
    lines.advance(200_000_000, 100)
    lines.done()
    assert stream.getvalue().splitlines() == [
        "normalize: 2/2 units, 10.0/10.0 MB, 2.5 MB/s, 4.0 s",
        "build: 200/1,000 units, 400.0/1,234.5 MB, 50.0 MB/s, 17 s left",
        "build: 200/1,000 units, 400.0/1,234.5 MB, 50.0 MB/s, 8.0 s",
    ]


def test_units_without_bytes(lines: LineProgress, stream: io.StringIO, clock: Clock) -> None:
    lines.stage("stitch", 0, 4)
    clock.now_s += 6
    lines.advance(0, 1)
    lines.done()
    assert stream.getvalue().splitlines() == ["stitch: 1/4 units, 18 s left", "stitch: 1/4 units, 6.0 s"]


def test_bytes_without_known_totals(lines: LineProgress, stream: io.StringIO, clock: Clock) -> None:
    lines.stage("sample", 0, 0)
    clock.now_s += 5
    lines.advance(30_000_000, 0)
    lines.done()
    assert stream.getvalue().splitlines() == [
        "sample: 30.0 MB, 6.0 MB/s, time left unknown",
        "sample: 30.0 MB, 6.0 MB/s, 5.0 s",
    ]


def test_nothing_done_yet_has_no_time_left(lines: LineProgress, stream: io.StringIO, clock: Clock) -> None:
    lines.stage("build", 10_000_000, 5)
    clock.now_s += 5
    lines.advance(0, 0)
    assert stream.getvalue() == "build: 0/5 units, 0.0/10.0 MB, 0.0 MB/s, time left unknown\n"


def test_more_than_announced_has_no_time_left(lines: LineProgress, stream: io.StringIO, clock: Clock) -> None:
    lines.stage("build", 10_000_000, 5)
    clock.now_s += 5
    lines.advance(20_000_000, 6)
    assert stream.getvalue() == "build: 6/5 units, 20.0/10.0 MB, 4.0 MB/s, time left unknown\n"


def test_a_stage_that_takes_no_time_has_no_rate(lines: LineProgress, stream: io.StringIO) -> None:
    lines.stage("build", 10_000_000, 5)
    lines.advance(10_000_000, 5)
    lines.done()
    assert stream.getvalue() == "build: 5/5 units, 10.0/10.0 MB, 0.0 s\n"


def test_done_ends_a_stage_once(lines: LineProgress, stream: io.StringIO, clock: Clock) -> None:
    lines.done()
    lines.stage("build", 0, 1)
    lines.done()
    lines.done()
    clock.now_s += 10
    lines.advance(0, 1)
    assert stream.getvalue() == "build: 0/1 units, 0.0 s\n"


def test_notes_are_lines(lines: LineProgress, stream: io.StringIO) -> None:
    lines.note("unit 3: again after a timeout [2 of 5]")
    assert stream.getvalue() == "unit 3: again after a timeout [2 of 5]\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1:00"),
        (187, "3:07"),
        (3599.7, "1:00:00"),
        (3723, "1:02:03"),
        (360_000, "100:00:00"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


# --- bars


def test_bar_shows_stage_share_amount_and_stays(terminal: Terminal) -> None:
    bar = BarProgress(Console(file=terminal, width=80))
    bar.stage("normalize", 100_000_000, 50)
    bar.advance(25_000_000, 12)
    bar.stage("stitch", 0, 4)
    bar.advance(0, 4)
    bar.note("unit 3: again [red]")
    bar.done()
    bar.done()
    bar.advance(1, 1)
    text = CONTROL.sub("", terminal.getvalue())
    last = {line.split()[0]: line.split() for line in text.replace("\r", "\n").splitlines() if line.strip()}
    assert [word for word in last["normalize"] if word[0] not in "━╸╺"][:4] == ["normalize", "25%", "25.0/100.0", "MB"]
    assert [word for word in last["stitch"] if word[0] not in "━╸╺"][:3] == ["stitch", "100%", "4/4"]
    assert "unit 3: again [red]\n" in text
    assert all(len(line) <= 80 for line in text.replace("\r", "\n").splitlines())
    assert terminal.getvalue().count("\x1b[?25l") == terminal.getvalue().count("\x1b[?25h") == 2  # cursor hidden, shown


def test_bar_of_unknown_length(terminal: Terminal) -> None:
    bar = BarProgress(Console(file=terminal, width=80))
    bar.stage("sample", 0, 0)
    bar.advance(3_000_000, 0)
    bar.done()
    assert "3.0/? MB" in CONTROL.sub("", terminal.getvalue())


def test_no_color_is_honoured(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    def draw() -> str:
        stream = Terminal()
        progress = choose_progress(False, stream)
        progress.stage("normalize", 10, 1)
        progress.advance(5, 1)
        progress.done()
        return stream.getvalue()

    assert COLOUR.search(draw()) is not None
    monkeypatch.setenv("NO_COLOR", "1")
    assert COLOUR.search(draw()) is None


# --- choice


def test_choice_by_stream(terminal: Terminal, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(choose_progress(False, stream), LineProgress)
    assert isinstance(choose_progress(False, terminal), BarProgress)
    assert isinstance(choose_progress(True, stream), SilentProgress)
    assert isinstance(choose_progress(True, terminal), SilentProgress)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(choose_progress(False, terminal), LineProgress)


def test_silence(capfd: pytest.CaptureFixture[str]) -> None:
    progress: Progress = SilentProgress()
    progress.stage("build", 1, 1)
    progress.advance(1, 1)
    progress.note("unheard")
    progress.done()
    assert capfd.readouterr() == ("", "")
